"""Files that strangers write: what is refused, and the line that says so."""

import pytest

from tef.benchmark import load_benchmark, read_yaml
from tef.errors import ProtocolError


def read(tmp_path, content):
    path = tmp_path / "protocol.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_yaml(path, ProtocolError)


def test_a_plain_file_is_read_with_its_bytes(tmp_path):
    """Words, numbers, lists, mappings and text over lines are all that a file needs."""
    text = "a: 1\nb: [x, 2.5, null, true]\nc: {d: 2024-01-31}\ne: >-\n  one\n  two\n"

    content, values = read(tmp_path, text)

    assert content == text.encode()
    assert values.pop("c")["d"].isoformat() == "2024-01-31"
    assert values == {"a": 1, "b": ["x", 2.5, None, True], "e": "one two"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\n" + "#" * 65_536, ": is larger than 64 KiB; describe, and leave data to other files"),
        ("a: 1\nb: &x [1]\n", ":2: is not YAML as it is read here: anchors, aliases and tags are not allowed"),
        ("a: *x\n", ":1: is not YAML as it is read here: anchors, aliases and tags are not allowed"),
        ("a: !!python/object/apply:os.mkdir [x]\n", ":1: is not YAML as it is read here: anchors, aliases and tags"),
        ("a: 1\n<<: {b: 2}\n", ":2: is not YAML as it is read here: '<<' cannot be a key; keys are words"),
        ("yes: 1\n", ":1: is not YAML as it is read here: 'yes' cannot be a key; keys are words"),
        ("? [a]\n: 1\n", ":1: is not YAML as it is read here: a list or mapping cannot be a key; keys are words"),
        ("a: 1\nb: 2\na: 3\n", ":3: is not YAML as it is read here: the key 'a' stands here twice"),
        ("x:\n  - {a: 1, a: 2}\n", ":2: is not YAML as it is read here: the key 'a' stands here twice"),
        ("a: 1\nb: " + "[" * 5000, ":2: is not YAML as it is read here: is nested more than 16 deep"),
        ("a:\n" + "".join(f"{' ' * i}- \n" for i in range(100)), "is nested more than 16 deep"),
        ("a: 1\nb: 2024-13-45\n", ":2: is not YAML as it is read here: month must be in 1..12"),
        ("a: " + "9" * 5000 + "\n", ":1: is not YAML as it is read here: Exceeds the limit"),
        ("a: 1\nb: 0x" + "f" * 20_000 + "\n", ":2: is not YAML as it is read here: a number is too large"),
        ("a: 1" + ":30" * 400 + ":30.5\n", ":1: is not YAML as it is read here: int too large to convert to float"),
        ("a: 1\nb: [\n", ":3: is not YAML as it is read here: expected the node content, but found '<stream end>'"),
        ("a: 1\n---\nb: 1\n", ":2: is not YAML as it is read here: but found another document"),
        ("a: 1\nb: \x1b[31m\n", ":2: holds the sign U+001B, which YAML does not allow; remove it"),
        ("a: 1\nb: Universität\n".encode("latin-1"), ":2: is not UTF-8; save the file as UTF-8"),
        ("", ": holds no 'key: value' lines; see docker/example and benchmarks/ for complete files"),
        ("- a\n", ": holds no 'key: value' lines; see docker/example and benchmarks/ for complete files"),
    ],
)
def test_a_file_that_is_not_plain_is_refused_in_one_line_with_file_and_line(tmp_path, content, message):
    """Nothing that YAML can hide reaches the program, and nothing that it can break ends in a traceback."""
    with pytest.raises(ProtocolError) as caught:
        read(tmp_path, content)

    assert str(caught.value).startswith(f"{tmp_path}/protocol.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_cannot_steer_the_terminal(tmp_path):
    """What a stranger wrote is shown without escape sequences, and not at length."""
    folder = tmp_path / "cubes"
    folder.mkdir()
    key = "\\e[31m" + "x" * 500
    (folder / "protocol.yaml").write_text(f'"{key}": 1\n')
    with pytest.raises(ProtocolError) as caught:
        load_benchmark(folder)
    assert "\x1b" not in str(caught.value)

    (folder / "protocol.yaml").write_text("schema_version: " + "y" * 5000 + "\n")
    with pytest.raises(ProtocolError) as caught:
        load_benchmark(folder)
    assert "schema_version: Input should be 1 (got 'yyyy" in str(caught.value)
    assert len(str(caught.value)) < len(str(folder)) + 250


def test_the_identity_of_a_benchmark_is_that_of_its_bytes(benchmark, tmp_path):
    """A space more is another protocol."""
    file = benchmark.folder / "protocol.yaml"
    file.write_bytes(file.read_bytes() + b" ")

    assert load_benchmark(benchmark.folder).sha256 != benchmark.sha256
