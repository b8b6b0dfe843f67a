"""The page in a real browser: without JavaScript, light and dark, wide and narrow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tef.report.html import render_html

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--no-first-run",
]  # fmt: skip

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM.exists(), reason="/usr/bin/chromium is not installed")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module", params=["segmentation", "classification"])
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of each task, with long texts and words without a break."""
    wide = {"submission": {"intended_use": "x" * 3000}, "card": {"title": "Cohort" * 60, "dct:license": "y" * 900}}
    report = request.getfixturevalue(request.param)(**wide)
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(report), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_page_opens_without_script_and_fits_its_width(browser, page_file: Path, scheme: str, width: int) -> None:
    """No message in the console, nothing asked of a network, no sideways scrolling, each plot in full width."""
    context = browser.new_context(java_script_enabled=False, color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    page.screenshot(full_page=True)
    assert page.locator("html").bounding_box()["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for plot in page.locator("svg").all():
        box = plot.bounding_box()
        assert box["width"] > 300
        assert box["height"] > 60
    context.close()


def test_dark_page_has_light_letters_in_text_and_plots(browser, page_file: Path) -> None:
    """In dark mode neither text nor a plot's labels stay black on black."""
    colours = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(page_file.as_uri())
        script = "(e) => { const s = getComputedStyle(e); return [s.fill, s.color, s.backgroundColor] }"
        label = page.locator("svg text").first.evaluate(script)
        body = page.locator("body").evaluate(script)
        colours[scheme] = (_lightness(label[0]), _lightness(body[1]), _lightness(body[2]))
        context.close()
    assert max(colours["light"][:2]) < 100 < 200 < colours["light"][2]
    assert min(colours["dark"][:2]) > 150 > 60 > colours["dark"][2]


def test_skip_link_is_the_first_stop_of_the_keyboard_and_shows_itself(browser, page_file: Path) -> None:
    """The first press of Tab brings the link to the report into view."""
    page = browser.new_page()
    page.goto(page_file.as_uri())
    page.keyboard.press("Tab")
    focused = page.evaluate_handle("document.activeElement").as_element()
    assert focused.inner_text() == "Skip to the report"
    assert focused.bounding_box()["x"] >= 0
    page.close()


def test_page_prints(browser, page_file: Path) -> None:
    """The browser makes a PDF of it; from a dark screen too it prints dark on white."""
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.emulate_media(media="print")
    assert _lightness(page.locator("body").evaluate("(e) => getComputedStyle(e).color")) < 100
    context.close()


def _lightness(colour: str) -> float:
    """Mean of red, green and blue of ``rgb(r, g, b)``, 0 to 255."""
    numbers = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    return sum(numbers) / 3
