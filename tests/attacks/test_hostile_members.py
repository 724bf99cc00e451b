"""A member means harm and the server is honest: a writer cannot make the owner powerless.

What a writer signs in a shared folder must not keep the owner, or another member, from anything:
the server refuses it, and what it cannot see, clients find.
"""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from fsclient.session.login import Session
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsproto import labels
from fsproto.errors import NotAllowedError
from fsproto.keylog.entries import sign_rotation
from fsproto.keys.grants import grant_root
from fsproto.keys.identity import Identity
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.limits import MAX_PATH_PARTS
from fsproto.messages.base import Done
from fsproto.messages.files import Commit
from fsproto.messages.keylog import Rotate
from fsproto.names import parse_path
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import FolderState, VerifiedState, sign_state, state_hash
from fsproto.signed import payload_hash, sign
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import Forger, RawClient
from tests.support.team import identity
from tests.support.world import World

DEEP = "alice:reports/deep"
TOO_DEEP = f"more than {MAX_PATH_PARTS} folders deep"


def renew(session: Session, path: str) -> TreeNode:
    """Give a node a new key; return the node as it is then."""
    session.tree.begin()
    changes = Committer(session.tree)
    changes.renew(session.tree.find(parse_path(path)))
    changes.commit()
    session.tree.begin()
    return session.tree.find(parse_path(path))


# --- keys are given where they are due


@pytest.mark.parametrize("path", [DEEP, DEEP + "/d.txt", "alice:reports/q1.txt"])
def test_a_writer_cannot_use_up_the_keys_of_a_node(
    team: World, server: HostileServer, path: str
) -> None:
    with team.bob.session() as session, pytest.raises(NotAllowedError, match="due"):
        renew(session, path)
    team.alice.run("unshare", "reports", "bob", "--now").succeeds()


def test_a_writer_renews_what_is_due_and_does_so_once(team: World, server: HostileServer) -> None:
    team.alice.run("unshare", "reports", "carol").succeeds()
    with team.bob.session() as session:
        assert renew(session, DEEP).keyed.generation == 2
        with pytest.raises(NotAllowedError, match="due"):
            renew(session, DEEP)
        assert renew(session, DEEP + "/d.txt").keyed.generation == 2
    assert team.alice.cat("reports/deep/d.txt") == team.bob.cat(DEEP + "/d.txt")


def test_a_writer_cannot_renew_by_renaming_or_by_removing_and_restoring(
    team: World, server: HostileServer
) -> None:
    bob = team.bob
    with bob.session() as session:
        found = session.tree.find(parse_path(DEEP))
        above = found.above
        assert above is not None
        changes = Committer(session.tree)
        changes.move(found, above.keyed, above.keyed, "other", None, renew=True)
        with pytest.raises(NotAllowedError, match="due"):
            changes.commit()
    bob.run("rm", "-r", DEEP).succeeds()
    bob.run("restore", DEEP).succeeds()
    assert bob.find(DEEP).keyed.generation == 1


