"""Drawings by matplotlib as ``<svg>`` elements that stand in a page beside others."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

# Okabe and Ito's palette, told apart with any colour vision; in dark mode the page gives the same names other shades.
INK, MUTED, GRID = "#1b1b1b", "#595959", "#d4d4d4"
BLUE, VERMILLION, ORANGE = "#0072b2", "#d55e00", "#e69f00"
_VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--line", BLUE: "--blue", VERMILLION: "--vermillion", ORANGE: "--orange",
}  # fmt: skip
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tef",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.solid_capstyle": "butt",
}


@contextmanager
def figure_of(size_inch: tuple[float, float]) -> Iterator[Any]:
    """An empty figure, in the report's own style whatever this machine's settings are."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        # The browser has fonts for letters that matplotlib cannot measure.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=size_inch, layout="constrained")
        figure.patch.set_visible(False)
        yield figure


def inline_svg(figure: Any, name: str, alt: str) -> str:
    """The figure as an ``<svg>`` element: it loads nothing, and the same figure gives the same text.

    Colours become the page's CSS variables, so that one drawing serves light, dark and paper; identifiers begin with the plot's
    name, as several plots share a page.

    Args:
        name: Of the plot, its own in the page.
        alt: Alternative text: a sentence with the numbers.
    """
    for axes in figure.axes:
        axes.patch.set_visible(False)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    width, height = (72 * inch for inch in figure.get_size_inches())
    body = text[text.index("<svg") :].partition(">")[2]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'( id="| xlink:href="#|url\(#)', rf"\g<1>plot-{name}-", body)
    for colour, variable in _VARIABLES.items():
        body = re.sub(rf"(fill|stroke): {colour}", rf"\g<1>: var({variable}, {colour})", body)
    head = f'<svg class="plot plot-{name}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(alt)}">'
    return head + body.strip()
