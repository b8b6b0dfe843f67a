"""The page that people read, checked as its text and its elements."""

import dataclasses
import itertools
import re
from html.parser import HTMLParser

import pytest

from tef.report import Finding, Report, load_report, write_report
from tef.report.html import render_html, write_html
from tef.report.wording import estimated
from tef.run import Run

HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)>"'--><!-- {{ 7 * 7 }} $\\frac{1}{2$"""


class Page(HTMLParser):
    """Elements and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._silent = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def page_of(report: Report) -> Page:
    """The page of a report, parsed."""
    return Page(render_html(report))


@pytest.fixture(scope="module", params=["segmentation", "classification"])
def report(request: pytest.FixtureRequest) -> Report:
    """One of each task."""
    built: Report = request.getfixturevalue(request.param)()
    return built


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    """Its page, parsed."""
    return page_of(report)


def row_of(html: str, start: str) -> str:
    """Text of the first table row whose text begins so."""
    rows = [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL)]
    return next(row for row in rows if row.startswith(start))


def test_every_estimate_stands_there_with_its_n(report: Report, page: Page) -> None:
    """Each metric, on the cohort and in each subgroup, shows value, interval, cases used and cases in all."""
    for e in report.estimates:
        shown = f"not estimated: {e.reason}" if e.value is None and e.subgroup else estimated(e)
        assert shown in page.text
        assert f"{e.n_used} / {e.n_total}" in page.text


def test_results_table_names_failures_and_undefined_cases(segmentation) -> None:
    """A metric that some cases have no value of says how many, and why."""
    row = row_of(render_html(segmentation()), "HD95 5")
    assert "37 / 40" in row
    assert "1 × failed: TIMEOUT" in row
    assert "1 × the prediction is empty, the reference standard is not" in row


def test_verdict_says_what_was_tested_on_whom_and_how_it_ended(segmentation) -> None:
    """The box on top holds submission, intended use, cohort, denominators and each criterion's outcome."""
    page = page_of(segmentation())
    top = page.text.partition("Findings")[0]
    for words in (
        "Not accepted",
        "acme-net , version 2.4.1",
        "attempt 2 of this submission on this cohort",
        "Decision support for radiologists",
        "Held-out examinations of one university hospital",
        "40 cases of 35 patients",
        "2 failed",
        "Dice at least 0.6 ✓ met",
        "NSD at 2 mm at least 0.75 ? inconclusive",
        "It is not a certification",
    ):
        assert words in top


def test_accepted_only_where_the_report_says_so(classification) -> None:
    """An accepted run is headed so, and a rejected one is not."""
    accepted = classification(n_cases=156, failed={}, skill=2.0)
    rejected = classification(n_cases=156, failed={}, skill=0.0)
    assert accepted.accepted
    assert not rejected.accepted
    assert "All acceptance criteria met" in page_of(accepted).text
    assert "All acceptance criteria met" not in page_of(rejected).text
    assert "✗ not met" in page_of(rejected).text


def test_bound_and_interval_are_told_apart_where_rounding_would_hide_it(segmentation) -> None:
    """An interval that ends just below the bound does not print as the bound."""
    built = segmentation(acceptance=[{"metric": "dice", "at_least": 0.7}])
    first = dataclasses.replace(built.estimates[0], value=0.81, low=0.69996, high=0.9)
    near = dataclasses.replace(built, estimates=(first, *built.estimates[1:]))
    assert "0.810 [0.69996, 0.900]" in row_of(render_html(near), "Dice at least 0.7")


def test_findings_stand_the_gravest_first_and_an_error_reaches_the_verdict(segmentation) -> None:
    """An error is repeated in the verdict box; the list runs from error to note."""
    error = Finding("error", "independence", "1 of 40 held-out images stands in the training images.", ("c0ffee",))
    note = Finding("note", "run", "Resumed once.")
    text = page_of(segmentation(findings=(note, error))).text
    assert "In doubt: 1 finding puts this result in doubt: 1 of 40 held-out images" in text
    listed = text[text.index("What a reader must know") :]
    assert listed.index("1 of 40 held-out images") < listed.index("Resumed once.")
    assert "c0ffee" in listed


