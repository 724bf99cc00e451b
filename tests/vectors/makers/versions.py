"""How versions follow each other: lineages, older versions of a file, and removals."""

from __future__ import annotations

from collections.abc import Sequence

from fsproto.errors import FsError, IntegrityError, RollbackError
from fsproto.proofs.lineage import NO_LINEAGE, LineagePoint, next_lineage
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import FolderState, sign_state
from fsproto.sealed.manifest import Manifest, NodeKind, VerifiedManifest, sign_manifest
from fsproto.types import Hash, NodeId, Token
from tests.support.fixed_keys import person, stretch
from tests.vectors import Vector
from tests.vectors.makers import Files, Kept
from tests.vectors.makers.content import file_manifest, replaced


def make(kept: Kept) -> Files:
    """Return the three files."""
    return {"lineage": _lineages(), "history": _history(), "removed": _removals()}


# --- lineages


def line_of(count: int, branch: str = "", since: int = 1) -> list[LineagePoint]:
    """Return the first versions of one value; from version `since` on, those of another branch."""
    points: list[LineagePoint] = []
    lineage = NO_LINEAGE
    for version in range(1, count + 1):
        where = branch if version >= since else ""
        hash_of = Hash(stretch(f"version {version}{where}", 32))
        points.append(LineagePoint(version, lineage, hash_of))
        lineage = next_lineage(version, lineage, hash_of)
    return points


def _lineages() -> list[Vector]:
    line, other = line_of(9), line_of(9, " of another branch", since=4)

    def vector(
        name: str,
        earlier: LineagePoint,
        later: LineagePoint,
        between: Sequence[LineagePoint],
        error: type[FsError] | None = None,
    ) -> Vector:
        return {
            "name": f"lineage_{name}",
            "earlier": _json(earlier),
            "later": _json(later),
            "between": [point.hash.hex() for point in between],
            "error": error.code if error else None,
        }

    def refused(
        name: str, earlier: LineagePoint, later: LineagePoint, between: Sequence[LineagePoint]
    ) -> Vector:
        return vector(name, earlier, later, between, RollbackError)

    zero = LineagePoint(5, NO_LINEAGE, line[4].hash)
    shifted = LineagePoint(5, line[3].lineage, line[4].hash)
    turned = LineagePoint(
        9, Hash(bytes([line[8].lineage[0] ^ 1]) + line[8].lineage[1:]), line[8].hash
    )
    return [
        vector("1_to_2", line[0], line[1], []),
        vector("4_to_5", line[3], line[4], []),
        vector("1_to_3", line[0], line[2], line[1:2]),
        vector("3_to_9", line[2], line[8], line[3:8]),
        vector("3_to_9_of_another_branch", line[2], other[8], other[3:8]),
        refused("of_another_branch_next", line[3], other[4], []),
        refused("of_another_branch_later", line[3], other[8], other[4:8]),
        refused("joined_again", line[4], other[8], line[5:8]),
        refused("hash_of_the_earlier_changed", other[3], line[4], []),
        refused("lineage_changed", line[2], turned, line[3:8]),
        refused("lineage_of_zeros", line[3], zero, []),
        refused("lineage_of_the_version_before", line[3], shifted, []),
        refused("one_hash_missing", line[2], line[8], line[3:7]),
        refused("first_hash_missing", line[2], line[8], line[4:8]),
        refused("one_hash_too_many", line[2], line[8], line[3:9]),
        refused("none_between", line[2], line[8], []),
        refused("one_between_neighbours", line[3], line[4], line[3:4]),
        refused("two_exchanged", line[2], line[5], [line[4], line[3]]),
        refused("backwards", line[4], line[3], []),
        refused("to_itself", line[4], line[4], []),
    ]


def _json(point: LineagePoint) -> Vector:
    return {
        "version": point.version,
        "lineage": point.lineage.hex(),
        "hash": point.hash.hex(),
        "next_lineage": point.next_lineage.hex(),
    }


# --- the versions of one file


