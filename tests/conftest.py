"""Fixtures that several test modules share."""

import pytest
from support import make_cohort, protocol, write_benchmark, write_submission


@pytest.fixture(scope="session")
def cubes(tmp_path_factory):
    """The small cohort; read-only."""
    return make_cohort(tmp_path_factory.mktemp("cohorts") / "cubes")


@pytest.fixture
def benchmark(cubes, tmp_path):
    """Segmentation of the cubes."""
    return write_benchmark(tmp_path / "benchmarks" / "cubes", protocol(cubes))


@pytest.fixture
def submission(tmp_path):
    """A submission that finds cubes."""
    return write_submission(tmp_path / "submissions" / "cube-finder")