def test_text_of_others_cannot_become_markup(segmentation) -> None:
    """What submitters, protocols and cohorts wrote is shown letter by letter, in tables and in plots."""
    report = segmentation(
        submission={
            "intended_use": HOSTILE, "contact": HOSTILE, "training_data": {"description": HOSTILE},
        },
        card={"title": HOSTILE, "notes": [HOSTILE], "dct:license": HOSTILE},
        title=HOSTILE,
        subgroups=[{"name": HOSTILE, "attribute": "sex"}],
    )  # fmt: skip
    page = page_of(report)
    assert not page.all("script", "img")
    assert not [attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)]
    assert page.text.count("<script>alert(1)</script>") >= 9
    assert "{{ 7 * 7 }}" in page.text


def test_page_loads_nothing_and_runs_nothing(page: Page) -> None:
    """No script, no frame, no link that leaves the page; the page's own policy forbids them as well."""
    assert not page.all("script", "iframe", "object", "embed", "img", "base", "form")
    for attributes in page.all("a", "link", "use", "image", "image"):
        for name in ("href", "xlink:href", "src"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    assert all("url(http" not in (a.get("style") or "") for _, a in page.elements)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_every_plot_has_an_alternative_text_with_numbers(report: Report, page: Page) -> None:
    """Each drawing is an image with a sentence that holds numbers; each figure holds one."""
    drawings = page.all("svg")
    assert len(drawings) == len(page.all("figure")) == (3 if report.benchmark["task"] == "segmentation" else 4)
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert re.search(r"\d", attributes["aria-label"] or "")


def test_structure_serves_keyboard_and_screen_reader(page: Page) -> None:
    """Language, skip link, headings without gaps, captions, scopes, no identifier twice, links that lead somewhere."""
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("a")[0]["href"] == "#main"
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(a["href"] or "")[1:] for a in page.all("a")} <= set(ids)


def test_same_report_gives_the_same_bytes(report: Report) -> None:
    """The page depends on the report alone, so that it can be made again and compared."""
    assert render_html(report) == render_html(report)


def test_page_never_says_nan_none_or_claims_conformity(page: Page) -> None:
    """No programmer's word for a missing value, and no word of certification, reaches a reader."""
    assert not re.search(r"\b(nan|NaN|None|inf)\b", page.text)
    assert not re.search(r"\b(compliant|certified|ground truth|validation)\b", page.text, re.IGNORECASE)


def test_run_without_failures_says_so(segmentation) -> None:
    """Zero failures are a statement, not an absence."""
    page = page_of(segmentation(failed={}))
    assert "0 failed" in page.text
    assert "Failure rate 0.000 [0.000, 0.088]" in page.text
    assert "Failed cases by code" not in page.text


@pytest.mark.parametrize("policy", ["worst", "exclude"])
@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_run_in_which_every_case_failed_has_a_report(request: pytest.FixtureRequest, task: str, policy: str) -> None:
    """The page stands when nothing was predicted, and says why numbers are missing."""
    build = request.getfixturevalue(task)
    report = build(failed=dict.fromkeys(range(40), "OOM_KILLED"), on_failure=policy)
    page = page_of(report)
    criterion = "HD95 at most 12 mm" if task == "segmentation" else "AUROC at least 0.8"
    assert "Not accepted" in page.text
    assert "OOM_KILLED : 40" in page.text
    assert "undefined: no case was predicted" in page.text
    assert "No predicted case has a value." in page.text
    if policy == "exclude":
        assert row_of(render_html(report), criterion).endswith("? inconclusive undefined: no case has a value 0 / 40")


def test_cohort_of_one_case_has_a_report(segmentation, classification) -> None:
    """One case gives a value without an interval, and the page says why there is none."""
    assert "[no interval: one patient]" in page_of(segmentation(n_cases=1, failed={})).text
    assert "There are no curves" in page_of(classification(n_cases=1, failed={})).text


