"""Plans: how much a full run and a quick run measure."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SMALL_FILE = 4 * KIB


@dataclass(frozen=True)
class Plan:
    """Amounts and repetitions of one run."""

    kind: str
    """Base name of the result files."""
    what: tuple[str, ...]
    """Names of the measurements, in order."""
    rounds: int
    short_rounds: int
    """Rounds of measurements that take less than a second."""
    large: int
    """Size of the large file, in bytes."""
    sizes: tuple[int, ...]
    """Sizes for the throughput by size, in bytes."""
    folders: int
    files: int
    sessions: int
    listing: int
    """Entries of the listed folder."""
    linked: int
    """Size of the file behind a public link, in bytes."""
    clients: int
    """Number of simultaneous clients."""
    client_bytes: int
    scale: tuple[int, ...]
    """Sizes for the growth of cost, in bytes."""


EVERYTHING = (
    "large",
    "sizes",
    "small",
    "latency",
    "listing",
    "links",
    "sessions",
    "fairness",
    "scale",
)
FULL = Plan(
    kind="latest",
    what=EVERYTHING,
    rounds=5,
    short_rounds=15,
    large=GIB,
    sizes=(KIB, 64 * KIB, MIB, 16 * MIB, 128 * MIB, GIB),
    folders=50,
    files=5000,
    sessions=1000,
    listing=10_000,
    linked=256 * MIB,
    clients=16,
    client_bytes=64 * MIB,
    scale=(GIB, 2 * GIB, 4 * GIB, 10 * GIB),
)
QUICK = Plan(
    kind="quick",
    what=("large", "sizes", "small", "latency", "links", "sessions", "fairness"),
    rounds=2,
    short_rounds=3,
    large=64 * MIB,
    sizes=(KIB, MIB, 16 * MIB, 64 * MIB),
    folders=5,
    files=500,
    sessions=50,
    listing=1000,
    linked=64 * MIB,
    clients=4,
    client_bytes=16 * MIB,
    scale=(GIB // 4, GIB),
)


def size_of(count: int) -> str:
    """Return a number of bytes in the largest unit that divides it."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes"
