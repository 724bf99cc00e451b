"""The picture of a run: bars, written as SVG by hand."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

WIDTH, MARGIN = 760, 24
LABELS, VALUES = 170, 190
"""Room left of the bars for names, and right of them for figures."""
BAR, GAP = 18, 6

STYLE = """
  svg { background: #ffffff; font: 13px system-ui, "DejaVu Sans", sans-serif; }
  .paper { fill: #ffffff; }
  text { fill: #1f2328; }
  .head { font-size: 17px; font-weight: 600; }
  .title { font-weight: 600; }
  .faint { fill: #59636e; font-size: 12px; }
  .ours { fill: #0969da; }
  .other { fill: #b1bac4; }
  .axis { stroke: #8c959f; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; }
    .paper { fill: #0d1117; }
    text { fill: #e6edf3; }
    .faint { fill: #9198a1; }
    .ours { fill: #4493f8; }
    .other { fill: #57606a; }
    .axis { stroke: #6e7681; }
  }
"""


def draw(found: dict[str, Any]) -> str:
    """Return the picture."""
    machine, load = found["machine"], max(found["load_before_and_after"])
    parts = [
        _text(MARGIN, 36, "fs beside OpenSSH and rsync", "head"),
        _text(
            MARGIN,
            56,
            f"{machine['cpu']}, {machine['cores']} cores, loopback; {found['date']}; "
            f"load up to {load}; medians; limit: what the primitives alone would allow",
            "faint",
        ),
    ]
    y = 72
    for comparison in found["comparisons"]:
        group, y = _group(comparison, y)
        parts += group
    height = y + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="Throughput and latency of fs beside OpenSSH and rsync">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _group(comparison: dict[str, Any], y: int) -> tuple[list[str], int]:
    """Draw one comparison below `y`; return it and where it ends."""
    unit, rows, limit = comparison["unit"], comparison["rows"], comparison["limit"]
    better = "shorter is better" if unit == "ms" else "longer is better"
    beside = f"{unit}, {better}" + (f"; limit {_number(limit)}" if limit else "")
    parts = [
        _text(MARGIN, y + 26, comparison["title"].replace("`", ""), "title"),
        _text(WIDTH - MARGIN, y + 26, beside, "faint", anchor="end"),
    ]
    top = y + 36
    y, left = top, MARGIN + LABELS
    room = WIDTH - MARGIN - VALUES - left
    longest = max(row["median"] for row in rows)
    for row in rows:
        length = max(1.0, room * row["median"] / longest)
        ratio = row["ours_is_times_as_fast"]
        figure = _number(row["median"]) + ("" if ratio is None else f"  (ours {_times(ratio)})")
        kind = "ours" if ratio is None else "other"
        middle = y + BAR - 5
        parts += [
            _text(left - 8, middle, row["name"], "", anchor="end"),
            f'<rect class="{kind}" x="{left}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
            _text(round(left + length + 8), middle, figure, "" if ratio is None else "faint"),
        ]
        y += BAR + GAP
    parts.append(f'<path class="axis" d="M{left} {top - 3}V{y - GAP + 3}"/>')
    return parts, y + 4


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.2f}x"  # noqa: PLR2004


def _text(x: int, y: int, text: str, kind: str, *, anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{named}>{escape(text)}</text>'
