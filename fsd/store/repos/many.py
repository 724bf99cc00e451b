"""Many values in one query, in helpings that every database takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_HELPING = 500


def helpings(values: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut values into parts that fit into one IN clause."""
    return (values[at : at + _HELPING] for at in range(0, len(values), _HELPING))
