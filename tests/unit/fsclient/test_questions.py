"""Proofs of descent over very many versions: the client keeps where the hashes lead, not them."""

from __future__ import annotations

import tracemalloc

from fsclient.tree.questions import ServerQuestions
from fsclient.trust.sightings import STATE, Gap
from fsproto.messages.history import GetLineage, Lineage
from fsproto.proofs.lineage import LineagePoint, lineage_after
from fsproto.types import NO_HASH, Hash, NodeId
from tests.unit.fsclient.test_connection import Server, connected

MANY = 300_000
"""Versions whose hashes, each as an object, would take more than 20 MiB."""
SOME = 8000
HASH = Hash(b"h" * 32)


def test_a_proof_of_many_versions_takes_little_memory() -> None:
    def serve(server: Server) -> None:
        left = MANY
        while left:
            asked = server.hear()
            assert isinstance(asked.message, GetLineage)
            count = sum(one.before - one.after - 1 for one in asked.message.ranges)
            left -= count
            while count:
                some = min(count, SOME)
                count -= some
                server.say(asked.request, Lineage(HASH * some, more=count > 0))

    first = LineagePoint(1, NO_HASH, HASH)
    last = LineagePoint(MANY + 2, NO_HASH, HASH)
    gap = Gap(NodeId(bytes(16)), STATE, first, last)
    with connected(serve) as connection:
        tracemalloc.start()
        try:
            reached = ServerQuestions(connection).lineages([gap])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert reached[gap] == lineage_after(2, first.next_lineage, (HASH for _ in range(MANY)))
    assert peak < 12 << 20
