"""Throughput by file size: start-up dominates small files, transfer large ones."""

from __future__ import annotations

from bench import competitors, limits
from bench.lab import Lab
from bench.measure import Comparison
from bench.plan import MIB, size_of

SHORT = 32 * MIB
"""Smaller files get more rounds, because short times vary most."""


def sizes(lab: Lab) -> None:
    """Compare with sftp and its faster cipher for each size."""
    for size in lab.plan.sizes:
        put, get = (
            Comparison(f"{what.lower()}_{size}", f"{what} {size_of(size)}", "MB/s", size / 1e6)
            for what in ("Put", "Get")
        )
        put.limit, get.limit = limits.sized(lab.limits, size)
        if not _taken_from_large(lab, size, put, get):
            _measure(lab, size, put, get)
        lab.sizes.append((size, put, get))


def _measure(lab: Lab, size: int, put: Comparison, get: Comparison) -> None:
    source, work = lab.random_file(f"{size}.bin", size), lab.folder(f"sized-{size}")
    everybody = [competitors.ours(work, lab.server, source)]
    if lab.ssh:
        everybody.append(competitors.sftp(work, lab.ssh, source, lab.cipher))
    times = max(lab.plan.rounds, lab.plan.short_rounds // 2) if size < SHORT else lab.plan.rounds
    lab.there_and_back(everybody, source, put, get, times=times)
    source.unlink()


def _taken_from_large(lab: Lab, size: int, put: Comparison, get: Comparison) -> bool:
    """Reuse the results of `large` if it has measured this size; return whether it has."""
    if size != lab.plan.large:
        return False
    for one, name in ((put, "large_put"), (get, "large_get")):
        measured = lab.comparison(name)
        if measured is None:
            return False
        theirs = "sftp " + lab.cipher.partition("@")[0]
        one.rows = [row for row in measured.rows if row.name in {one.ours, theirs}]
    return True
