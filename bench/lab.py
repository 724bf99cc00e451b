"""The context of the measurements: servers, work folder, plan and results."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.competitors import FASTEST_CIPHERS, Competitor
from bench.measure import Comparison, FailedError, rounds, run
from bench.plan import MIB, Plan
from bench.servers import ROOT, Fsd, Sshd


@dataclass
class Lab:
    """One run with its results."""

    plan: Plan
    work: Path
    server: Fsd
    ssh: Sshd | None
    """None without OpenSSH."""
    cipher: str = FASTEST_CIPHERS[0]
    """The cipher with the faster put of sftp, once `large` has measured it."""
    limits: dict[str, float] = field(default_factory=dict)
    """Rates of the primitives: MB/s, or operations per second."""
    versions: dict[str, Any] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    sizes: list[tuple[int, Comparison, Comparison]] = field(default_factory=list)
    """For each size in bytes: put and get."""
    memory: dict[str, float | None] = field(default_factory=dict)
    fairness: dict[str, Any] | None = None
    scale: dict[str, Any] | None = None
    skipped: list[str] = field(default_factory=list)

    def skip(self, what: str, why: object) -> None:
        """Print a warning that `what` is not measured, and record it in the results."""
        say(f"SKIPPED: {what}, because {why}")
        self.skipped.append(what)

    def comparison(self, name: str) -> Comparison | None:
        """Return an earlier comparison by its id, or None."""
        return next((one for one in self.comparisons if one.id == name), None)

    def folder(self, name: str) -> Path:
        """Return a new folder."""
        folder = self.work / name
        folder.mkdir()
        return folder

    def random_file(self, name: str, size: int) -> Path:
        """Create a file of random, incompressible bytes."""
        path = self.work / name
        with path.open("wb") as file:
            for at in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - at)))
        return path

    def probe(self, *words: object) -> Any:  # noqa: ANN401 - JSON
        """Run a probe in a separate process; return its result."""
        command = probe_command(*words)
        done = subprocess.run(
            command, env=self.server.env, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise FailedError(f"probe {words[0]}: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def there_and_back(
        self,
        everybody: list[Competitor],
        source: Path,
        put: Comparison,
        get: Comparison,
        *,
        times: int,
    ) -> None:
        """Run put and get of each program in turn; verify the bytes of the first get."""

        def turn(who: Competitor) -> None:
            for command, found in ((who.put, put), (who.get, get)):
                sample = run(command, env=who.env, server=who.server)
                found.row(who.name).samples.append(sample)
            if len(get.row(who.name).samples) == 1 and not same(source, who.back):
                raise FailedError(f"{who.name}: received bytes differ from sent bytes")
            who.tidy()

        for who in everybody:  # fixes the order of the rows
            put.row(who.name)
            get.row(who.name)
        turns = [lambda who=who: turn(who) for who in everybody]
        rounds(times, turns, telling(f"{put.title}, and get"))


def probe_command(*words: object) -> list[str]:
    """Return the command line of a probe."""
    return [sys.executable, "-m", "bench.probes", *(str(word) for word in words)]


def same(one: Path, other: Path) -> bool:
    """Return whether two files, or all files of two folders, have the same bytes."""
    if one.is_file():
        return filecmp.cmp(one, other, shallow=False)
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    theirs = sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    return files == theirs and all(
        filecmp.cmp(one / path, other / path, shallow=False) for path in files
    )


def say(text: str) -> None:
    """Print the progress to stderr."""
    print(f"… {text}", file=sys.stderr, flush=True)


def telling(title: str) -> Callable[[int], None]:
    """Return a callback that prints the number of each round."""
    return lambda number: say(f"{title}: round {number + 1}")
