"""Asks the server, over a connection, what decisions about trust need; verifies nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from fsclient.connection.connection import ServerConnection
from fsclient.trust.sightings import Gap, check_gap_size
from fsproto import crypto
from fsproto.errors import NotFoundError, RemoteProtocolError, RollbackError
from fsproto.limits import MAX_LINEAGE_HASHES, MAX_LINEAGE_RANGES
from fsproto.messages.history import GetLineage, Lineage, LineageRange, Lineal
from fsproto.messages.keylog import BundleOf, GetBundle, GetLog, LogEntries
from fsproto.messages.shares import GetMembers, Members
from fsproto.proofs.lineage import lineage_after
from fsproto.signed import Signed
from fsproto.types import Hash, NodeId

_ASKED_AHEAD = 64
"""Bundles that are requested before the first answer is read."""


class ServerQuestions:
    """`Questions` over a connection; it may ask while another answer is still arriving."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        """The connection in use; a new one takes its place after a loss."""

    def log_entries(self, first: int) -> LogEntries:
        """Return entries of the key log from index `first`, as many as one message holds."""
        return self.connection.interject(GetLog(first), LogEntries)

    def bundles(self, users: Iterable[str]) -> Iterator[tuple[str, BundleOf | NotFoundError]]:
        """Yield the public keys of each user in order, or the error if the server has none."""
        left, asked = deque(users), deque[tuple[str, int]]()
        while left or asked:
            while left and len(asked) < _ASKED_AHEAD:
                user = left.popleft()
                asked.append((user, self.connection.send(GetBundle(user), ahead=True)))
            user, request = asked.popleft()
            try:
                answer: BundleOf | NotFoundError = self.connection.answer(request, BundleOf)
            except NotFoundError as error:
                answer = error
            yield user, answer

    def member_lists(self, nodes: Sequence[NodeId]) -> list[Signed]:
        """Return the member lists of some nodes; a node without one is left out."""
        return self.connection.interject(GetMembers(list(nodes)), Members).lists

    def may_read(self, node: NodeId) -> bool:
        """Return whether the server lets the user read a node; it may say anything."""
        try:
            _ask(self.connection, [LineageRange(node, Lineal.LIST, 1, 2)])  # nothing is between
        except NotFoundError:
            return False
        return True

    def lineages(self, gaps: Sequence[Gap]) -> dict[Gap, Hash]:
        """Return the lineage at each gap's later end, as the server's hashes lead to it.

        Only the lineage is kept, never the hashes: there may be a million of them.
        Raises `RollbackError` for a gap that is too large to be proved, or if hashes are missing.
        """
        for gap in gaps:
            check_gap_size(gap)
        reached = {gap: gap.earlier.next_lineage for gap in gaps}
        for batch in _batches(gaps):
            hashes = _ask(self.connection, [one for _, one in batch])
            for gap, one in batch:
                some = islice(hashes, one.before - one.after - 1)
                reached[gap] = lineage_after(one.after + 1, reached[gap], some)
        return reached


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


def _ask(connection: ServerConnection, ranges: list[LineageRange]) -> Iterator[Hash]:
    wanted = crypto.HASH_SIZE * sum(one.before - one.after - 1 for one in ranges)
    answer = connection.interject(GetLineage(ranges), Lineage)
    packed = bytearray(answer.hashes)
    while answer.more and len(packed) < wanted:
        answer = connection.answer(connection.last_request, Lineage)
        if len(answer.hashes) < crypto.HASH_SIZE:
            raise RemoteProtocolError("The server sent an empty part of an answer.")
        packed += answer.hashes
    if answer.more:
        raise RemoteProtocolError("The server answered with more than the client requested.")
    if len(packed) != wanted:
        raise RollbackError(
            "THE SERVER DOES NOT SHOW how a folder or file that it shows follows from the version "
            "that this client has seen.",
            hint="Stop and talk to your administrator; 'fsclient doctor' shows both versions.",
        )
    starts = range(0, wanted, crypto.HASH_SIZE)
    return (Hash(bytes(packed[at : at + crypto.HASH_SIZE])) for at in starts)
