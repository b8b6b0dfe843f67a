"""Makers of cohorts: each turns a public source into a sealed cohort, the same to the byte every time."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tef.cohort import Cohort
from tef.cohorts.breast_us import make_breast_us
from tef.cohorts.lidc_phantom import make_lidc_phantom
from tef.cohorts.sts_pet import make_sts_pet
from tef.errors import CohortError

__all__ = ["MAKERS", "make", "make_breast_us", "make_lidc_phantom", "make_sts_pet"]

MAKERS: Mapping[str, Callable[[Path, Path], Cohort]] = {
    "breast-us": make_breast_us,
    "lidc-phantom": make_lidc_phantom,
    "sts-pet": make_sts_pet,
}


def make(name: str, out: Path, source: Path) -> Cohort:
    """Build the cohort ``name`` from ``source`` in the new folder ``out``.

    Raises:
        CohortError: No such maker, ``out`` exists already, or ``source`` is not what the maker needs.
    """
    if name not in MAKERS:
        raise CohortError(f"cohort {name}: nothing here makes it; known are {', '.join(MAKERS)}")
    return MAKERS[name](out, source)
