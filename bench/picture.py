"""The picture of a run: up to four charts, one for each group of measurements.

`python -m bench.picture [RESULTS.json]` draws it again, next to the results. The default is
latest.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import charts
from bench.charts import Bar, Chart, Group, Line, text
from bench.plan import GIB, size_of
from bench.report import LATEST, number

MARGIN, BETWEEN = 24, 36
TOP = 78
WIDTH = 2 * (MARGIN + charts.WIDTH) + BETWEEN
MIB_KIB = 1024
GOAL_MIB = 64
"""Memory that a client and a server may use above idle."""


def draw(found: dict[str, Any]) -> str:
    """Return the picture as SVG."""
    compared = {one["id"]: one for one in found["comparisons"]}
    drawn = [
        _by_size(found.get("sizes") or []),
        _small(compared),
        _latency(compared),
        _memory(found["memory"], found.get("scale")),
    ]
    placed, height = _placed([chart for chart in drawn if chart])
    machine, load = found["machine"], max(found["load_before_and_after"])
    where = "files in memory" if machine["memory_file_system"] else "files on disk"
    beside = (
        f"Whole commands on one machine, over the loopback: {machine['cpu']}, {machine['cores']} "
        f"cores, {where}; medians, {found['date']}, load up to {load}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="Throughput by size, files a '
        f'second, latency and memory of fs compared with OpenSSH and rsync">\n'
        f"<style>{charts.STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>\n'
        + "\n".join(
            [
                text(MARGIN, 34, "fs compared with OpenSSH and rsync", "head"),
                text(MARGIN, 54, beside, "faint"),
                *placed,
            ]
        )
        + "\n</svg>\n"
    )


def _placed(drawn: Sequence[Chart]) -> tuple[list[str], int]:
    """Return the charts in two columns, and the height of the picture."""
    parts, y = [], TOP
    for at in range(0, len(drawn), 2):
        row = drawn[at : at + 2]
        for column, chart in enumerate(row):
            x = MARGIN + column * (charts.WIDTH + BETWEEN)
            parts += [f'<g transform="translate({x} {y})">', *chart.parts, "</g>"]
        y += max(chart.height for chart in row) + 22
    return parts, y


def _by_size(sizes: Sequence[dict[str, Any]]) -> Chart | None:
    if not sizes:
        return None
    drawn = []
    for index, who in enumerate(("ours", "other")):
        for way in ("put", "get"):
            measured = [one for one in sizes if len(one[way]["rows"]) > index]
            points = [(one["bytes"], one[way]["rows"][index]["median"]) for one in measured]
            if points:
                program = measured[0][way]["rows"][index]["name"]
                drawn.append(Line(f"{way}, {program}", points, f"{who} {way}"))
    ticks = [(one["bytes"], size_of(one["bytes"])) for one in sizes]
    return charts.lines(
        "One file, by its size", "MB/s, including start and login; higher is better", drawn, ticks
    )


def _small(compared: dict[str, Any]) -> Chart | None:
    groups = [
        Group(way, [Bar(_deep(row["name"]), row["median"], _ours(row)) for row in one["rows"]])
        for way in ("put", "get")
        if (one := compared.get(f"small_{way}"))
    ]
    if not groups:
        return None
    title = compared["small_put"]["title"].removeprefix("Put ")
    return charts.bars(title, "files per second; longer is better", groups, number)


def _latency(compared: dict[str, Any]) -> Chart | None:
    wanted = {
        "latency": "one request to the server",
        "login": "connect and log in, inside a running program",
        "version": "start",
        "listing": "",
    }
    groups = []
    for name, title in wanted.items():
        if name in compared:
            one = compared[name]
            bars = [
                Bar(_plain(row["name"]), row["median"], _ours(row))
                for row in one["rows"]
                if name != "login" or row["name"] == "logged in"
            ]
            groups.append(Group(title or one["title"][0].lower() + one["title"][1:], bars))
    if not groups:
        return None
    beside = "milliseconds until done; shorter is better"
    return charts.bars("Latency", beside, groups, lambda value: f"{number(value)} ms")


def _memory(memory: dict[str, float | None], scale: dict[str, Any] | None) -> Chart | None:
    groups = []
    large = [
        Bar(name, (over or 0) / MIB_KIB, ours=True)
        for name, over in (_very_large(scale) or _large(memory)).items()
    ]
    if large:
        biggest = (
            f"while a file of {size_of(scale['rows'][-1]['bytes'])}"
            if scale
            else "while a large file"
        )
        groups.append(Group(f"{biggest} is put and got", large))
    if memory.get("sessions"):
        each = number(memory["kib_a_session"])
        title = f"{memory['sessions']:,} idle sessions, {each} KiB each"
        grown = Bar("server", (memory["server_grown_kib"] or 0) / MIB_KIB, ours=True)
        groups.append(Group(title, [grown]))
    if not groups:
        return None
    return charts.bars(
        "Memory",
        "peak MiB above idle; shorter is better",
        groups,
        lambda value: f"{value:.1f} MiB",
        (GOAL_MIB, f"goal: at most {GOAL_MIB}"),
    )


def _large(memory: dict[str, float | None]) -> dict[str, float]:
    pairs = {
        "client, put": ("client_idle_kib", "client_put_peak_kib"),
        "client, get": ("client_idle_kib", "client_get_peak_kib"),
        "server": ("server_idle_kib", "server_peak_kib"),
    }
    return {
        name: (memory[peak] or 0) - (memory[idle] or 0)
        for name, (idle, peak) in pairs.items()
        if peak in memory
    }


def _very_large(scale: dict[str, Any] | None) -> dict[str, float]:
    if not scale or scale["rows"][-1]["bytes"] < GIB:
        return {}
    row = scale["rows"][-1]
    return {
        "client, put": row["client_put_over_idle_kib"],
        "client, get": row["client_get_over_idle_kib"],
        "server": row["server_over_idle_kib"],
    }


def _ours(row: dict[str, Any]) -> bool:
    return row["ours_is_times_as_fast"] is None


def _plain(name: str) -> str:
    """Return the name of a program without its cipher."""
    return {"logged in": "fsclient"}.get(name, name.partition(" aes")[0])


def _deep(name: str) -> str:
    """Return the name of a program in a recursive transfer."""
    return {"sftp": "sftp -r"}.get(_plain(name), _plain(name))


def main() -> None:
    """Draw the picture of a results file."""
    results = Path(sys.argv[1]) if sys.argv[1:] else LATEST
    found = json.loads(results.read_text(encoding="utf-8"))
    results.with_suffix(".svg").write_text(draw(found), encoding="utf-8")


if __name__ == "__main__":
    main()
