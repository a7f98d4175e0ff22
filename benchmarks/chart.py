"""Bar charts as SVG: panels of labelled bars, one below the other, without any library."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log10

WIDTH = 900  # pixels, like all lengths below
LABELS = 360  # for the text left of the bars
VALUES = 110  # for the text right of them
ROW, BAR = 20, 12
HEAD, GAP, MARGIN = 30, 16, 12
FONT = "font-family='sans-serif' font-size='12'"
INK, PALE = "#1f2328", "#8c959f"
PLAIN, GOOD, BAD = "#4c78a8", "#3a923a", "#c0392b"
DECADES = 2.0  # on either side of 1 in a logarithmic panel


@dataclass(frozen=True)
class Bar:
    """A value of at least 0, the text beside it, and its quartiles if they are to be drawn."""

    label: str
    value: float
    shown: str
    colour: str = PLAIN
    quartiles: tuple[float, float] | None = None


@dataclass(frozen=True)
class Panel:
    """Bars of one unit. If `around_one`, the scale is logarithmic and a line marks 1."""

    title: str
    bars: Sequence[Bar]
    around_one: bool = False

    @property
    def height(self) -> int:
        """The height in pixels."""
        return HEAD + ROW * len(self.bars) + GAP


def draw(panels: Sequence[Panel]) -> str:
    """The panels as one SVG document."""
    height = 2 * MARGIN + sum(panel.height for panel in panels)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' "
        f"width='{WIDTH}' height='{height}' {FONT}>",
        f"<rect width='{WIDTH}' height='{height}' fill='white'/>",
    ]
    top = MARGIN
    for panel in panels:
        parts += _panel(panel, top)
        top += panel.height
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, top: int) -> list[str]:
    parts = [
        f"<text x='{MARGIN}' y='{top + 16}' font-weight='bold' fill='{INK}'>"
        f"{escape(panel.title)}</text>"
    ]
    most = max((max(bar.value, *(bar.quartiles or (0,))) for bar in panel.bars), default=0) or 1.0
    for n, bar in enumerate(panel.bars):
        parts += _bar(bar, top + HEAD + n * ROW, most, panel.around_one)
    if panel.around_one:
        x, end = _x(1.0, most, around_one=True), top + HEAD + ROW * len(panel.bars)
        parts.append(f"<path d='M{x:.1f} {top + HEAD - 4}V{end}' stroke='{INK}'/>")
    return parts


def _bar(bar: Bar, y: int, most: float, around_one: bool) -> list[str]:
    end, middle = _x(bar.value, most, around_one), y + BAR / 2
    begin = _x(1.0, most, around_one) if around_one else float(LABELS)
    left, width = min(begin, end), max(1.0, abs(end - begin))
    parts = [
        f"<text x='{LABELS - 8}' y='{y + 10}' text-anchor='end' fill='{INK}'>"
        f"{escape(bar.label)}</text>",
        f"<rect x='{left:.1f}' y='{y}' width='{width:.1f}' height='{BAR}' fill='{bar.colour}'/>",
    ]
    if bar.quartiles:
        low, high = (_x(each, most, around_one) for each in bar.quartiles)
        parts.append(f"<path d='M{low:.1f} {middle}H{high:.1f}' stroke='{PALE}' stroke-width='3'/>")
        end = max(end, high)
    parts.append(
        f"<text x='{max(begin, end) + 6:.1f}' y='{y + 10}' fill='{INK}'>{escape(bar.shown)}</text>"
    )
    return parts


def _x(value: float, most: float, around_one: bool) -> float:
    """The horizontal position of a value, between the labels and the printed values."""
    if around_one:
        tenfold = log10(value) if value > 0 else -DECADES
        share = (min(DECADES, max(-DECADES, tenfold)) + DECADES) / (2 * DECADES)
    else:
        share = value / most
    return LABELS + share * (WIDTH - LABELS - VALUES)
