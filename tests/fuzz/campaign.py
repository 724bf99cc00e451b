"""Fuzz for a given time, and count: `python -m tests.fuzz.campaign --minutes 60 --corpus FOLDER`.

The time is for all targets together; each gets turns of equal length, in several processes. What
was found to reach new code is kept in the corpus, a folder for each target, where the next campaign
continues. The executions of all campaigns add up in `executions.json` beside these folders. An
input that fails is written to `failures/` there, and the exit status is 1; the other targets go on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from fskit.files import write_private
from tests.fuzz.targets import TARGETS
from tests.support.servers import ROOT

TURN_S = 60.0
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"\bcov: (\d+) ft: (\d+)")
_GRACE_S = 120.0
"""Seconds in which a turn must end after its time is over."""


@dataclass
class Turn:
    """The result of one turn of a target."""

    executed: int
    seconds: float
    covered: int
    """Points of the code that were reached."""
    failed: str
    """What the fuzzer said about a failure; empty if there was none."""


@dataclass
class Campaign:
    """A campaign: its corpus, and what it has counted."""

    corpus: Path
    counted: dict[str, int] = field(default_factory=dict)
    """Executions so far, by target."""
    failures: dict[str, str] = field(default_factory=dict)
    """What the fuzzer said about the last failure of a target."""
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        (self.corpus / "failures").mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            self.counted = json.loads(self._file.read_text("utf-8"))

    @property
    def _file(self) -> Path:
        return self.corpus / "executions.json"

    def take_turn(self, name: str, seconds: float) -> None:
        """Fuzz one target in a process of its own, and count."""
        turn = fuzz(name, self.corpus, seconds)
        with self._lock:
            self.counted[name] = self.counted.get(name, 0) + turn.executed
            write_private(self._file, json.dumps(self.counted, indent=1).encode())
            if turn.failed:
                self.failures[name] = turn.failed
            rate = turn.executed / max(turn.seconds, 0.001)
            state = "FAILED" if turn.failed else f"{turn.covered} points"
            print(
                f"{name:16} {turn.executed:>10,} executions {rate:>8,.0f}/s  {state:>12}  "
                f"{sum(self.counted.values()):>14,} in all",
                flush=True,
            )


def fuzz(name: str, corpus: Path, seconds: float) -> Turn:
    """Fuzz one target for some seconds; its inputs are in a folder of the corpus."""
    inputs = corpus / name
    inputs.mkdir(exist_ok=True)
    limits = f"-max_total_time={max(1, round(seconds))}", "-print_final_stats=1"
    prefix = f"-artifact_prefix={corpus / 'failures' / name}-"
    started = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", name, str(inputs), *limits, prefix],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + _GRACE_S,
        check=False,
    )
    covered = _COVERED.findall(ran.stderr)
    return Turn(
        executed=sum(map(int, _EXECUTED.findall(ran.stderr))),
        seconds=time.monotonic() - started,
        covered=int(covered[-1][0]) if covered else 0,
        failed=ran.stderr[-4000:] if ran.returncode else "",
    )


def turns(names: list[str], seconds: float, processes: int) -> Iterator[tuple[str, float]]:
    """Yield a target and its seconds, again and again, until the time is used up."""
    left = seconds * processes
    while left > 0:
        each = min(TURN_S, left / len(names))
        for name in names:
            yield name, each
            left -= each


def main() -> None:
    """Run the campaign that the command line describes."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="time of the whole campaign")
    parser.add_argument("--corpus", type=Path, default=ROOT / ".fuzz", help="folder to keep")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all of them")
    given = parser.parse_args()
    names: list[str] = given.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    campaign = Campaign(given.corpus.resolve())
    with ThreadPoolExecutor(given.processes) as threads:
        each = turns(names, given.minutes * 60, given.processes)
        for taken in [threads.submit(campaign.take_turn, *turn) for turn in each]:
            taken.result()
    for name, said in campaign.failures.items():
        print(f"\n{name} FAILED; its input is in {campaign.corpus / 'failures'}:\n{said}")
    print(f"\n{sum(campaign.counted.values()):,} executions in all campaigns of this corpus")
    sys.exit(bool(campaign.failures))


if __name__ == "__main__":
    main()
