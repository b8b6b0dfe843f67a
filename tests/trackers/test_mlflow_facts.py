"""Names and values for MLflow."""

import dataclasses

from tef.trackers.mlflow_facts import facts_of, per_case


def test_a_subgroup_of_bands_gets_a_readable_name(finished) -> None:
    """``<`` and ``>=``, which MLflow refuses, become words."""
    metrics = facts_of(*finished()).metrics
    assert metrics["dice/mean/volume:below 50 ml"] == 0.25
    assert metrics["dice/mean/volume:from 50 ml"] == 0.625


def test_groups_that_would_share_a_name_are_kept_apart(finished, estimate) -> None:
    """No group's number is overwritten by that of a group with a similar name, also where letter case is ignored."""
    groups = {"site=A/B": 0.1, "site=A?B": 0.2, "site=a_b": 0.3, "site=C": 0.4}
    estimates = tuple(estimate("dice", value, group) for group, value in groups.items())
    metrics = facts_of(*finished(estimates=estimates)).metrics
    means = {name: value for name, value in metrics.items() if name.startswith("dice/mean/")}
    assert sorted(means.values()) == [0.1, 0.2, 0.3, 0.4]
    assert len({name.casefold() for name in means}) == 4
    assert means["dice/mean/site:C"] == 0.4


def test_a_very_long_group_fits_and_stays_unique(finished, estimate) -> None:
    """MLflow takes names of 250 letters; groups that differ only beyond that keep their own numbers."""
    estimates = tuple(estimate("dice", value, "site=" + "x" * 400 + end) for end, value in (("1", 0.1), ("2", 0.2)))
    means = {k: v for k, v in facts_of(*finished(estimates=estimates)).metrics.items() if k.startswith("dice/mean/")}
    assert sorted(means.values()) == [0.1, 0.2]
    assert all(len(name) <= 250 for name in means)


def test_what_is_no_finite_number_is_not_a_metric(finished, estimate) -> None:
    """MLflow would store infinity as a very large number, and show NaN as a value."""
    estimates = (estimate("dice", float("inf")), estimate("hd95", None), estimate("nsd", 0.5, high=float("nan")))
    run, report = finished()
    metrics = facts_of(run, dataclasses.replace(report, estimates=estimates)).metrics
    assert not {"dice/mean", "hd95/mean", "nsd/ci95_high"} & metrics.keys()
    assert metrics["nsd/value"] == 0.5


def test_the_interval_is_named_after_its_level(finished, estimate) -> None:
    """A 90 % interval does not pass for a 95 % one."""
    metrics = facts_of(*finished(estimates=(estimate("dice", 0.5, level=0.9),))).metrics
    assert metrics["dice/ci90_low"] == 0.4
    assert "dice/ci95_low" not in metrics


def test_a_long_value_is_not_cut_in_silence(finished) -> None:
    """Beyond MLflow's limit the value says where the whole of it is."""
    _, report = finished()
    submission = {**report.submission, "version": "9" * 7000}
    facts = facts_of(*finished(submission=submission))
    assert facts.tags["tef.submission.version"] == "7000 characters, see results/report.json"
    assert facts.params["submission.version"] == "7000 characters, see results/report.json"


def test_status_tells_a_whole_run_from_a_partial_and_a_failed_one(finished) -> None:
    """ok, partial and failed follow the number of cases without a prediction."""
    _, report = finished()
    found = []
    for failed, predicted in ((0, 2), (1, 1), (2, 0)):
        flow = {**report.flow, "n_failed": failed, "n_predicted": predicted}
        found.append(facts_of(*finished(flow=flow)).tags["tef.status"])
    assert found == ["ok", "partial", "failed"]


def test_the_table_of_cases_has_a_row_a_case_under_its_opaque_name(finished) -> None:
    """An undefined score is empty, not zero."""
    _, report = finished()
    table = per_case(report)
    assert table["columns"] == ["case", "outcome", "dice", "hd95", "groups", "model_s", "total_s"]
    assert table["data"] == [
        ["c01", "ok", 0.9, None, ["sex=F"], 1.5, 1.6],
        ["c02", "TIMEOUT", 0.0, 80.0, ["sex=M"], None, 9.0],
    ]
