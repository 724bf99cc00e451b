"""`make bench BENCH_FLAGS=--scale`: whether the cost of one act grows with what is stored.

Many small files in folders of 1,000, as many in one folder, and many accounts. CPU seconds are what
to compare: they hardly change with the load of the machine, while wall times do.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.lab import say
from bench.machine import MEMORY, load
from bench.measure import Sample, cpu_s, end, forget_peak, memory_kib, run
from bench.servers import BIN, Fsd, environment, fsd

IN_A_FOLDER = 1000
FILE_BYTES = 2000
GONE_MS = 1
"""A time of removal after which every retention has ended."""


@dataclass(frozen=True)
class Step:
    """One measured act."""

    name: str
    wall_s: float
    client_cpu_s: float
    client_peak_mib: float
    server_cpu_s: float
    server_peak_mib: float


class Growth:
    """The measurements of one run."""

    def __init__(self, server: Fsd, work: Path, files: int, people: int) -> None:
        """Take a server with one user, and the amounts."""
        self._server, self._work = server, work
        self._files, self._people = files, people
        self.steps: list[Step] = []

    def run(self) -> list[Step]:
        """Measure everything."""
        (self._work / "one.txt").write_bytes(b"x" * 300)
        self._tree("many", IN_A_FOLDER)
        self._tree("one", self._files)
        self._expired()
        self._accounts()
        return self.steps

    def _tree(self, name: str, in_a_folder: int) -> None:
        source, one = self._work / name, self._work / f"{name}.txt"
        for path in _paths(source, self._files, in_a_folder):
            path.write_bytes(os.urandom(FILE_BYTES))
        one.write_bytes(b"x" * 300)
        inside = f"{name}/0"
        self._fs(f"{name}: put all", "put", source, name)
        self._fs(f"{name}: put one, server warm", "put", one, f"{inside}/")
        self._server.restart()
        self._fs(f"{name}: put one, server cold", "put", one, f"{inside}/")
        self._fs(f"{name}: cat one", "cat", f"{inside}/{one.name}")
        self._fs(f"{name}: ls one folder", "ls", inside)
        self._fs(f"{name}: sync of nothing new", "sync", source, name)
        self._fs(f"{name}: status", "status")
        self._fs(f"{name}: get all", "get", name, self._work / f"{name}.back")
        self._admin(f"{name}: fsadmin check", "check")
        with self._putting(f"{name}: slowest put during rm -r"):
            self._fs(f"{name}: rm -r", "rm", "-r", name)

    def _expired(self) -> None:
        """Start the server after the retention of the removed files."""
        end(self._server.process)
        with closing(sqlite3.connect(self._server.home / "fsd.db")) as db, db:
            db.execute("UPDATE nodes SET removed_ms = ? WHERE removed_ms IS NOT NULL", (GONE_MS,))
        started = time.perf_counter()
        self._server.restart()
        ready, pid = time.perf_counter() - started, self._server.pid
        self._add("start with expired files, until ready", Sample(ready, 0, 0, cpu_s(pid)))
        one, waited = self._work / "one.txt", 0.0
        while self._removed():
            before = time.perf_counter()
            run(self._server.client("put", one, "while.txt"), env=self._server.env)
            waited = max(waited, time.perf_counter() - before)
        self._add("slowest put during that deletion", Sample(waited, 0, 0, cpu_s(pid)))

    def _removed(self) -> int:
        with closing(sqlite3.connect(self._server.home / "fsd.db")) as db:
            ask = "SELECT count(*) FROM nodes WHERE removed_from IS NOT NULL"
            return int(db.execute(ask).fetchone()[0])

    def _accounts(self) -> None:
        people = self._work / "people.csv"
        names = (f"person{number}" for number in range(self._people))
        people.write_text("name\n" + "\n".join(names) + "\n", encoding="ascii")
        with self._putting("slowest put at that time"):
            self._admin("add-users", "add-users", people, "--sheets", self._work / "sheets")
        self._admin("list-users", "list-users")

    @contextmanager
    def _putting(self, name: str) -> Iterator[None]:
        """Put a small file repeatedly during a block; add a step for the slowest put."""
        slowest, over = [0.0], threading.Event()
        putting = threading.Thread(target=self._put_again, args=(over, slowest))
        putting.start()
        try:
            yield
        finally:
            over.set()
            putting.join()
        self._add(name, Sample(slowest[0], 0, 0, 0))

    def _put_again(self, over: threading.Event, slowest: list[float]) -> None:
        one = self._work / "one.txt"
        while not over.is_set():
            before = time.perf_counter()
            run(self._server.client("put", one, "other.txt"), env=self._server.env)
            slowest[0] = max(slowest[0], time.perf_counter() - before)

    def _fs(self, name: str, *words: object) -> None:
        forget_peak(self._server.pid)
        command = self._server.client(*words)
        with (self._work / "out").open("wb") as out:
            self._add(name, run(command, env=self._server.env, server=self._server.pid, stdout=out))

    def _admin(self, name: str, *words: object) -> None:
        forget_peak(self._server.pid)
        command = [str(BIN / "fsadmin"), "--home", str(self._server.home), *map(str, words)]
        with (self._work / "out").open("wb") as out:
            self._add(name, run(command, env=environment(), server=self._server.pid, stdout=out))

    def _add(self, name: str, sample: Sample) -> None:
        peak = memory_kib(self._server.pid, "VmHWM") or 0
        step = Step(
            name,
            round(sample.wall_s, 2),
            round(sample.client_cpu_s, 2),
            round(sample.client_peak_kib / 1024),
            round(sample.server_cpu_s, 2),
            round(peak / 1024),
        )
        self.steps.append(step)
        say(" ".join(map(str, asdict(step).values())))


def measure(files: int, people: int) -> dict[str, Any]:
    """Run all measurements with a server of their own; return the results."""
    base = MEMORY if os.access(MEMORY, os.W_OK) else None
    before = load()
    with tempfile.TemporaryDirectory(prefix="fs-growth-", dir=base) as name:
        work = Path(name)
        with fsd(work) as server:
            steps = Growth(server, work, files, people).run()
    return {
        "files": files,
        "people": people,
        "load_before_and_after": [before, load()],
        "steps": [asdict(step) for step in steps],
    }


def markdown(found: dict[str, Any]) -> str:
    """Return the results as a table."""
    head = "| act | wall s | client CPU s | client MiB | server CPU s | server MiB |"
    rows = ["| " + " | ".join(map(str, step.values())) + " |" for step in found["steps"]]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _paths(top: Path, files: int, in_a_folder: int) -> Iterator[Path]:
    for number in range(files):
        folder = top / str(number // in_a_folder)
        if number % in_a_folder == 0:
            folder.mkdir(parents=True)
        yield folder / f"{number}.txt"
