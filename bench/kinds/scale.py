"""Very large files through pipes: cost should grow with size alone, memory not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.competitors import REMOTE
from bench.lab import Lab, probe_command, say
from bench.machine import MEMORY
from bench.measure import FailedError, Sample, end, forget_peak, memory_kib, rounded, run
from bench.plan import GIB, MIB, size_of
from bench.servers import ROOT, Fsd, environment, fsd

ROOM = 2.5
"""Required free space for the server's data directory, in sizes of the largest file."""


def scale(lab: Lab) -> None:
    """Put and get files of growing size, once each because they take long."""
    room = int(ROOM * max(lab.plan.scale))
    places = (lab.work, Path(tempfile.gettempdir()))
    place = next((path for path in places if shutil.disk_usage(path).free >= room), None)
    if place is None:
        lab.skip("scale", f"neither {places[0]} nor {places[1]} has {room / GIB:.0f} GiB free")
        return
    with tempfile.TemporaryDirectory(prefix="fs-bench-scale-", dir=place) as name:
        work = Path(name)
        written = _synced_mb_s(work)
        with fsd(work) as server:
            idle = run(server.client("status"), env=server.env).client_peak_kib
            rows = [_one(server, size, idle) for size in lab.plan.scale]
    lab.scale = {
        "in_memory": place.is_relative_to(MEMORY),
        "write_and_sync_mb_s": rounded(written),
        "rows": rows,
    }


def _one(server: Fsd, size: int, idle: int) -> dict[str, Any]:
    say(f"a file of {size_of(size)}, put and got through pipes")
    server.restart()
    run(server.client("status"), env=server.env)
    before = memory_kib(server.pid)
    forget_peak(server.pid)
    put, get = _put(server, size), _get(server, size)
    peak = memory_kib(server.pid, "VmHWM")
    run(server.client("rm", REMOTE), env=server.env)
    return {
        "bytes": size,
        "put_s": round(put.wall_s, 3),
        "get_s": round(get.wall_s, 3),
        "put_s_a_gib": round(put.wall_s * GIB / size, 3),
        "get_s_a_gib": round(get.wall_s * GIB / size, 3),
        "client_put_over_idle_kib": put.client_peak_kib - idle,
        "client_get_over_idle_kib": get.client_peak_kib - idle,
        "server_over_idle_kib": None if before is None or peak is None else peak - before,
        "cpu_s_both_ends_put": round(put.client_cpu_s + put.server_cpu_s, 2),
        "cpu_s_both_ends_get": round(get.client_cpu_s + get.server_cpu_s, 2),
    }


def _put(server: Fsd, size: int) -> Sample:
    maker = subprocess.Popen(
        probe_command("make", size), cwd=ROOT, env=environment(), stdout=subprocess.PIPE
    )
    try:
        command = server.client("put", "-", REMOTE)
        sample = run(command, env=server.env, server=server.pid, stdin=maker.stdout)
        if maker.wait():
            raise FailedError("the program that generates the bytes failed")
    finally:
        if maker.stdout:
            maker.stdout.close()
        end(maker)
    return sample


def _get(server: Fsd, size: int) -> Sample:
    checker = subprocess.Popen(
        probe_command("check", size), cwd=ROOT, env=environment(), stdin=subprocess.PIPE
    )
    try:
        command = server.client("cat", REMOTE)
        sample = run(command, env=server.env, server=server.pid, stdout=checker.stdin)
        if checker.stdin:
            checker.stdin.close()
        if checker.wait():
            raise FailedError("fsclient cat: received bytes differ from sent bytes")
    finally:
        if checker.stdin:
            checker.stdin.close()
        end(checker)
    return sample


def _synced_mb_s(folder: Path) -> float:
    """Return MB/s for writing and syncing 1 GiB in the folder of the server."""
    file, block = folder / "probe", os.urandom(MIB)
    started = time.perf_counter()
    with file.open("wb", buffering=0) as out:
        for _ in range(GIB // MIB):
            out.write(block)
        os.fsync(out.fileno())
    took = time.perf_counter() - started
    file.unlink()
    return GIB / 1e6 / took
