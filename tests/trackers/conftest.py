"""A finished run, small and complete, as trackers are told of it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tef.files import write_json
from tef.report import CaseResult, Report, write_report
from tef.run import Run
from tef.score import Estimate
from tef.statistics import Decision

Finished = Callable[..., tuple[Run, Report]]
SECRET = "5ec2e700" * 4
CASE_ID = "PATIENT-7041-left"


def _estimate(metric: str, value: float | None, subgroup: str | None = None, **changed: Any) -> Estimate:
    bounds = (None, None) if value is None else (value - 0.1, value + 0.1)
    known = Estimate(metric, "gtv", "1", value, *bounds, 0.95, "mean over cases", 7, 3, 4, 3, 1, {}, subgroup, None)
    return dataclasses.replace(known, **changed)


@pytest.fixture
def estimate() -> Callable[..., Estimate]:
    """Make an estimate: metric, value, subgroup, and any field by name."""
    return _estimate


@pytest.fixture
def finished(tmp_path: Path) -> Finished:
    """Make a finished run on disk: its folder's name, then any field of the report by name."""

    def make(run_id: str = "20260102T030405-demo-net-0a0b", **changed: Any) -> tuple[Run, Report]:
        report = dataclasses.replace(_report(run_id), **changed)
        folder = tmp_path / "runs" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        known = {key: report.run[key] for key in ("run_id", "attempt", "provenance", "sessions", "image")}
        names = {"benchmark": {"name": "demo"}, "submission": {"name": "net"}, "cohort": {"name": "c"}, "identity": {}}
        run = Run(folder, known | names | {"schema_version": 1, "secret": SECRET})
        write_json(run.record_file, run.record)
        run.config_file.write_text("site: {name: here}\n", encoding="utf-8")
        run.html_file.write_text("<p>report</p>\n", encoding="utf-8")
        run.scores_file.write_text(json.dumps([CASE_ID]), encoding="utf-8")
        run.ledger_file.write_text(json.dumps([CASE_ID]), encoding="utf-8")
        write_report(run, report)
        return run, report

    return make


def _report(run_id: str) -> Report:
    cases = (
        CaseResult("c01", "ok", {"dice": 0.9, "hd95": None}, {"hd95": "both empty"}, ("sex=F",), 1.5, 1.6),
        CaseResult("c02", "TIMEOUT", {"dice": 0.0, "hd95": 80.0}, {}, ("sex=M",), None, 9.0),
    )
    estimates = (
        _estimate("dice", 1 / 3),
        _estimate("hd95", 12.25, unit="mm"),
        _estimate("auroc", 0.75),
        _estimate("dice", 0.5, "sex=F"),
        _estimate("dice", None, "sex=M", n_used=0, reason="fewer than 3 patients"),
        _estimate("dice", 0.25, "volume=<50 ml"),
        _estimate("dice", 0.625, "volume=>=50 ml"),
    )
    run = {
        "run_id": run_id,
        "attempt": 2,
        "started_at": "2026-01-02T03:04:05+00:00",
        "finished_at": "2026-01-02T03:14:05.250+00:00",
        "image": {"reference": "net:1", "digest": "sha256:" + "1" * 64},
        "provenance": {"tef": "0.1.0", "code": {"commit": "c" * 40, "dirty": True}},
        "sessions": [],
    }
    benchmark = {
        "name": "demo",
        "version": 3,
        "task": "segmentation",
        "primary": "dice",
        "operating_point": None,
        "on_failure": "worst",
        "min_subgroup_patients": 3,
        "interval": {"level": 0.95, "replicates": 2000, "seed": 7},
        "limits": {"memory_mb": 2048},
        "sha256": "b" * 64,
    }
    submission = {
        "name": "net",
        "version": "1.2.0",
        "contract": "tef",
        "resources": {"gpus": 0, "memory_mb": 512},
        "sha256": "d" * 64,
    }
    flow = {
        "n_total": 2,
        "n_predicted": 1,
        "n_failed": 1,
        "failure_rate": {"value": 0.5, "low": 0.1, "high": 0.9},
        "model_s_median": 1.5,
        "harness_s_median": 0.1,
    }
    return Report(
        schema_version=1,
        run=run,
        benchmark=benchmark,
        submission=submission,
        cohort={
            "card": {"name": "demo-cohort", "version": "2", "title": "T"},
            "sha256": "e" * 64,
            "n_cases": 2,
            "n_patients": 2,
        },
        flow=flow,
        accepted=False,
        decisions=(Decision("not met", "dice at least 0.6: not met"),),
        findings=(),
        definitions={"dice": "overlap"},
        better={"dice": "higher"},
        estimates=estimates,
        curves=(),
        cases=cases,
    )
