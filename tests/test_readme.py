"""The texts for people keep their promises: commands run as written, names exist, and code is the code that is there."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support import ROOT

from tef.cli import _parser
from tef.cohorts import MAKERS
from tef.config import configure

TEXTS = ("README.md", "CONTRIBUTING.md", "docker/example/README.md")
# What the reader puts in: NAME, PATH, IMAGE...
PLACEHOLDER = re.compile(r"[A-Z]+(\.\.\.)?")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`((?:tef|make) [^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(text):
    """Language and content of each fenced block."""
    return BLOCK.findall((ROOT / text).read_text(encoding="utf-8"))


def commands(text):
    """Every command that a reader is told to type: after ``$`` in a block, or as code in a sentence."""
    shown = [line[2:] for _, block in blocks(text) for line in block.splitlines() if line.startswith("$ ")]
    prose = BLOCK.sub("", (ROOT / text).read_text(encoding="utf-8"))
    return [shlex.split(line, comments=True) for line in shown + INLINE.findall(prose)]


def all_commands(program):
    """Arguments of every command of this program, each with the text that shows it."""
    found = [(text, words) for text in TEXTS for words in commands(text) if Path(words[0]).name == program]
    return [pytest.param(words[1:], id=f"{text}: {shlex.join(words)}") for text, words in found]


def is_placeholder(word):
    return PLACEHOLDER.fullmatch(word) is not None


def assert_exists(path):
    """A path of the project is there; one that begins with ``/`` is the reader's own."""
    assert is_placeholder(path) or path.startswith("/") or (ROOT / path).exists(), f"{path} is not there"


@pytest.fixture
def an_engine(monkeypatch):
    """Composing a configuration looks for an engine; which one this machine has is of no matter here."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.chdir(ROOT)


def test_the_readme_shows_how_to_begin():
    """The tests below have something to check: the first command is there, and code of the example to copy."""
    assert ["make", "demo"] in commands("README.md")
    assert ["make", "test"] in commands("CONTRIBUTING.md")
    assert any(words[:2] == ["tef", "evaluate"] for words in commands("docker/example/README.md"))
    assert [path for path, _ in quoted_files()] != []


@pytest.mark.parametrize("words", all_commands("make"))
def test_every_make_command_names_a_target(words):
    """What a reader is told to make, make knows how to."""
    done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" not in done.stdout


@pytest.mark.parametrize("words", all_commands("tef"))
def test_every_tef_command_is_one(words, an_engine):
    """It is understood, and every benchmark, submission, cohort, path and override in it exists; a mere name is a command's."""
    if len(words) == 1:
        with pytest.raises(SystemExit) as ended:
            _parser().parse_args([*words, "--help"])
        assert ended.value.code == 0
        return
    given = vars(_parser().parse_args(words))

    if "benchmark" in given:
        assert_benchmark(given["benchmark"])
        assert_submission(given["submission"])
    if "source" in given:
        assert is_placeholder(given["name"]) or given["name"] in MAKERS
    if "overrides" in given:
        configure([word for word in given["overrides"] if not is_placeholder(word)], given["config_dir"])
    for run in (given.get("run"), given.get("first"), given.get("second")):
        assert run is None or is_placeholder(run), f"{run}: a run is on the reader's machine; write RUN"
    for path in given.get("paths", ()):
        assert_exists(str(path))


def assert_benchmark(word):
    assert is_placeholder(word) or (ROOT / "benchmarks" / word / "protocol.yaml").is_file() or (ROOT / word).is_dir(), word


def assert_submission(word):
    places = (ROOT / "docker" / word / "submission.yaml", ROOT / word / "submission.yaml")
    assert is_placeholder(word) or any(path.is_file() for path in places), word


@pytest.mark.parametrize("words", all_commands("build.sh"))
def test_every_image_that_is_built_has_its_folder(words):
    """``docker/build.sh`` is told of folders that have a Dockerfile."""
    assert (ROOT / "docker" / "build.sh").is_file()
    for name in words:
        assert is_placeholder(name) or (ROOT / "docker" / name / "Dockerfile").is_file(), name


def links():
    """Every link to a file of the project, with the text it stands in."""
    found = [(text, link) for text in TEXTS for link in LINK.findall((ROOT / text).read_text(encoding="utf-8"))]
    return [pytest.param(text, link, id=f"{text}: {link}") for text, link in found if not re.match(r"https?:|mailto:|#", link)]


@pytest.mark.parametrize(("text", "link"), links())
def test_every_link_leads_somewhere(text, link):
    """A file that is linked to is there, and is part of the project."""
    target = ((ROOT / text).parent / link.partition("#")[0]).resolve()

    assert target.exists()
    assert target.is_relative_to(ROOT)


def quoted_files():
    """Path and content of each block that says in its first line, a comment, which file it shows."""
    found = []
    for text in TEXTS:
        for language, block in blocks(text):
            first, _, rest = block.partition("\n")
            if language in ("dockerfile", "python", "yaml") and re.fullmatch(r"# [\w./-]+/[\w.-]+", first):
                found.append((first[2:], rest))
    return found


@pytest.mark.parametrize(("path", "shown"), quoted_files())
def test_a_file_that_is_shown_is_the_file_that_is_there(path, shown):
    """What a reader copies from the text is what the tests have run."""
    assert shown == (ROOT / path).read_text(encoding="utf-8")
