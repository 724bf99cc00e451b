"""Asking the server how the versions that it shows descend from those that were seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fsclient.trust.seen import Gap, check_gap_size
from fsproto import crypto
from fsproto.errors import RemoteProtocolError, RollbackError
from fsproto.limits import MAX_LINEAGE_HASHES, MAX_LINEAGE_RANGES
from fsproto.messages.history import GetLineage, Lineage, LineageRange, Lineal
from fsproto.types import Hash

if TYPE_CHECKING:
    from fsclient.connection.connection import ServerConnection


def ask_lineage(connection: ServerConnection, gaps: Sequence[Gap]) -> dict[Gap, list[Hash]]:
    """Return the hashes between the versions of each gap, as the server says; unverified.

    Raises `RollbackError` for a gap that is too large to be proved.
    """
    for gap in gaps:
        check_gap_size(gap)
    found: dict[Gap, list[Hash]] = {gap: [] for gap in gaps}
    for batch in _batches(gaps):
        hashes = _ask(connection, [one for _, one in batch])
        at = 0
        for gap, one in batch:
            size = one.before - one.after - 1
            found[gap] += hashes[at : at + size]
            at += size
    return found


def _batches(gaps: Sequence[Gap]) -> Iterator[list[tuple[Gap, LineageRange]]]:
    """Yield ranges that together cover the gaps, as many as one request may have."""
    batch: list[tuple[Gap, LineageRange]] = []
    left = MAX_LINEAGE_HASHES
    for gap in gaps:
        after, until = gap.earlier.version, gap.later.version
        while after + 1 < until:
            if not left or len(batch) == MAX_LINEAGE_RANGES:
                yield batch
                batch, left = [], MAX_LINEAGE_HASHES
            before = min(until, after + 1 + left)
            batch.append((gap, LineageRange(gap.node, Lineal(gap.what), after, before)))
            left -= before - after - 1
            after = before - 1
    if batch:
        yield batch


def _ask(connection: ServerConnection, ranges: list[LineageRange]) -> list[Hash]:
    wanted = crypto.HASH_SIZE * sum(one.before - one.after - 1 for one in ranges)
    answer = connection.interject(GetLineage(ranges), Lineage)
    packed = bytearray(answer.hashes)
    while answer.more and len(packed) < wanted:
        answer = connection.answer(connection.last_request, Lineage)
        if not answer.hashes:
            raise RemoteProtocolError("The server sent a part of an answer with nothing in it.")
        packed += answer.hashes
    if answer.more:
        raise RemoteProtocolError("The server answered with more than was asked for.")
    if len(packed) != wanted:
        raise RollbackError(
            "THE SERVER DOES NOT SHOW how a folder or file that it shows follows from the version "
            "that this client has seen.",
            hint="Stop and talk to your administrator; 'fsclient doctor' shows both versions.",
        )
    return [
        Hash(bytes(packed[at : at + crypto.HASH_SIZE])) for at in range(0, wanted, crypto.HASH_SIZE)
    ]
