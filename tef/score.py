"""Numbers that carry what they are: a Score of one case, an Estimate over a cohort or a subgroup."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """One case x metric x label: a value, or the reason why there is none, never both and never neither.

    Attributes:
        metric: Name in the protocol; for classification also ``probability`` and ``reference``, from which all else follows.
        label: Output name of the interface.
        unit: ``1`` for a ratio, else ``mm``, ``ml``.
        value: Finite, or None.
        undefined: Why there is no value, in words, or None.
        failure: The failure code where the value was imputed by the protocol's failure policy, or excluded by it.
    """

    case_id: str
    metric: str
    label: str
    unit: str
    value: float | None
    undefined: str | None = None
    failure: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.undefined is None):
            raise ValueError(
                f"{self.metric} of case {self.case_id}: a value or a reason, not {self.value!r} and {self.undefined!r}"
            )


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric over the cohort or a subgroup, with its uncertainty and its denominators.

    Attributes:
        value: The estimate, or None where `reason` says why.
        low, high: Ends of the interval, or None where the interval is undefined.
        level: Confidence level of the interval, such as 0.95.
        method: What was computed, in words that a methods section can quote.
        n_used: Cases behind the value. n_total: Cases of the cohort or subgroup. n_patients: patients of the cases used.
        n_failed: Cases without a prediction among n_total.
        undefined: Reason to number of cases without a value.
        subgroup: ``name=value``, or None for the whole cohort.
        reason: Why value, or interval, is None.
    """

    metric: str
    label: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    level: float
    method: str
    seed: int
    n_used: int
    n_total: int
    n_patients: int
    n_failed: int
    undefined: Mapping[str, int]
    subgroup: str | None
    reason: str | None
