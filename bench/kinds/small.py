"""Put and get of many small files."""

from __future__ import annotations

import os
import shutil

from bench import competitors, limits
from bench.lab import Lab
from bench.measure import Comparison
from bench.plan import SMALL_FILE, size_of


def small(lab: Lab) -> None:
    """Compare with `sftp -r`, and with rsync if it is installed."""
    plan, work = lab.plan, lab.folder("small")
    source = work / "source"
    for number in range(plan.folders):
        inside = source / f"folder {number}"
        inside.mkdir(parents=True)
        for name in range(plan.files // plan.folders):
            (inside / f"file {name}.txt").write_bytes(os.urandom(SMALL_FILE))
    everybody = [competitors.ours(work, lab.server, source)]
    if lab.ssh:
        everybody.append(competitors.sftp(work, lab.ssh, source, lab.cipher))
        if shutil.which("rsync"):
            everybody.append(competitors.rsync(work, lab.ssh, source, lab.cipher))
        else:
            lab.skip("rsync", "it is not installed")
    title = f"{plan.files:,} files of {size_of(SMALL_FILE)} in {plan.folders} folders"
    put = Comparison("small_put", f"Put {title}", "files/s", plan.files)
    get = Comparison("small_get", f"Get {title}", "files/s", plan.files)
    put.limit, get.limit = limits.small(lab.limits)
    lab.there_and_back(everybody, source, put, get, times=plan.rounds)
    lab.comparisons += [put, get]
    shutil.rmtree(source)
