"""The table that a run prints."""

from __future__ import annotations

from typing import Any

WIDTHS = (24, 12, 12, 14)


def table(found: dict[str, Any]) -> str:
    """Return what was found as text."""
    machine, versions = found["machine"], found["versions"]
    before, after = found["load_before_and_after"]
    lines = [
        "",
        f"{machine['cpu']}, {machine['cores']} cores; Python {versions['python']}",
        f"cryptography {versions['cryptography']}; {versions['openssh'] or 'no OpenSSH'}",
        f"Medians of {found['rounds']} rounds and more; load {before} before, {after} after.",
    ]
    if found["skipped"]:
        lines.append(f"SKIPPED: {found['skipped']} (why is told above)")
    for comparison in found["comparisons"]:
        limit = comparison["limit"]
        beside = f"   (limit here: {limit:,.0f} {comparison['unit']})" if limit else ""
        lines += ["", comparison["title"] + beside]
        lines.append(_line("", comparison["unit"], "ours, times", "CPU s, both"))
        for row in comparison["rows"]:
            ratio = row["ours_is_times_as_fast"]
            cpu = row["cpu_s_both_ends"]
            lines.append(
                _line(
                    row["name"] + (" *" if row["name"] == comparison["anchor"] else ""),
                    f"{row['median']:,.1f}",
                    "" if ratio is None else f"{ratio:.2f}",
                    f"{cpu:.2f}" if cpu else "",
                )
            )
    lines += ["", "Memory, KiB"]
    lines += [
        _fact(key.removesuffix("_kib"), "unknown" if value is None else f"{value:,}")
        for key, value in found["memory"].items()
    ]
    lines += ["", "Primitives on one core (MB/s, or times a second)"]
    lines += [_fact(key, f"{value:,.0f}") for key, value in found["limits"].items()]
    lines += ["", "* what ours is measured against; times is the median of the rounds' ratios."]
    return "\n".join(lines)


def _line(*cells: str) -> str:
    first, *others = zip(cells, WIDTHS, strict=True)
    return f"  {first[0]:{first[1]}}" + "".join(f"{text:>{width}}" for text, width in others)


def _fact(name: str, value: str) -> str:
    return f"  {name.replace('_', ' '):24}{value:>12}"
