"""The figures of a run as Markdown tables, printed after the run or put into docs/performance.md.

`python -m bench.report [RESULTS.json] [--into PAPER.md]`; the default is latest.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.goals import goals
from bench.plan import GIB, size_of

LATEST = Path(__file__).parent / "results" / "latest.json"
BEGIN, END = "<!-- figures: python -m bench.report --into -->", "<!-- end of figures -->"
"""The tables of a document are between these lines."""
MIB_KIB = 1024

Row = Sequence[str]


def markdown(found: dict[str, Any]) -> str:
    """Return all tables."""
    parts = [
        _heading(found),
        _comparisons(found),
        _sizes(found.get("sizes") or []),
        _fairness(found.get("fairness")),
        _memory(found["memory"]),
        _scale(found.get("scale")),
        _table(("goal", "measured", "result"), goals(found)),
        _primitives(found["limits"]),
    ]
    return "\n\n".join(part for part in parts if part)


def number(value: float | None) -> str:
    """Return a figure with only its significant digits."""
    if value is None:
        return "unknown"
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:#.2g}"  # noqa: PLR2004


def _heading(found: dict[str, Any]) -> str:
    machine, versions = found["machine"], found["versions"]
    before, after = found["load_before_and_after"]
    openssh = (versions["openssh"] or "no OpenSSH").partition(",")[0]
    rsync = (versions["rsync"] or "no rsync").partition("  protocol")[0].replace("  version", "")
    memory = "in memory" if machine["memory_file_system"] else "on disk"
    skipped = found["skipped"]
    if skipped:
        names = skipped if isinstance(skipped, str) else ", ".join(skipped)
    return (
        f"Commit {versions['commit']}, {found['date']}, {found['rounds']} or more rounds; "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; "
        f"Python {versions['python']}, cryptography {versions['cryptography']} "
        f"({versions['openssl_of_cryptography'].rpartition(' ')[0].split(' ', 2)[0]} "
        f"{versions['openssl_of_cryptography'].split()[1]}); {openssh}, {rsync}; "
        f"files {memory}; load {before} before, {after} after."
        + (f" **Skipped: {names}.**" if skipped else "")
    )


def _comparisons(found: dict[str, Any]) -> str:
    rows: list[Row] = []
    for comparison in found["comparisons"]:
        unit = comparison["unit"]
        for index, row in enumerate(comparison["rows"]):
            mark = " *" if row["name"] == comparison["anchor"] else ""
            ratio, cpu, limit = row["ours_is_times_as_fast"], row["cpu_s_both_ends"], ""
            if not index and comparison["limit"]:
                limit = f"{number(comparison['limit'])} {unit}"
            rows.append(
                (
                    f"**{comparison['title']}**, {row['name']}"
                    if not index
                    else row["name"] + mark,
                    f"{number(row['median'])} {unit}",
                    "" if ratio is None else f"{ratio:.2f}",
                    f"{cpu:.2f}" if cpu else "",
                    limit,
                )
            )
    return _table(("", "median", "speed-up", "CPU s, both ends", "limit"), rows)


def _sizes(sizes: list[dict[str, Any]]) -> str:
    rows = []
    for one in sizes:
        row = [size_of(one["bytes"])]
        for way in ("put", "get"):
            ours, *others = one[way]["rows"]
            theirs = others[0] if others else None
            row += [
                number(ours["median"]),
                number(theirs["median"]) if theirs else "",
                f"{theirs['ours_is_times_as_fast']:.2f}" if theirs else "",
                number(one[way]["limit"]),
            ]
        rows.append(row)
    head = [
        f"{way}, {what}" for way in ("put", "get") for what in ("MB/s", "sftp", "speed-up", "limit")
    ]
    return _table(("one file of", *head), rows)


def _fairness(found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    rows = [
        (
            f"{way}, `{row['name']}`",
            f"{row['slowest_by_fastest']:.2f}",
            f"{row['worst_slowest_by_fastest']:.2f}",
            f"{number(row['mb_s_together'])} MB/s",
            f"{row['median_s_each']:.2f} s",
            *(_seconds(row.get(f"{end}_cpu_s_a_gib")) for end in ("server", "clients")),
            f"{number(found[way]['limit'])} MB/s" if not index else "",
        )
        for way in ("put", "get")
        for index, row in enumerate(found[way]["rows"])
    ]
    title = f"{found['clients']} at once, {size_of(found['bytes'])} each"
    head = (
        title,
        "slowest / fastest",
        "worst round",
        "total",
        "median time",
        "server CPU, per GiB",
        "clients' CPU, per GiB",
        "limit",
    )
    return _table(head, rows)


def _seconds(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f} s"


def _memory(memory: dict[str, float | None]) -> str:
    def mib(kib: float | None) -> str:
        return "unknown" if kib is None else f"{kib / MIB_KIB:.1f} MiB"

    rows: list[Row] = []
    for what, idle, peak in (
        ("client, put of the large file", "client_idle_kib", "client_put_peak_kib"),
        ("client, get of the large file", "client_idle_kib", "client_get_peak_kib"),
        ("server, put and get of the large file", "server_idle_kib", "server_peak_kib"),
    ):
        if peak in memory:
            low, high = memory[idle], memory[peak]
            over = None if low is None or high is None else high - low
            rows.append((what, mib(low), mib(high), mib(over)))
    if "sessions" in memory:
        each, grown = memory["kib_a_session"], memory["server_grown_kib"]
        what = f"server, {memory['sessions']:,} idle sessions: {number(each)} KiB each"
        rows.append((what, "", "", mib(grown)))
    return _table(("memory", "idle", "peak", "over idle"), rows)


def _scale(found: dict[str, Any] | None) -> str:
    if not found:
        return ""

    def mib(kib: float | None) -> str:
        return "unknown" if kib is None else f"{kib / MIB_KIB:.1f} MiB"

    rows = [
        (
            size_of(row["bytes"]),
            f"{row['put_s_a_gib']:.2f} s",
            f"{row['get_s_a_gib']:.2f} s",
            f"{row['cpu_s_both_ends_put'] * GIB / row['bytes']:.2f} s",
            f"{row['cpu_s_both_ends_get'] * GIB / row['bytes']:.2f} s",
            mib(row["client_put_over_idle_kib"]),
            mib(row["client_get_over_idle_kib"]),
            mib(row["server_over_idle_kib"]),
        )
        for row in found["rows"]
    ]
    where = "in memory" if found["in_memory"] else "on disk"
    synced = f"{GIB / 1e6 / found['write_and_sync_mb_s']:.2f} s"
    head = (
        f"through pipes, {where}", "put, per GiB", "get, per GiB", "CPU of put, per GiB",
        "CPU of get, per GiB", "client of put, over idle", "client of get", "server",
    )  # fmt: skip
    bare = ("1 GiB written and synced, nothing else", synced, "", "", "", "", "", "")
    return _table(head, [*rows, bare])


def _primitives(limits: dict[str, float]) -> str:
    rows = []
    for key, value in limits.items():
        per_second = "MB/s" if key.endswith("_mb_s") else "per second"
        name = key.removesuffix("_s").removesuffix("_mb").replace("_", " ")
        rows.append((name, f"{number(value)} {per_second}"))
    return _table(("one primitive on one core, best of several runs", ""), rows)


def _table(head: Row, rows: Sequence[Row]) -> str:
    """Return a table whose columns are aligned, for reading in a terminal."""
    if not rows:
        return ""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]

    def lines() -> Iterator[str]:
        yield _line(head, widths)
        yield "|" + "|".join("-" * w + ("-:" if at else "--") for at, w in enumerate(widths)) + "|"
        for row in rows:
            yield _line(row, widths)

    return "\n".join(lines())


def _line(cells: Row, widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [f"{first[0]:<{first[1]}}", *(f"{text:>{width}}" for text, width in others)]
    return "| " + " | ".join(padded) + " |"


def put_into(paper: str, tables: str) -> str:
    """Return the document with its tables replaced."""
    before, _, rest = paper.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(
            f"The document has no place for the tables: '{BEGIN}' and '{END}' are missing."
        )
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def main() -> None:
    """Print the tables of a run, or put them into a document."""
    parser = argparse.ArgumentParser(prog="bench.report", description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=LATEST)
    parser.add_argument("--into", type=Path, metavar="PAPER.md")
    options = parser.parse_args()
    tables = markdown(json.loads(options.results.read_text(encoding="utf-8")))
    if options.into is None:
        print(tables)
        return
    paper = options.into.read_text(encoding="utf-8")
    options.into.write_text(put_into(paper, tables), encoding="utf-8")


if __name__ == "__main__":
    main()
