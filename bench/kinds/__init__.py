"""The measurements, one module each; each has one function that takes the `Lab`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.kinds.fairness import fairness
from bench.kinds.large import large
from bench.kinds.latency import latency
from bench.kinds.links import links
from bench.kinds.listing import listing
from bench.kinds.scale import scale
from bench.kinds.sessions import sessions
from bench.kinds.sizes import sizes
from bench.kinds.small import small
from bench.lab import Lab

KINDS: Mapping[str, Callable[[Lab], None]] = {
    kind.__name__: kind
    for kind in (large, sizes, small, latency, listing, links, sessions, fairness, scale)
}
