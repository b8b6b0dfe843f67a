"""Numbers as people read them."""

import pytest

from tef.report.wording import counted, measured, number
from tef.score import Estimate


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.74349, "1", "0.743"),
        (0.0, "1", "0.000"),
        (-0.0001, "1", "0.000"),
        (12.345, "1", "12.3"),
        (0.0, "mm", "0"),
        (0.01234, "mm", "0.012"),
        (5.364, "mm", "5.36"),
        (84.52, "ml", "84.5"),
        (1234.5, "ml", "1234"),
    ],
)
def test_number_has_decimals_that_mean_something(value: float, unit: str, text: str) -> None:
    """Three decimals for ratios, three significant digits for millimetres and millilitres."""
    assert number(value, unit) == text


def test_number_that_would_round_to_a_bound_gets_more_decimals() -> None:
    """Below the bound must not read as the bound; the bound itself does."""
    assert number(0.69999, apart_from=0.7) == "0.69999"
    assert number(0.7, apart_from=0.7) == "0.700"


@pytest.mark.parametrize(
    ("value", "low", "high", "reason", "text"),
    [
        (5.364, 4.53, 6.2, None, "5.36 [4.53, 6.20] mm"),
        (5.364, None, None, "no interval: one patient", "5.36 [no interval: one patient] mm"),
        (None, None, None, "no case has a value", "undefined: no case has a value"),
        (None, None, None, "undefined: needs a case", "undefined: needs a case"),
    ],
)
def test_missing_numbers_are_replaced_by_their_reason(value, low, high, reason, text) -> None:
    """A value without an interval and no value at all each say why."""
    estimate = Estimate("hd95", "tumour", "mm", value, low, high, 0.95, "mean", 1, 4, 5, 4, 1, {}, None, reason)
    assert measured(estimate) == text


def test_counts_agree_with_their_noun() -> None:
    """One case, two cases."""
    assert [counted(1, "case"), counted(2, "case"), counted(0, "case")] == ["1 case", "2 cases", "0 cases"]
