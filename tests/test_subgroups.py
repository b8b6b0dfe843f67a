"""Subgroups: every case is in one group of each kind, and groups are named as a reader expects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tef.benchmark import Subgroup
from tef.errors import CohortError
from tef.subgroups import band_names, subgroup_labels

VOLUME = Subgroup(name="tumour volume", attribute="volume_ml", cuts=(50, 200), unit="ml")


def test_bands_name_their_ends():
    """A cut belongs to the band above it."""
    assert band_names(VOLUME) == ("<50 ml", "50 to <200 ml", ">=200 ml")
    assert band_names(Subgroup(name="age", attribute="age", cuts=(62.5,))) == ("<62.5", ">=62.5")
    assert band_names(Subgroup(name="sex", attribute="sex")) == ()


def test_cases_are_grouped_by_value_and_by_band():
    """Values in order, bands in theirs with the empty one, and what is not known last."""
    cases = [
        {"sex": "M", "volume_ml": 50.0},
        {"sex": None, "volume_ml": 49.9},
        {"sex": "F", "volume_ml": float("nan")},
        {"sex": "M", "volume_ml": 60},
    ]
    groups = subgroup_labels([Subgroup(name="sex", attribute="sex"), VOLUME], cases)
    assert {name: [(text, np.flatnonzero(index).tolist()) for text, index in rows] for name, rows in groups.items()} == {
        "sex": [("sex=F", [2]), ("sex=M", [0, 3]), ("sex=not known", [1])],
        "tumour volume": [
            ("tumour volume=<50 ml", [1]),
            ("tumour volume=50 to <200 ml", [0, 3]),
            ("tumour volume=>=200 ml", []),
            ("tumour volume=not known", [2]),
        ],
    }


def test_numbers_without_cuts_are_values_in_order_of_size():
    """Grades 1, 2 and 10, not 1, 10 and 2."""
    groups = subgroup_labels([Subgroup(name="grade", attribute="grade")], [{"grade": g} for g in (10, 2, 1.0, 2)])
    assert [text for text, _ in groups["grade"]] == ["grade=1", "grade=2", "grade=10"]


@given(st.lists(st.one_of(st.none(), st.floats(-1e3, 1e3), st.just(50), st.just(200)), min_size=1))
def test_each_case_is_in_one_band(values):
    """No case is lost and none counts twice."""
    (rows,) = subgroup_labels([VOLUME], [{"volume_ml": value} for value in values]).values()
    assert np.sum([index for _, index in rows], axis=0).tolist() == [1] * len(values)


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([{"sex": "M", "age": 3}], "subgroup tumour volume: the cohort has no attribute 'volume_ml'; it has age, sex"),
        ([{"volume_ml": "big"}], "subgroup tumour volume: a case's 'volume_ml' is 'big'; a number, as it is cut into bands"),
    ],
)
def test_attributes_that_do_not_fit_are_the_data_holders(cases, message):
    """A protocol that asks for what the cohort lacks is told what is there."""
    with pytest.raises(CohortError) as error:
        subgroup_labels([VOLUME], cases)
    assert str(error.value) == message


# --- verdicts
