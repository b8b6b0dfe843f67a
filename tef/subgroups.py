"""Which cases make which subgroup, as the protocol defines it over the cohort's attributes."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tef.benchmark import Subgroup
from tef.errors import CohortError

Bools = NDArray[np.bool_]

NOT_KNOWN = "not known"


def band_names(subgroup: Subgroup) -> tuple[str, ...]:
    """The bands of a subgroup with cuts, such as ``<50 ml``, ``50 to <200 ml``, ``>=200 ml``; none without cuts."""
    if subgroup.cuts is None:
        return ()
    cuts = [f"{cut:g}" for cut in subgroup.cuts]
    unit = f" {subgroup.unit}" if subgroup.unit else ""
    middle = (f"{low} to <{high}{unit}" for low, high in pairwise(cuts))
    return (f"<{cuts[0]}{unit}", *middle, f">={cuts[-1]}{unit}")


def subgroup_labels(
    subgroups: Sequence[Subgroup], attributes: Sequence[Mapping[str, str | float | None]]
) -> dict[str, list[tuple[str, Bools]]]:
    """For each subgroup, by name, its groups as ``name=value`` with the cases in it.

    Args:
        subgroups: Of the protocol.
        attributes: Of each of n cases.

    Returns:
        Groups in the order of bands or of values, each with bool (n,). Every band is there, with or without cases; cases whose
        value is missing come last, as ``name=not known``.

    Raises:
        CohortError: The cohort has no such attribute, or a value that is cut into bands is not a number.
    """
    result = {}
    for subgroup in subgroups:
        if not any(subgroup.attribute in case for case in attributes):
            known = ", ".join(sorted({name for case in attributes for name in case})) or "none"
            raise CohortError(f"subgroup {subgroup.name}: the cohort has no attribute '{subgroup.attribute}'; it has {known}")
        groups = [_group(subgroup, case.get(subgroup.attribute)) for case in attributes]
        bands = band_names(subgroup)
        order = list(bands) if bands else _sorted_values(subgroup, attributes)
        order += [NOT_KNOWN] * (NOT_KNOWN in groups and NOT_KNOWN not in order)
        result[subgroup.name] = [(f"{subgroup.name}={text}", np.array([group == text for group in groups])) for text in order]
    return result


def _group(subgroup: Subgroup, value: str | float | None) -> str:
    """The group that a value belongs to."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOT_KNOWN
    if subgroup.cuts is None:
        return value if isinstance(value, str) else f"{value:g}"
    if isinstance(value, str):
        raise CohortError(
            f"subgroup {subgroup.name}: a case's '{subgroup.attribute}' is '{value}'; a number, as it is cut into bands"
        )
    return band_names(subgroup)[sum(value >= cut for cut in subgroup.cuts)]


def _sorted_values(subgroup: Subgroup, attributes: Sequence[Mapping[str, str | float | None]]) -> list[str]:
    """Names of the values that occur, numbers by size and then words by letter."""
    values = {case.get(subgroup.attribute) for case in attributes}
    ordered = sorted((value for value in values if value is not None), key=lambda value: (isinstance(value, str), value))
    return list(dict.fromkeys(group for group in (_group(subgroup, value) for value in ordered) if group != NOT_KNOWN))
