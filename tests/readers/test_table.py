"""A probability in a JSON file, written by a model that may be wrong or hostile."""

import pytest

from tef.readers import UnreadableOutput, read_probability

FORM = '{"probability": p} with 0 <= p <= 1'


@pytest.mark.parametrize(("text", "expected"), [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1e-3", 0.001)])
def test_a_probability_is_read(tmp_path, text, expected):
    """Whole numbers and decimals from 0 to 1."""
    path = tmp_path / "malignancy.json"
    path.write_text(f'{{"probability": {text}}}')
    assert read_probability(path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"probability": NaN}', f"p.json: is not JSON (NaN is not a JSON number); {FORM}"),
        (b'{"probability": Infinity}', f"p.json: is not JSON (Infinity is not a JSON number); {FORM}"),
        (b'{"probability": 1e999}', f"p.json: probability is inf; {FORM}"),
        (b'{"probability": 1.01}', f"p.json: probability is 1.01; {FORM}"),
        (b'{"probability": -0.5}', f"p.json: probability is -0.5; {FORM}"),
        (b'{"probability": true}', f"p.json: probability is a truth value; {FORM}"),
        (b'{"probability": "0.5"}', f"p.json: probability is a text; {FORM}"),
        (b'{"probability": null}', f"p.json: probability is a null; {FORM}"),
        (b'{"probability": [0.5]}', f"p.json: probability is a list; {FORM}"),
        (b'{"prob": 0.5}', f"p.json: holds the keys 'prob'; {FORM}"),
        (b'{"probability": 0.5, "label": 1}', f"p.json: holds the keys 'label', 'probability'; {FORM}"),
        (b'{"probability": 0.1, "probability": 0.9}', f"p.json: is not JSON (a key is there twice); {FORM}"),
        (b"{}", f"p.json: holds the keys none; {FORM}"),
        (b"0.5", f"p.json: holds a number; {FORM}"),
        (b"", f"p.json: is not JSON (Expecting value: line 1 column 1 (char 0)); {FORM}"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(tmp_path, content, message):
    """The message names the file and quotes what it holds."""
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableOutput) as error:
        read_probability(path)
    assert str(error.value) == message


@pytest.mark.parametrize("content", [b"\xff\xfe\xfd garbage", b"[" * 60_000, b'{"probability": ' + b"9" * 5000 + b"}"])
def test_hostile_files_end_in_the_same_error(tmp_path, content):
    """Bytes that are no text, endless nesting and endless digits."""
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableOutput, match=r"^p\.json: is not JSON"):
        read_probability(path)


def test_a_large_file_is_not_parsed(tmp_path):
    """Valid JSON beyond the limit is refused."""
    path = tmp_path / "p.json"
    path.write_bytes(b'{"probability": 0.5}' + b" " * 2**16)
    with pytest.raises(UnreadableOutput, match=r"^p\.json: is larger than 65536 bytes"):
        read_probability(path)