def _history() -> list[Vector]:
    """Return a file of four versions: older manifests as `history` sends them, the newest first."""
    alice = person("alice")

    def versions(first: Manifest, count: int) -> list[Manifest]:
        bodies = []
        body = replaced(first, version=1, lineage=NO_LINEAGE)
        for version in range(1, count + 1):
            content = replaced(body.content, version=version) if body.content else None
            body = replaced(body, version=version, content=content, time_ms=first.time_ms + version)
            bodies.append(body)
            made = sign_manifest(alice.signing, body)
            body = replaced(body, lineage=made.point.next_lineage)
        return bodies

    def vector(
        name: str, newest: Manifest, older: list[Manifest], error: type[FsError] | None = None
    ) -> Vector:
        made = [sign_manifest(alice.signing, body) for body in (newest, *older)]
        return {
            "name": f"history_{name}",
            "public": alice.signing.public.hex(),
            "newest": {"payload": made[0].signed.payload.hex(), "hash": made[0].hash.hex()},
            "older": [
                {"payload": one.signed.payload.hex(), "signature": one.signed.signature.hex()}
                for one in made[1:]
            ],
            "versions": [one.body.version for one in made],
            "error": error.code if error else None,
        }

    def refused(name: str, newest: Manifest, *older: Manifest) -> Vector:
        return vector(name, newest, list(older), IntegrityError)

    one, two, three, four = versions(file_manifest(), 4)
    other = versions(replaced(file_manifest(), node=NodeId(stretch("another file", 16))), 4)
    as_folder = replaced(one, kind=NodeKind.FOLDER, content=None)
    as_next = sign_manifest(alice.signing, as_folder).point.next_lineage
    stranger = sign_manifest(alice.signing, other[0]).point.next_lineage
    return [
        vector("four_versions", four, [three, two, one]),
        vector("part", four, [three]),
        vector("one_version", one, []),
        refused("version_left_out", four, two, one),
        refused("exchanged", four, two, three, one),
        refused("newest_twice", four, four, three),
        refused("time_changed", four, replaced(three, time_ms=1)),
        refused("of_another_file", four, other[2]),
        refused("begins_as_another_file", replaced(two, lineage=stranger), other[0]),
        refused("begins_as_a_folder", replaced(two, lineage=as_next), as_folder),
    ]


# --- what was removed from a folder


def _removals() -> list[Vector]:
    """Return removals of the sample file from the sample folder, and false ones."""
    key, manifest = person("alice").signing, sign_manifest(person("alice").signing, file_manifest())
    body, folder = manifest.body, manifest.body.parent
    entry = FolderEntry(body.token, body.node, manifest.hash)
    elsewhere = Token(stretch("neighbour", 32))
    neighbour = FolderEntry(elsewhere, NodeId(stretch("neighbour", 16)), entry.manifest)
    full, rest = PrefixTree.build([entry, neighbour]), PrefixTree.build([neighbour])
    other = FolderEntry(entry.token, NodeId(stretch("another file", 16)), entry.manifest)
    first = FolderState(
        format=1,
        folder=folder,
        version=6,
        lineage=Hash(stretch("state 5", 32)),
        root=full.root,
        generation=1,
        author="alice",
        author_key=key.public,
        time_ms=body.time_ms + 1,
        log_head=body.log_head,
    )

    def following(before: FolderState, tree: PrefixTree, **changes: object) -> FolderState:
        point = sign_state(key, before).point
        following = replaced(
            before, version=7, lineage=point.next_lineage, root=tree.root, time_ms=body.time_ms + 2
        )
        return replaced(following, **changes)

    def shown(state: FolderState, tree: PrefixTree) -> Vector:
        signed = sign_state(key, state).signed
        return {
            "payload": signed.payload.hex(),
            "signature": signed.signature.hex(),
            "proof": tree.prove([body.token]).hex(),
        }

    def vector(
        name: str,
        after: FolderState,
        left: PrefixTree,
        *,
        before: FolderState = first,
        had: PrefixTree = full,
        of: VerifiedManifest = manifest,
        replaced: bool = False,
        error: type[FsError] | None = None,
    ) -> Vector:
        return {
            "name": f"removed_{name}",
            "public": key.public.hex(),
            "manifest": {
                "payload": of.signed.payload.hex(),
                "signature": of.signed.signature.hex(),
            },
            "before": shown(before, had),
            "after": shown(after, left),
            "replaced": replaced,
            "error": error.code if error else None,
        }

    gone, false = following(first, rest), IntegrityError
    taken = rest.put(other)
    alone = replaced(first, root=rest.root)
    newer = sign_manifest(key, replaced(body, time_ms=body.time_ms + 1))
    return [
        vector("file", gone, rest),
        vector("and_its_name_taken", following(first, taken), taken, replaced=True),
        vector("still_there", following(first, full), full, error=false),
        vector("never_there", following(alone, rest), rest, before=alone, had=rest, error=false),
        vector("another_version", gone, rest, of=newer, error=false),
        vector("a_version_between", following(first, rest, version=8), rest, error=false),
        vector(
            "on_another_branch",
            following(first, rest, lineage=Hash(stretch("another branch", 32))),
            rest,
            error=false,
        ),
        vector("proof_of_another_state_before", gone, rest, had=taken, error=false),
        vector("proof_of_another_state_after", gone, taken, error=false),
    ]
