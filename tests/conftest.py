"""Fixtures that several test modules share."""

import engines
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


@pytest.fixture(scope="session")
def podman_engine():
    """A real Podman."""
    engines.podman()


@pytest.fixture(scope="session")
def docker_engine(tmp_path_factory):
    """A real Docker, its daemon started for the session where it is not up."""
    daemon = engines.docker(tmp_path_factory.mktemp("docker"))
    yield
    if daemon is not None:
        daemon.terminate()
        daemon.wait(timeout=60)
