"""Measurement of programs: wall time, CPU time and memory; medians and ratios."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any

SETTLE_S = 0.15
"""Pause between the end of a client and reading the CPU time of its server."""
_CLEAR_PEAK = "5"
"""Value for clear_refs that resets the peak memory of a process (proc(5))."""


class FailedError(Exception):
    """A measured program failed or returned wrong bytes."""


@dataclass(frozen=True)
class Sample:
    """One run of one program."""

    wall_s: float
    client_cpu_s: float = 0.0
    """CPU time of the program and of its child processes."""
    client_peak_kib: int = 0
    server_cpu_s: float = 0.0


@dataclass
class Row:
    """One program in one comparison."""

    name: str
    samples: list[Sample] = field(default_factory=list)

    @property
    def wall_s(self) -> float:
        """Median of the wall-clock times."""
        return median(sample.wall_s for sample in self.samples)

    @property
    def cpu_s(self) -> float:
        """Median of the CPU time of both ends together."""
        return median(sample.client_cpu_s + sample.server_cpu_s for sample in self.samples)

    @property
    def peak_kib(self) -> int:
        """Peak memory of the program over all samples."""
        return max(sample.client_peak_kib for sample in self.samples)


@dataclass
class Comparison:
    """Programs that perform the same task in turn."""

    id: str
    title: str
    unit: str
    """MB/s, files/s or ms."""
    amount: float | None
    """Amount to divide by the seconds; None: the unit is ms."""
    limit: float | None = None
    """Upper limit from the primitives, in the same unit."""
    ours: str = "fsclient"
    also_ours: str = ""
    """Another row of fsclient, without a comparison."""
    rows: list[Row] = field(default_factory=list)

    def row(self, name: str) -> Row:
        """Return the row of a program; create it on first use."""
        for row in self.rows:
            if row.name == name:
                return row
        self.rows.append(Row(name))
        return self.rows[-1]

    def value(self, seconds: float) -> float:
        """Convert seconds to the unit of the comparison."""
        return seconds * 1000 if self.amount is None else self.amount / seconds

    def anchor(self) -> Row | None:
        """Return the row to compare with: the fastest of the first other kind of program."""
        others = [row for row in self.rows if row.name not in {self.ours, self.also_ours}]
        if not others:
            return None
        kind = others[0].name.split()[0]
        return min((r for r in others if r.name.split()[0] == kind), key=lambda row: row.wall_s)

    def ratio(self, other: Row) -> float:
        """Return the speed-up of fsclient: the median of the ratios of the rounds."""
        ours = self.row(self.ours)
        pairs = zip(ours.samples, other.samples, strict=True)
        return median(theirs.wall_s / mine.wall_s for mine, theirs in pairs)

    def as_json(self) -> dict[str, Any]:
        """Return the results, rounded."""
        anchor = self.anchor()
        return {
            "id": self.id,
            "title": self.title,
            "unit": self.unit,
            "limit": None if self.limit is None else rounded(self.limit),
            "anchor": anchor.name if anchor else None,
            "rows": [
                {
                    "name": row.name,
                    "median": rounded(self.value(row.wall_s)),
                    "ours_is_times_as_fast": None
                    if row.name in {self.ours, self.also_ours}
                    else round(self.ratio(row), 2),
                    "cpu_s_both_ends": round(row.cpu_s, 3),
                    "client_cpu_s": round(median(s.client_cpu_s for s in row.samples), 3),
                    "server_cpu_s": round(median(s.server_cpu_s for s in row.samples), 3),
                    "wall_s": [round(sample.wall_s, 4) for sample in row.samples],
                }
                for row in self.rows
            ],
        }


def rounded(value: float) -> float:
    """Round to four digits, which is more than the accuracy of a measurement."""
    return float(f"{value:.4g}")


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    server: int | None = None,
    stdin: IO[Any] | None = None,
    stdout: IO[Any] | None = None,
) -> Sample:
    """Run a program to its end and measure it; `FailedError` with its output if it fails.

    `server`: the process at the other end, to measure its CPU time as well. `stdin` and `stdout`:
    pipes; without them there is no input, and the output is kept for the error.
    """
    before = cpu_s(server)
    started = time.perf_counter()
    process = subprocess.Popen(
        list(command), env=env, stdin=stdin or subprocess.DEVNULL,
        stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE if stdout else subprocess.STDOUT,
    )  # fmt: skip
    words_from = process.stdout or process.stderr
    try:
        said = words_from.read() if words_from else b""
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        end(process)
        raise
    finally:
        if words_from:
            words_from.close()
    if process.returncode:
        words = said.decode(errors="replace").strip()[-2000:]
        name = Path(command[0]).name
        raise FailedError(f"{name} ended with exit status {process.returncode}:\n{words}")
    spent = 0.0
    if server is not None:
        time.sleep(SETTLE_S)
        spent = cpu_s(server) - before
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, spent)


def end(process: subprocess.Popen[Any], within_s: float = 20.0) -> None:
    """Terminate a child process; kill it after `within_s`."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def rounds(count: int, turns: Sequence[Callable[[], None]], tell: Callable[[int], None]) -> None:
    """Run all turns `count` times; each round starts with a different turn."""
    for number in range(count):
        tell(number)
        first = number % len(turns)
        for turn in (*turns[first:], *turns[:first]):
            turn()


def cpu_s(pid: int | None) -> float:
    """Return the CPU time of a process and its children; 0 if it is unknown."""
    if pid is None:
        return 0.0
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        running = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    ticks = sum(int(value) for value in fields[11:15])  # utime, stime, cutime, cstime
    return ticks / os.sysconf("SC_CLK_TCK") + sum(cpu_s(int(child)) for child in running.split())


def memory_kib(pid: int, what: str = "VmRSS") -> int | None:
    """Return VmRSS (now) or VmHWM (peak) of a process; None where that is unknown."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1])
    return None


def forget_peak(pid: int) -> None:
    """Reset VmHWM to the current use, where the system supports it."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text(_CLEAR_PEAK, encoding="ascii")
