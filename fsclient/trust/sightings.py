"""Seen versions of values, and the rules for the versions that may follow them.

All remembered versions of one value are on one line: each is an ancestor of the next
(`fsproto.proofs.lineage`). These functions decide without I/O; `seen` stores the lines.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from fsproto import crypto
from fsproto.errors import ConflictError, RollbackError
from fsproto.keys.member_list import VerifiedMembers
from fsproto.limits import MAX_LINEAGE_GAP
from fsproto.messages.history import Lineal
from fsproto.proofs.lineage import LineagePoint
from fsproto.types import NO_HASH, NO_NODE, DropId, Hash, NodeId
from fsproto.values import Value

STATE, MANIFEST, LIST = int(Lineal.STATE), int(Lineal.MANIFEST), int(Lineal.LIST)
AGE, KEYS, DROP, GONE = 4, 5, 6, 7


class Sighting(Value, frozen=True):
    """One version of a folder's state, of a node's manifest, or of its member list."""

    node: NodeId
    what: int
    """`STATE`, `MANIFEST`, `LIST`, `AGE` (a list has reached a generation, or was signed with a
    key; see `age` and `list_signer`), `KEYS` (a person's keys have ended; see `key_end`), `DROP`
    (`accepted`), or `GONE` (this device has removed the node in this version)."""
    point: LineagePoint
    parent: NodeId = NO_NODE
    """The folder that the node is in, of a manifest."""
    author: str = ""
    time_ms: int = 0
    """Time of the signature, by the author's clock."""
    sealed_name: bytes = b""
    """Of a manifest: data from which the folder's key opens the name (`fsclient.tree.nodes`)."""


Since = tuple[NodeId, int]
"""Node and kind of the sighting at which something became known."""


class Gap(Value, frozen=True):
    """Two versions of one value that are not adjacent; the earlier must lead to the later."""

    node: NodeId
    what: int
    earlier: LineagePoint
    later: LineagePoint


class SeenRow(Value, frozen=True):
    """A seen version, and the time of its sighting."""

    point: LineagePoint
    at: int
    """First sighting, in the file's order of events; 0: earlier ones may have been forgotten."""
    looked_at: int
    """The last recorded time at which it was shown as the newest."""


KnownLines = dict[tuple[NodeId, int], list[SeenRow]]
"""The rows of a value, the oldest version first."""
_LATER = 1 << 62
"""A time after every mark."""
_ONCE = LineagePoint(1, NO_HASH, NO_HASH)
"""The point of a fact without versions."""


def age(node: NodeId, generation: int) -> Sighting:
    """Return the sighting that a node's member list has reached a generation of the key.

    Each generation is remembered separately, with its first sighting: a person who lost a right in
    one generation does not get it back in the next.
    """
    marker = crypto.sha256(node, generation.to_bytes(4, "big"))
    return Sighting(NodeId(marker[: len(node)]), AGE, _ONCE)


def list_signer(node: NodeId, key: bytes) -> Sighting:
    """Return the sighting that a node's member list was signed with a key of its owner.

    After that, no earlier key of the owner signs a newer list.
    """
    marker = crypto.sha256(node, key)
    return Sighting(NodeId(marker[: len(node)]), AGE, _ONCE)


def seen_list(members: VerifiedMembers) -> list[Sighting]:
    """Return the sightings of a member list: the list, its generations, and the owner's key."""
    body = members.body
    ages = [age(body.node, generation) for generation in range(2, body.generation + 1)]
    seen = Sighting(body.node, LIST, members.point, NO_NODE, body.owner, body.time_ms)
    return [seen, *ages, list_signer(body.node, body.owner_key)]


def key_end(index: int) -> Sighting:
    """Return the sighting of an entry of the key log that ended a person's keys."""
    return Sighting(NodeId(index.to_bytes(16, "big")), KEYS, _ONCE)


def accepted(drop: DropId) -> Sighting:
    """Return the sighting of an accepted drop, which must not be accepted again."""
    return Sighting(NodeId(drop), DROP, _ONCE)


def find_gaps(seen: Iterable[Sighting], known: KnownLines, mark: int) -> list[Gap]:
    """Return the gaps that the server must prove; `RollbackError` where no proof can help."""
    gaps = []
    lines: dict[tuple[NodeId, int], list[SeenRow]] = {}
    for one in dict.fromkeys(seen):
        key = one.node, one.what
        line = lines.setdefault(key, list(known.get(key, ())))
        versions = [row.point.version for row in line]
        at = bisect_left(versions, one.point.version)
        _check_age(one.point.version, line[at:], mark)
        if at < len(line) and versions[at] == one.point.version:
            if line[at].point != one.point:
                raise _forked(one.point.version, one.point.version)
            continue
        around = [(line[at - 1].point, one.point)] if at else []
        around += [(one.point, line[at].point)] if at < len(line) else []
        for earlier, later in around:
            gap = Gap(one.node, one.what, earlier, later)
            if later.version == earlier.version + 1:
                check_proof(gap, earlier.next_lineage)
            else:
                gaps.append(gap)
        line.insert(at, SeenRow(one.point, _LATER, _LATER))
    return gaps


def _check_age(version: int, rows: list[SeenRow], mark: int) -> None:
    """Refuse a version that is older than the newest known at `mark`."""
    newer = [row for row in rows if row.point.version > version]
    known = [row.point.version for row in newer if 0 < row.at <= mark]
    if known:
        raise shown_older(version, max(known))
    if newer and newer[0].at == 0:
        raise ConflictError(
            "A folder or file changed very often while this command ran.",
            hint="Give the same command again.",
        )


def check_proof(gap: Gap, reached: Hash) -> None:
    """Raise `RollbackError` unless a gap's earlier end leads to the later one.

    `reached` is the lineage to which the hashes of all versions between them lead.
    """
    if not crypto.equal(reached, gap.later.lineage):
        raise _forked(gap.later.version, gap.earlier.version)


def check_gap_size(gap: Gap) -> None:
    """Refuse a proof of more versions than a client reads: `RollbackError`."""
    if gap.later.version - gap.earlier.version > MAX_LINEAGE_GAP:
        raise RollbackError(
            f"The server says that a folder or file has changed more than {MAX_LINEAGE_GAP:,} "
            "times since this client saw it.",
            hint="Talk to the person who changed it; 'fsclient doctor' shows both versions.",
        )


def _forked(shown: int, seen: int) -> RollbackError:
    return RollbackError(
        "THE SERVER SHOWED TWO DIFFERENT HISTORIES of the same folder or file: "
        f"version {shown} does not follow from version {seen}, which this client has seen.",
        hint="Stop and talk to your administrator; 'fsclient doctor' shows both versions.",
    )


def shown_older(shown: int, seen: int) -> RollbackError:
    """Return the error for a version that is older than the newest seen."""
    return RollbackError(
        f"THE SERVER SHOWED AN OLDER STATE of a folder or file: version "
        f"{shown}, although this client has seen version {seen}.",
        hint="A backup may have been restored, or changes are undone on purpose: "
        "ask your administrator; 'fsclient doctor' shows what differs.",
    )


def changed_since(what: int) -> RollbackError:
    """Return the error for a change by a person, or with keys, that may no longer change it."""
    if what == KEYS:
        return RollbackError(
            "A FOLDER WAS CHANGED WITH KEYS THAT WERE REPLACED, and the server accepted it.",
            hint="Stop and talk to the owner of those keys: they may have been stolen.",
        )
    return RollbackError(
        "A SHARED FOLDER WAS CHANGED BY A PERSON WHO WAS REMOVED from it, and the server "
        "accepted it.",
        hint="Stop and talk to the owner; their 'fsclient unshare --now' ends it.",
    )
