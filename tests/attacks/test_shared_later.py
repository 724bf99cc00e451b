"""A removed member with all data of the server can open nothing newer than the removal.

Known from Fu, "Group Sharing and Random Access in Cryptographic Storage File Systems" (MIT, 1999)
and Grolimund and others, "Cryptree" (SRDS 2006), for lazy revocation. The server hands out every
row; the keys are those that the member received before.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from fsproto.errors import IntegrityError
from fsproto.keys.tree import KeyedNode
from fsproto.packing import unpack
from fsproto.sealed.manifest import Manifest, Metadata, open_metadata
from tests.support.hostile_server import HostileServer
from tests.support.tampering import stored_manifest
from tests.support.world import Person, World


def keys_of(person: Person, *paths: str) -> list[KeyedNode]:
    return [person.find(path).keyed for path in paths]


def opened(team: World, node: bytes, keys: Iterable[KeyedNode]) -> Metadata:
    """Open a node's newest metadata with the matching key of those given."""
    with team.database() as db:
        manifest = unpack(stored_manifest(db, node).payload, Manifest)
    for key in keys:
        for holder in (key, *(key.at(age) for age in range(1, key.generation))):
            try:
                if holder.node == node:
                    return open_metadata(holder.metadata_key, manifest)
                return open_metadata(holder.open_link(manifest).metadata_key, manifest)
            except IntegrityError:
                continue
    raise IntegrityError("None of the keys fits.")


def test_a_removed_member_reads_no_later_version_with_all_server_data(
    team: World, server: HostileServer
) -> None:
    paths = [f"alice:reports{end}" for end in ("", "/deep", "/q1.txt", "/q2.txt", "/deep/d.txt")]
    held = keys_of(team.bob, *paths)
    _, deep, q1, q2, below = held
    team.alice.run("unshare", "reports", "bob").succeeds()
    # He can still read what he could read before.
    assert opened(team, q1.node, held).name == "q1.txt"
    for path in ("reports/q1.txt", "reports/deep/d.txt"):
        team.alice.run("put", team.alice.write("new", b"newer"), path).succeeds()
    for node in (q1, deep, below):
        with pytest.raises(IntegrityError):
            opened(team, node.node, held)
    # Nothing else has changed: the other nodes take new keys with their next change.
    assert opened(team, q2.node, held).name == "q2.txt"
    assert team.carol.cat("alice:reports/deep/d.txt") == b"newer"
    found = {path: team.alice.find(path) for path in ("reports", "reports/deep", "reports/q2.txt")}
    assert [one.keyed.generation for one in found.values()] == [2, 2, 1]
    assert [one.is_due for one in found.values()] == [False, False, True]


def test_a_member_who_loses_access_by_a_move_reads_no_later_version(
    team: World, server: HostileServer
) -> None:
    held = keys_of(team.bob, "alice:reports", "alice:reports/deep", "alice:reports/q1.txt")
    _, deep, q1 = held
    below = keys_of(team.bob, "alice:reports/deep/d.txt")[0]
    team.alice.run("mv", "reports/q1.txt", "reports/deep", "archive/").succeeds()
    for path in ("archive/q1.txt", "archive/deep/d.txt"):
        team.alice.run("put", team.alice.write("new", b"newer"), path).succeeds()
    for node in (q1, deep, below):
        with pytest.raises(IntegrityError):
            opened(team, node.node, [*held, below])
    team.bob.run("cat", "alice:reports/q1.txt").fails(5)


def test_members_see_what_moves_into_a_share_and_within_it(
    team: World, server: HostileServer
) -> None:
    team.alice.run("mv", "archive", "reports/").succeeds()
    assert team.carol.cat("alice:reports/archive/old.txt") == b"long ago\n"
    team.alice.run("mv", "reports/q1.txt", "reports/deep/").succeeds()
    assert team.bob.cat("alice:reports/deep/q1.txt") == b"the first quarter\n"


def test_with_now_nothing_opens_any_more_names_included(team: World, server: HostileServer) -> None:
    paths = [f"alice:reports{end}" for end in ("", "/deep", "/q1.txt", "/deep/d.txt")]
    held = keys_of(team.bob, *paths)
    team.alice.run("unshare", "reports", "bob", "--now").succeeds()
    for node in held:
        with pytest.raises(IntegrityError):
            opened(team, node.node, held)
    with team.database() as db:
        tokens = {token for (token,) in db.execute("SELECT token FROM nodes")}
    assert held[0].token("q1.txt") not in tokens
    assert held[1].token("d.txt") not in tokens
    assert team.carol.cat("alice:reports/q1.txt") == b"the first quarter\n"