def test_members_leave_the_last_keys_of_a_node_to_its_owner(
    team: World, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsd.services.files.commit_checks.MAX_GENERATION_BY_WRITERS", 3)
    alice, bob = team.alice, team.bob
    for place in ("left", "right"):
        bob.run("mkdir", f"alice:reports/{place}").succeeds()
    with bob.session() as session:
        at, generation = "deep", 1
        for turn in range(3):
            session.tree.begin()
            found = session.tree.find(parse_path(f"alice:reports/{at}"))
            to = session.tree.find(parse_path(f"alice:reports/{('left', 'right')[turn % 2]}"))
            assert found.above is not None
            generation = found.keyed.generation
            changes = Committer(session.tree)
            changes.move(found, found.above.keyed, to.keyed, "deep", None, renew=True)
            if turn < 2:
                changes.commit()
            else:
                with pytest.raises(NotAllowedError, match="have given"):
                    changes.commit()
            at = f"{('left', 'right')[turn % 2]}/deep"
    assert generation == 3
    alice.run("unshare", "reports", "bob", "--now").succeeds()
    assert alice.find("reports/right/deep").keyed.generation == 4


# --- nothing is deeper than a path can be


def nest(session: Session, top: str, count: int, name: str = "d") -> list[KeyedNode]:
    """Make folders in each other, many in one commit; stop where the server refuses."""
    forger = Forger(session)
    session.tree.begin()
    here = session.tree.find(parse_path(top)).keyed
    made: list[KeyedNode] = []
    last: VerifiedState | None = None
    while len(made) < count:
        some = [new_node(os.urandom) for _ in range(min(20, count - len(made)))]
        parents = [here, *some[:-1]]
        signed = [
            forger.manifest(parent, name, None, node=node)
            for parent, node in zip(parents, some, strict=True)
        ]
        if last is None:
            first = forger.state(here, signed[0], author=forger.user, author_key=forger.key.public)
        else:
            entry = FolderEntry(signed[0].body.token, signed[0].body.node, signed[0].hash)
            body = replace(
                last.body,
                version=2,
                lineage=last.point.next_lineage,
                root=PrefixTree.build([entry]).root,
            )
            first = sign_state(forger.key, body).signed
        states = [forger.first_state(node, signed[at + 1]) for at, node in enumerate(some[:-1])]
        states.append(forger.first_state(some[-1]))
        answer = session.connection.call(
            Commit([first, *states], [one.signed for one in signed], [], [], []), Done
        )
        assert answer == Done()
        last = VerifiedState(unpack(states[-1].payload, FolderState), state_hash(states[-1]),
                             states[-1])  # fmt: skip
        made += some
        here = some[-1]
    return made


@pytest.mark.parametrize("count", [MAX_PATH_PARTS, 200])
def test_a_writer_cannot_nest_folders_deeper_than_a_path(
    team: World, server: HostileServer, count: int
) -> None:
    with team.bob.session() as session, pytest.raises(NotAllowedError, match=TOO_DEEP):
        nest(session, "alice:reports", count)
    team.alice.run("unshare", "reports", "bob", "--now").succeeds()


def test_what_is_as_deep_as_a_path_can_be_takes_new_keys_and_no_file(
    team: World, server: HostileServer
) -> None:
    with team.bob.session() as session:
        # `reports` is the first name on the path.
        made = nest(session, "alice:reports", MAX_PATH_PARTS - 1)
        forger = Forger(session)
        content, blob = forger.blob()
        manifest = forger.manifest(made[-1], "file", content)
        state = forger.first_state(made[-1])
        first = VerifiedState(unpack(state.payload, FolderState), state_hash(state), state)
        entry = FolderEntry(manifest.body.token, manifest.body.node, manifest.hash)
        changed = replace(
            first.body,
            version=2,
            lineage=first.point.next_lineage,
            root=PrefixTree.build([entry]).root,
        )
        signed = sign_state(forger.key, changed).signed
        with pytest.raises(NotAllowedError, match=TOO_DEEP):
            session.connection.call(Commit([signed], [manifest.signed], [], [blob], []), Done)
    team.alice.run("unshare", "reports", "bob", "--now").succeeds()
    top = team.alice.find("reports/d")
    assert top.keyed.generation == 2


def test_a_writer_cannot_move_a_folder_so_that_what_is_in_it_is_too_deep(
    team: World, server: HostileServer
) -> None:
    bob = team.bob
    with bob.session() as session:
        nest(session, "alice:reports", 100)
        nest(session, "alice:reports", 26, "short")
    place = "alice:reports" + 100 * "/d"
    bob.run("mv", "alice:reports/short", place + "/short").succeeds()
    bob.run("mv", place + "/short", "alice:reports/short").succeeds()
    deepest = "alice:reports" + 27 * "/short"
    bob.run("mkdir", deepest).succeeds()
    bob.run("put", bob.write("leaf", b"leaf"), deepest + "/leaf").succeeds()
    assert TOO_DEEP in bob.run("mv", "alice:reports/short", place + "/short").fails(6)
    team.alice.run("unshare", "reports", "bob", "--now").succeeds()


# --- keys that nobody can seal to


@pytest.mark.parametrize("field", ["rsa", "kem"])
def test_a_member_cannot_rotate_to_keys_that_are_none(
    team: World, server: HostileServer, field: str
) -> None:
    alice, _, carol = team.everybody
    old, new = identity(carol), Identity.generate("carol", 1, os.urandom, version=2)
    junk = b"\xff" * len(getattr(new.bundle.body, field))
    bundle = sign(new.signing, labels.SIGN_BUNDLE, replace(new.bundle.body, **{field: junk}))
    with carol.session() as session:
        grant = grant_root(session.tree.root.keyed, new, 1, os.urandom)
    word = sign_rotation(
        old.signing, old.bundle.hash, payload_hash(labels.HASH_BUNDLE, bundle.payload)
    )
    with RawClient.of(carol, server.address) as raw:
        assert raw.refusal(Rotate(bundle, word, grant)) == "protocol"
    alice.run("shares").succeeds()
    alice.run("unshare", "reports", "bob").succeeds()
