"""Plots: what they say in words, and that they can stand in one page."""

import dataclasses
import re
import warnings

import pytest

from tef.report import Report, plots

SEGMENTATION = (plots.forest_plot, plots.cases_plot, plots.strip_plot)
CLASSIFICATION = (plots.forest_plot, plots.roc_plot, plots.reliability_plot, plots.distribution_plot)


def alt_of(svg: str | None) -> str:
    """Alternative text of a drawing."""
    found = re.search(r'aria-label="([^"]*)"', svg or "")
    assert found
    return found.group(1)


def test_alternative_texts_of_segmentation_tell_the_numbers(segmentation) -> None:
    """A reader who cannot see the plot gets range, median, mean with interval, failures and each subgroup."""
    report = segmentation()
    values = sorted(case.scores["dice"] or 0 for case in report.cases)
    cases = alt_of(plots.cases_plot(report))
    assert f"Dice of 40 cases, sorted: from 0.000 to {values[-1]:.3f}" in cases
    assert "2 cases failed, 2 of them drawn at the value given by the failure policy." in cases
    assert "manufacturer: Philips undefined: fewer than 3 patients, n = 2" in alt_of(plots.forest_plot(report))
    assert re.search(r"sex: female: median 0\.\d{3}, 20 cases", alt_of(plots.strip_plot(report)))


def test_alternative_texts_of_classification_tell_the_numbers(classification) -> None:
    """AUROC, operating point, every bin with its n, and the classes."""
    report = classification(n_cases=156)
    auroc = report.estimate("auroc")
    assert f"AUROC {auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}]" in alt_of(plots.roc_plot(report))
    assert "At threshold 0.5: sensitivity 0." in alt_of(plots.roc_plot(report))
    reliability = next(curve for curve in report.curves if curve.name == "reliability")
    told = alt_of(plots.reliability_plot(report))
    assert sum(int(n) for n in re.findall(r"n = (\d+)", told)) == sum(reliability.n) == 156
    assert "52 positive cases" in alt_of(plots.distribution_plot(report))
    assert "2 failed cases not shown" in alt_of(plots.distribution_plot(report))


def test_failed_cases_are_drawn_apart(segmentation) -> None:
    """A failed case has its own mark, so that its imputed value is not read as a prediction."""
    drawn = plots.cases_plot(segmentation()) or ""
    assert "failed" in re.sub("<[^>]*>", " ", drawn)
    assert drawn.count("--vermillion") > (plots.cases_plot(segmentation(failed={})) or "").count("--vermillion")


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_plots_of_a_page_share_no_identifier_and_use_the_pages_colours(request, task: str) -> None:
    """Several drawings in one page do not borrow each other's shapes, and follow light and dark."""
    report: Report = request.getfixturevalue(task)()
    drawn = [draw(report) or "" for draw in (SEGMENTATION if task == "segmentation" else CLASSIFICATION)]
    ids = [name for svg in drawn for name in set(re.findall(r' id="([^"]*)"', svg))]
    assert len(ids) == len(set(ids))
    for svg in drawn:
        own = set(re.findall(r' id="([^"]*)"', svg))
        assert set(re.findall(r'xlink:href="#([^"]*)"', svg)) | set(re.findall(r"url\(#([^)]*)\)", svg)) <= own
        assert "http" not in svg
        assert {"#0072b2", "#1b1b1b"} & set(re.findall(r"#[0-9a-f]{6}", svg))
        assert not re.findall(r"(?:fill|stroke): #", svg)


def test_plot_is_the_same_whatever_this_machines_settings_and_leaves_them_alone(segmentation) -> None:
    """A site's matplotlib settings neither change a report nor are changed by it."""
    import matplotlib

    report = segmentation()
    before = plots.forest_plot(report)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "text.usetex": True}):
        assert plots.forest_plot(report) == before
        assert matplotlib.rcParams["font.size"] == 30


def test_letters_that_the_machine_has_no_font_for_are_kept(segmentation) -> None:
    """Labels in any script and with signs of formulas are drawn as they are, without a warning."""
    report = segmentation(subgroups=[{"name": "医院 $x_1$ <b>", "attribute": "sex"}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = plots.forest_plot(report) or ""
    assert "医院 $x_1$ &lt;b&gt;: female" in svg


def test_nothing_to_draw_gives_no_plot(segmentation, classification) -> None:
    """Where no case has a value, or no curve was computed, there is no empty frame."""
    nothing = segmentation(failed=dict.fromkeys(range(40), "TIMEOUT"), on_failure="exclude")
    assert [draw(nothing) for draw in SEGMENTATION] == [None, None, None]
    without = dataclasses.replace(classification(failed=dict.fromkeys(range(40), "TIMEOUT")), curves=())
    assert plots.roc_plot(without) is None
    assert plots.reliability_plot(without) is None
    assert plots.distribution_plot(without) is None
    assert plots.forest_plot(segmentation(subgroups=[])) is None
