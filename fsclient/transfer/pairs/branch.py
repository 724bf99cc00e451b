"""Whether remote folders descend from the states that the last sync left.

For each answer of the server, the memory of seen versions decides that. It cannot if it was
deleted, or if the user has accepted what a restored server shows. Then files that are missing there
were not removed by a person, and older content was not put there again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from fsclient.transfer.pairs.state import Head
from fsclient.tree.context import TreeContext
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import STATE, KnownLines, SeenRow, Sighting, check_proof, find_gaps
from fsproto.errors import RollbackError
from fsproto.proofs.lineage import LineagePoint
from fsproto.types import Hash, NodeId

_MARK = 1


def heads_of(memory: SeenVersions, folders: Iterable[NodeId]) -> dict[bytes, Head]:
    """Return the newest seen state of each folder."""
    newest = memory.newest(folders, STATE)
    return {node: Head(point.version, point.lineage, point.hash) for node, point in newest.items()}


def descend(context: TreeContext, heads: Mapping[bytes, Head], folders: Iterable[NodeId]) -> bool:
    """Return whether the newest seen state of each folder descends from its head, if it has one.

    The server is asked to prove it for folders that have changed more than once.
    """
    known: KnownLines = {}
    seen = []
    for node, point in context.memory.newest(folders, STATE).items():
        head = heads.get(node)
        if head is not None:
            before = LineagePoint(head.version, Hash(head.lineage), Hash(head.hash))
            known[node, STATE] = [SeenRow(before, _MARK, _MARK)]
            seen.append(Sighting(node, STATE, point))
    try:
        gaps = find_gaps(seen, known, _MARK)
        reached = context.retry.run(partial(context.questions.lineages, gaps)) if gaps else {}
        for gap, lineage in reached.items():
            check_proof(gap, lineage)
    except RollbackError:
        return False
    return True
