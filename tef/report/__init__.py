"""The report of a run: ``report.json`` is the truth, every other form is a view of it."""

from tef.report.content import CaseResult, Curve, Finding, Report, load_report, write_report

__all__ = ["CaseResult", "Curve", "Finding", "Report", "load_report", "write_report"]