def test_protocol_without_subgroups_says_that_none_were_tested(classification) -> None:
    """A reader does not take silence for absence of differences."""
    page = page_of(classification(subgroups=[]))
    assert "The protocol registers no subgroups" in page.text
    assert "forest" not in " ".join(a["class"] or "" for a in page.all("svg"))


def test_criterion_on_a_subgroup_that_is_not_there_is_inconclusive(segmentation) -> None:
    """A bound on a group that the cohort lacks is shown as such."""
    report = segmentation(acceptance=[{"metric": "dice", "subgroup": "manufacturer=Canon", "at_least": 0.5}])
    row = row_of(render_html(report), "Dice at least 0.5, manufacturer: Canon")
    assert "inconclusive undefined: the cohort has no such subgroup" in row


def test_small_groups_are_named_with_the_reason_but_their_cases_are_not_shown(segmentation) -> None:
    """A group below the protocol's size is in the table, and neither in the strip plot nor beside a worst case."""
    report = segmentation()
    html = render_html(report)
    assert "not estimated: fewer than 3 patients" in row_of(html, "manufacturer: Philips")
    strip = next(a["aria-label"] for a in Page(html).all("svg") if "plot-strip" in (a["class"] or ""))
    assert "Philips" not in (strip or "")
    assert "Siemens" in (strip or "")


def test_worst_segmentations_are_predicted_cases_on_the_bad_side(segmentation) -> None:
    """Lowest where higher is better, highest where lower is; never a failed case."""
    report = segmentation()
    ranked = sorted((c for c in report.cases if c.outcome == "ok"), key=lambda c: c.scores["dice"] or 0)
    html = render_html(report)
    assert "The 5 cases with the lowest Dice" in html
    table = html[html.index("with the lowest Dice") :].partition("</table>")[0]
    assert re.findall(r"c[0-9a-f]{16}", table) == [case.case for case in ranked[:5]]
    distances = render_html(segmentation(primary="hd95"))
    assert "The 5 cases with the highest HD95" in distances


def test_worst_classifications_are_farthest_from_the_reference_standard(classification) -> None:
    """The five largest differences, largest first."""
    report = classification(failed={})
    far = sorted(report.cases, key=lambda c: -abs((c.scores["probability"] or 0) - (c.scores["reference"] or 0)))
    html = render_html(report)
    table = html[html.index("farthest from the reference standard") :].partition("</table>")[0]
    assert re.findall(r"c[0-9a-f]{16}", table) == [case.case for case in far[:5]]


def test_how_it_was_run_is_on_the_page(page: Page, report: Report) -> None:
    """Engine, image, versions, seed, attempt and every digest can be read off."""
    for words in (
        "Attempt 2 of this submission on this cohort",
        "engine podman",
        f"sha256:{'d' * 64}",
        "b" * 64,
        "5" * 64,
        "c" * 64,
        "numpy 2.3.4",
        "20260101",
        "memory (MB) 2048",
        "0.987 s",
        "0.120 s",
        *report.definitions.values(),
    ):
        assert words in page.text


def test_written_page_is_the_rendered_one(tmp_path, report: Report) -> None:
    """The run folder holds the page under its own name, and no draft."""
    write_html(Run(tmp_path, {}), report)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_html(report)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_page_of_a_report_read_back_is_the_same(tmp_path, report: Report) -> None:
    """Made again from ``report.json``, the page does not change by a byte."""
    write_report(Run(tmp_path, {}), report)
    assert render_html(load_report(Run(tmp_path, {}))) == render_html(report)


def test_subgroup_with_another_method_refers_to_it(classification) -> None:
    """Where a proportion is 1 in a subgroup, the cell points to the Wilson interval in the list of methods."""
    report = classification(n_cases=60, failed={}, skill=4.0)
    other = next(e for e in report.estimates if e.subgroup and e.value is not None and "Wilson" in e.method)
    text = page_of(report).text
    assert re.search(re.escape(estimated(other)) + r" \(method \d+\)", text)
    assert other.method in text[text.index("where they differ from that of the whole cohort") :]
