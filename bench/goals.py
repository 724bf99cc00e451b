"""The goals, compared with the results of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.plan import size_of

LARGE_TIMES, SMALL_TIMES, RSYNC_TIMES, LOGIN_TIMES = 2.0, 3.0, 1.0, 2.0
VERSION_MS = 100.0
OVER_IDLE_MIB = 64
"""Memory that a client and a server may use above idle, for a file of any size."""
SESSION_KIB = 50.0
"""Goal for an idle session: a few tens of KiB."""
SLOWEST_BY_FASTEST = 2.0
PUT_CPU_S, GET_CPU_S = 1.2, 0.8
"""Goals for the CPU time of a server with many clients, per GiB."""
LINEAR = 1.2
"""Allowed ratio of the cost per GiB: largest file to smallest file."""
_MIB_KIB = 1024

Goal = tuple[str, str, str]


def goals(found: dict[str, Any]) -> list[Goal]:
    """Return each measured goal: its title, the result, and whether it was reached."""
    compared = {one["id"]: one for one in found["comparisons"]}
    return [*_fast(compared), *_small_and_fair(found)]


def _fast(compared: dict[str, Any]) -> Iterator[Goal]:
    for title, name, beside, times in (
        ("large file: at least 2 times `sftp`", "large", "sftp", LARGE_TIMES),
        ("small files: at least 3 times `sftp -r`", "small", "sftp", SMALL_TIMES),
        ("small files: no slower than `rsync`", "small", "rsync", RSYNC_TIMES),
    ):
        ratios = {
            way: ratio
            for way in ("put", "get")
            if (ratio := _ratio(compared.get(f"{name}_{way}"), beside)) is not None
        }
        if ratios:
            here = ", ".join(f"{way} {ratio:.2f}" for way, ratio in ratios.items())
            yield title, here, _reached(*(ratio >= times for ratio in ratios.values()))
    for title, name in (
        ("connect and log in: at most half of `ssh host true`, inside a program", "login"),
        ("connect and log in: the same for a whole command", "latency"),
    ):
        ratio = _ratio(compared.get(name), "ssh")
        if ratio is not None:
            yield title, f"1 / {ratio:.2g}", _reached(ratio >= LOGIN_TIMES)
    if "version" in compared:
        took = compared["version"]["rows"][0]["median"]
        here = f"{took:.0f} ms"
        yield "`fsclient --version`: about 100 ms", here, _reached(took <= 1.1 * VERSION_MS)


def _small_and_fair(found: dict[str, Any]) -> Iterator[Goal]:
    memory, scale, fairness = found["memory"], found.get("scale"), found.get("fairness")
    if scale:
        first, last = scale["rows"][0], scale["rows"][-1]
        over = [value for key, value in last.items() if key.endswith("over_idle_kib")]
        most = max(value or 0 for value in over) / _MIB_KIB
        title = f"at most {OVER_IDLE_MIB} MiB above idle, client and server"
        here = f"{most:.1f} MiB with {size_of(last['bytes'])}"
        yield title, here, _reached(most <= OVER_IDLE_MIB)
        times = [last[f"{way}_s_a_gib"] / first[f"{way}_s_a_gib"] for way in ("put", "get")]
        title = "cost grows with size alone"
        here = (
            f"per GiB, {size_of(last['bytes'])} take {times[0]:.2f} (put) and {times[1]:.2f} (get) "
            f"times the time of {size_of(first['bytes'])}"
        )
        yield title, here, _reached(max(times) <= LINEAR)
    if memory.get("kib_a_session") is not None:
        each = memory["kib_a_session"]
        here = f"{each:.1f} KiB, with {memory['sessions']:,}"
        yield "idle session: a few tens of KiB", here, _reached(each <= SESSION_KIB)
    if fairness:
        worst = {way: fairness[way]["rows"][0]["slowest_by_fastest"] for way in ("put", "get")}
        title = f"{fairness['clients']} clients at once: the slowest at most 2 times the fastest"
        here = ", ".join(f"{way} {times:.2f}" for way, times in worst.items())
        yield title, here, _reached(max(worst.values()) <= SLOWEST_BY_FASTEST)
        spent = {way: fairness[way]["rows"][0].get("server_cpu_s_a_gib") for way in ("put", "get")}
        if None in spent.values():  # a run of an earlier version
            return
        title = f"the server's CPU time for them: put {PUT_CPU_S} s, get {GET_CPU_S} s per GiB"
        here = ", ".join(f"{way} {seconds:.2f} s" for way, seconds in spent.items())
        yield title, here, _reached(spent["put"] <= PUT_CPU_S, spent["get"] <= GET_CPU_S)


def _ratio(comparison: dict[str, Any] | None, beside: str) -> float | None:
    """Return the speed-up of fsclient over the fastest program of that kind."""
    if comparison is None:
        return None
    kind = [row for row in comparison["rows"] if row["name"].split()[0] == beside]
    slow = comparison["unit"] == "ms"
    kind.sort(key=lambda row: row["median"], reverse=not slow)
    return float(kind[0]["ours_is_times_as_fast"]) if kind else None


def _reached(*each: bool) -> str:
    if all(each):
        return "reached"
    return "not reached" if not any(each) else "partly reached"
