"""Bar and line charts as SVG elements; the upper left corner of each chart is (0, 0)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 424
"""Width of a chart, in pixels."""
LABELS, VALUES = 126, 76
"""Pixels to the left of the bars for names, and to the right for figures."""
BAR, GAP, GROUP = 16, 5, 26
LEFT, TOP, BOTTOM = 44, 50, 26
"""Pixels around the plot: for the axis figures, the title, and the sizes below."""
PLOT = 170
"""Height of the plot, in pixels."""
STYLE = """
  svg { background: #ffffff; }
  text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
  .paper { fill: #ffffff; }
  .head { font-size: 17px; font-weight: 600; }
  .title { font-size: 13px; font-weight: 600; }
  .faint { fill: #59636e; font-size: 11px; }
  .bar.ours { fill: #0969da; }
  .bar.other { fill: #afb8c1; }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
  .line.ours, .dot.ours { stroke: #0969da; }
  .line.other, .dot.other { stroke: #8c959f; }
  .dot { stroke-width: 2; }
  .get { stroke-dasharray: 5 3; }
  .dot.get { fill: #ffffff; stroke-dasharray: none; }
  .dot.ours.put { fill: #0969da; }
  .dot.other.put { fill: #8c959f; }
  .axis { stroke: #d1d9e0; stroke-width: 1; fill: none; }
  .goal { stroke: #cf222e; stroke-width: 1; stroke-dasharray: 3 3; fill: none; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; }
    text { fill: #e6edf3; }
    .paper { fill: #0d1117; }
    .faint { fill: #9198a1; }
    .bar.ours { fill: #4493f8; }
    .bar.other { fill: #59636e; }
    .line.ours, .dot.ours { stroke: #4493f8; }
    .line.other, .dot.other { stroke: #9198a1; }
    .dot.get { fill: #0d1117; }
    .dot.ours.put { fill: #4493f8; }
    .dot.other.put { fill: #9198a1; }
    .axis { stroke: #3d444d; }
    .goal { stroke: #f85149; }
  }
"""


@dataclass(frozen=True)
class Chart:
    """The SVG elements of a chart, and its height in pixels."""

    parts: list[str]
    height: int


@dataclass(frozen=True)
class Bar:
    """One bar."""

    name: str
    value: float
    ours: bool


@dataclass(frozen=True)
class Group:
    """Bars under a common title."""

    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Line:
    """The points (x, y) of one program in one direction."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: str
    """CSS classes: `ours` or `other`, and `put` or `get`."""


def bars(
    title: str,
    beside: str,
    groups: Sequence[Group],
    figure: Callable[[float], str],
    goal: tuple[float, str] | None = None,
) -> Chart:
    """Draw groups of bars; `goal` is the upper limit to mark, and its label."""
    parts, y = _titled(title, beside), 36
    longest = max([bar.value for group in groups for bar in group.bars] + [goal[0] if goal else 0])
    room = (WIDTH - LABELS - VALUES) / (longest or 1)
    top = y
    for group in groups:
        parts.append(text(0, y + 15, group.title, "faint"))
        y += GROUP - GAP
        for bar in group.bars:
            length, middle = max(1.0, room * bar.value), y + BAR - 4
            kind = "ours" if bar.ours else "other"
            parts += [
                text(LABELS - 8, middle, bar.name, anchor="end"),
                _rect(f"bar {kind}", LABELS, y, length, BAR),
                text(LABELS + length + 6, middle, figure(bar.value)),
            ]
            y += BAR + GAP
        y += GAP
    if goal:
        x = LABELS + room * goal[0]
        parts.append(f'<path class="goal" d="M{x:.1f} {top + 6}V{y - GAP}"/>')
        parts.append(text(x - 5, top + 15, goal[1], "faint", anchor="end"))
    return Chart(parts, y)


def lines(
    title: str, beside: str, drawn: Sequence[Line], ticks: Sequence[tuple[float, str]]
) -> Chart:
    """Draw lines over a logarithmic x axis; `ticks` are its marks: position and label."""
    parts = _titled(title, beside)
    low, high = (math.log(ticks[at][0]) for at in (0, -1))
    span, step = (high - low) or 1.0, _step(max(y for line in drawn for _, y in line.points))
    most = max(y for line in drawn for _, y in line.points)
    steps = math.ceil(most / step)
    right, base = WIDTH - 20, TOP + PLOT

    def x_of(value: float) -> float:
        return LEFT + (right - LEFT) * (math.log(value) - low) / span

    def y_of(value: float) -> float:
        return base - PLOT * value / (steps * step)

    for number in range(steps + 1):
        y = y_of(number * step)
        parts.append(f'<path class="axis" d="M{LEFT} {y:.1f}H{right}"/>')
        parts.append(text(LEFT - 7, y + 4, f"{number * step:,g}", "faint", anchor="end"))
    for where, said in ticks:
        parts.append(f'<path class="axis" d="M{x_of(where):.1f} {base}v4"/>')
        parts.append(text(x_of(where), base + 17, said, "faint", anchor="middle"))
    for line in drawn:
        points = [(x_of(x), y_of(y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line {line.kind}" points="{path}"/>')
        parts += [_dot(x, y, line.kind) for x, y in points]
    # Small files have a low rate in MB/s, so the upper left corner is free for the legend.
    parts.append(_rect("paper", LEFT + 8, TOP + 2, 184, 19 * len(drawn) + 4))
    for number, line in enumerate(drawn):
        y = TOP + 16 + 19 * number
        parts.append(f'<path class="line {line.kind}" d="M{LEFT + 14} {y - 4}h28"/>')
        parts.append(_dot(LEFT + 28, y - 4, line.kind))
        parts.append(text(LEFT + 50, y, line.name))
    return Chart(parts, base + BOTTOM)


def text(x: float, y: float, said: str, kind: str = "", *, anchor: str = "start") -> str:
    """Return a line of text."""
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(said)}</text>'


def _titled(title: str, beside: str) -> list[str]:
    return [text(0, 14, title, "title"), text(0, 30, beside, "faint")]


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    place = f'x="{x}" y="{y}" width="{width:.1f}" height="{height}"'
    return f'<rect class="{kind}" {place} rx="2"/>'


def _dot(x: float, y: float, kind: str) -> str:
    return f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def _step(most: float) -> float:
    """Return a round distance between marks that gives about five of them."""
    ten = 10.0 ** math.floor(math.log10(most / 5))
    return next(ten * times for times in (1, 2, 2.5, 5, 10) if ten * times >= most / 5)
