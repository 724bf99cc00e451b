"""Many simultaneous clients: fairness, and total throughput."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench import competitors, limits, servers
from bench.competitors import Competitor
from bench.lab import Lab, same, say, telling
from bench.measure import SETTLE_S, FailedError, Sample, cpu_s, rounded, rounds, run
from bench.plan import GIB, size_of
from bench.servers import Fsd


@dataclass
class _Crowd:
    """Many simultaneous runs of one program."""

    name: str
    everybody: list[Competitor]
    slowest_by_fastest: list[float] = field(default_factory=list)
    total_s: list[float] = field(default_factory=list)
    """Times from the first start to the last exit."""
    times_s: list[float] = field(default_factory=list)
    clients_cpu_s: list[float] = field(default_factory=list)
    server_cpu_s: list[float] = field(default_factory=list)

    def all_do(self, commands: list[list[str]]) -> None:
        """Start the command of every client, and wait for the last one to end."""
        server = self.everybody[0].server
        before, started = cpu_s(server), time.perf_counter()
        with ThreadPoolExecutor(len(commands)) as pool:
            samples = list(pool.map(self._one, self.everybody, commands))
        self.total_s.append(time.perf_counter() - started)
        time.sleep(SETTLE_S)
        self.server_cpu_s.append(cpu_s(server) - before)
        self.clients_cpu_s.append(sum(sample.client_cpu_s for sample in samples))
        times = [sample.wall_s for sample in samples]
        self.slowest_by_fastest.append(max(times) / min(times))
        self.times_s += times

    def tidy(self) -> None:
        """Remove uploads and downloads."""
        with ThreadPoolExecutor(len(self.everybody)) as pool:
            list(pool.map(Competitor.tidy, self.everybody))

    @staticmethod
    def _one(who: Competitor, command: list[str]) -> Sample:
        return run(command, env=who.env)

    def as_json(self, size: int) -> dict[str, Any]:
        """Return the medians of the rounds."""
        gib = len(self.everybody) * size / GIB
        return {
            "name": self.name,
            "slowest_by_fastest": round(median(self.slowest_by_fastest), 2),
            "worst_slowest_by_fastest": round(max(self.slowest_by_fastest), 2),
            "mb_s_together": rounded(len(self.everybody) * size / 1e6 / median(self.total_s)),
            "median_s_each": round(median(self.times_s), 3),
            "server_cpu_s_a_gib": round(median(self.server_cpu_s) / gib, 2),
            "clients_cpu_s_a_gib": round(median(self.clients_cpu_s) / gib, 2),
        }


WORKERS = 2
"""Of the second server; the first has one."""


def fairness(lab: Lab) -> None:
    """Let many users put a file at once, then get it: with one worker, with several, with sftp."""
    with servers.fsd(lab.folder("workers"), workers=WORKERS) as several:
        _fairness(lab, [lab.server, several])


def _fairness(lab: Lab, ours: list[Fsd]) -> None:
    plan, work = lab.plan, lab.folder("crowd")
    source = lab.random_file("crowd.bin", plan.client_bytes)
    crowds = [_crowd(work, server, source, plan.clients) for server in ours]
    if lab.ssh:
        crowds.append(
            [
                competitors.sftp(work / str(number), lab.ssh, source, lab.cipher)
                for number in range(plan.clients)
            ]
        )
    names = [everybody[0].name for everybody in crowds]
    names[1] += f", {WORKERS} workers"
    puts = [_Crowd(name, everybody) for name, everybody in zip(names, crowds, strict=True)]
    gets = [_Crowd(name, everybody) for name, everybody in zip(names, crowds, strict=True)]

    def turn(put: _Crowd, get: _Crowd) -> None:
        put.all_do([who.put for who in put.everybody])
        get.all_do([who.get for who in get.everybody])
        if len(get.total_s) == 1 and not all(same(source, who.back) for who in get.everybody):
            raise FailedError(f"{get.name}: received bytes differ from sent bytes")
        put.tidy()

    turns = [lambda p=p, g=g: turn(p, g) for p, g in zip(puts, gets, strict=True)]
    title = f"{plan.clients} at once, {size_of(plan.client_bytes)} each"
    rounds((plan.rounds + 1) // 2, turns, telling(title))  # each round gives many samples
    source.unlink()
    size, (put_limit, get_limit) = plan.client_bytes, limits.large(lab.limits)
    lab.fairness = {
        "clients": plan.clients,
        "bytes": size,
        "put": {"limit": rounded(put_limit), "rows": [crowd.as_json(size) for crowd in puts]},
        "get": {"limit": rounded(get_limit), "rows": [crowd.as_json(size) for crowd in gets]},
    }


def _crowd(work: Path, server: Fsd, source: Path, count: int) -> list[Competitor]:
    """Enrol many users at a server."""
    say(f"enrolling {count} users")
    with ThreadPoolExecutor(2) as pool:
        people = list(pool.map(server.enrol, [f"person{number}" for number in range(count)]))
    return [
        competitors.ours(work / f"{server.workers}-{number}", server, source, env)
        for number, env in enumerate(people)
    ]
