from pathlib import Path
from typing import Any

import pytest

from tef.cohort import Case, load_cohort
from tef.cohorts import MAKERS, make
from tef.cohorts.building import build
from tef.errors import CohortError


def fill(folder: Path) -> tuple[dict[str, Any], list[Case]]:
    """The smallest cohort: one case of one file."""
    (folder / "a.txt").write_text("a")
    return {"name": "n", "version": "1", "title": "t"}, [Case("c", "p", {"x": folder / "a.txt"}, {"y": 1}, {}, "0" * 64)]


def test_a_built_cohort_loads_from_its_final_name(tmp_path: Path) -> None:
    """The cohort lies where it was asked for, with nothing beside it."""
    cohort = build(tmp_path / "deep" / "n", fill)

    assert cohort.folder == tmp_path / "deep" / "n"
    assert load_cohort(tmp_path / "deep" / "n").sha256 == cohort.sha256
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["n"]


def test_a_build_that_dies_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    """An interrupted build never looks like a cohort, and the next one can begin at once."""

    def die(folder: Path) -> tuple[dict[str, Any], list[Case]]:
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "n", die)

    assert not (tmp_path / "n").exists()
    assert len(build(tmp_path / "n", fill)) == 1


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_an_existing_folder_is_never_overwritten(tmp_path: Path, name: str) -> None:
    """Every maker refuses before it reads its source."""
    (tmp_path / name).mkdir()

    with pytest.raises(CohortError, match=f"{name}: exists already; remove it to build it anew, or choose another folder"):
        make(name, tmp_path / name, tmp_path / "no source")


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_missing_source_is_named(tmp_path: Path, name: str) -> None:
    """The message says which file is missing; no folder appears."""
    with pytest.raises(CohortError, match=r"no source.* is missing; "):
        make(name, tmp_path / name, tmp_path / "no source")

    assert list(tmp_path.iterdir()) == []


def test_an_unknown_cohort_lists_the_known_ones(tmp_path: Path) -> None:
    """A misspelt name is answered with every name."""
    with pytest.raises(CohortError, match="cohort lidc: nothing here makes it; known are breast-us, lidc-phantom, sts-pet"):
        make("lidc", tmp_path / "out", tmp_path)
