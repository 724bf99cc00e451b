"""Put and get of one large file, with the memory of both ends."""

from __future__ import annotations

from bench import competitors, limits
from bench.competitors import FASTEST_CIPHERS
from bench.lab import Lab
from bench.measure import Comparison, forget_peak, memory_kib, run
from bench.plan import size_of


def large(lab: Lab) -> None:
    """Compare the programs, and find the faster cipher of sftp."""
    source, work = lab.random_file("large.bin", lab.plan.large), lab.folder("large")
    everybody = [competitors.ours(work, lab.server, source)]
    if lab.ssh:
        everybody += [competitors.sftp(work, lab.ssh, source, name) for name in FASTEST_CIPHERS]
        everybody.append(competitors.scp(work, lab.ssh, source, FASTEST_CIPHERS[0]))
    size, megabytes = size_of(lab.plan.large), lab.plan.large / 1e6
    put = Comparison("large_put", f"Put one file of {size}", "MB/s", megabytes)
    get = Comparison("large_get", f"Get one file of {size}", "MB/s", megabytes)
    put.limit, get.limit = limits.large(lab.limits)
    idle = run(lab.server.client("status"), env=lab.server.env)
    before = memory_kib(lab.server.pid)
    forget_peak(lab.server.pid)
    lab.there_and_back(everybody, source, put, get, times=lab.plan.rounds)
    lab.comparisons += [put, get]
    lab.memory |= {
        "client_idle_kib": idle.client_peak_kib,
        "client_put_peak_kib": put.row(put.ours).peak_kib,
        "client_get_peak_kib": get.row(get.ours).peak_kib,
        "server_idle_kib": before,
        "server_peak_kib": memory_kib(lab.server.pid, "VmHWM"),
    }
    source.unlink()
    if lab.ssh and (anchor := put.anchor()):
        lab.cipher = next(c for c in FASTEST_CIPHERS if c.startswith(anchor.name.split()[1]))
