"""Matplotlib's figures as SVG that follows the page's light or dark colours. Pure: no I/O.

Colours are drawn as fixed values and then written as `var(--name, value)`: a page, or the style in
a file of its own, says what the name means in the dark. The same figure gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, Final

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK: Final = "#23282f"
MUTED: Final = "#667080"
GRID: Final = "#dde1e7"
# Okabe and Ito's palette, which the colour-blind tell apart, without its yellow, which is too pale
# for a white page. A marker and a dash of its own tell arms apart in black and white too.
ARM_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b58900")
ARM_MARKERS: Final = ("o", "s", "^", "D", "v", "P")
ARM_DASHES: Final = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))

# Name, in the light, in the dark.
THEME: Final = (
    ("ink", INK, "#e4e7eb"),
    ("muted", MUTED, "#9aa5b4"),
    ("grid", GRID, "#38404b"),
    ("arm0", ARM_COLOURS[0], "#58b2f0"),
    ("arm1", ARM_COLOURS[1], "#ff9047"),
    ("arm2", ARM_COLOURS[2], "#35cfa0"),
    ("arm3", ARM_COLOURS[3], "#eaa3cc"),
    ("arm4", ARM_COLOURS[4], "#a5dcff"),
    ("arm5", ARM_COLOURS[5], "#e0b73a"),
)
PAPER: Final = ("paper", "#ffffff", "#15191f")

# Any: the key of `rcParams` is a literal of all names that this matplotlib knows.
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: small, sharp, found by a search
    "svg.hashsalt": "specserve",  # names of clip paths are the same every time
    "path.simplify": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: widths are the same everywhere
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in an arm's name is a dollar sign
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "savefig.facecolor": "none",
}
_NO_METADATA: Final = {"Creator": None, "Date": None, "Format": None, "Type": None}


@contextmanager
def style() -> Iterator[None]:
    """Our look, whatever the user's matplotlibrc says; as it was before, afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """A figure of its own: nothing of pyplot's, which keeps figures for ever."""
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def to_svg(figure: Figure, *, name: str, label: str) -> str:
    """An `svg` element for a page.

    Args:
        figure: drawn under `style`.
        name: unique in the page: ids begin with it.
        label: what a screen reader says.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # nothing refers to groups
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r'\b(?:d|x|y|transform)="[^"]*"', _shortened, text)
    text = re.sub(r'(\d+(?:\.\d+)?px) [^;"]*sans-serif', r"\1 var(--font, sans-serif)", text)
    for variable, light, _ in THEME:
        text = text.replace(light, f"var(--{variable})")
    text = re.sub(r"\n\s*", "\n", text)
    opening, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', opening)
    inside = box.group() if box else ""
    return (
        f'<svg {inside} role="img" aria-label="{escape(label)}" data-plot="{escape(name)}">{rest}'
    ).strip()


def to_file(svg: str) -> str:
    """The same as a file of its own, with a background, for a README in the light or the dark."""
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    width, height = box.groups() if box else ("400", "300")
    for variable, light, _ in THEME:  # for viewers that know no variables
        svg = svg.replace(f"var(--{variable})", f"var(--{variable}, {light})")
    opening, rest = svg.split(">", 1)
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return (
        f'{opening} {space} width="{width}pt" height="{height}pt">'
        f"<style>{css_variables('svg')}{LINES}</style>"
        f'<rect width="100%" height="100%" style="fill: var(--paper, {PAPER[1]})"/>{rest}\n'
    )


def _shortened(attribute: re.Match[str]) -> str:
    """Hundredths of a point are finer than any screen."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute.group())


LINES: Final = "svg *{stroke-linejoin:round;stroke-linecap:butt}"


def css_variables(selector: str) -> str:
    """What the names mean, in the light and in the dark."""
    names = (*THEME, PAPER)
    light = ";".join(f"--{name}:{value}" for name, value, _ in names)
    dark = ";".join(f"--{name}:{value}" for name, _, value in names)
    return f"{selector}{{{light}}}@media (prefers-color-scheme: dark){{{selector}{{{dark}}}}}"
