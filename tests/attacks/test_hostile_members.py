"""A member means harm and the server is honest: a writer cannot make the owner powerless.

What a writer signs in a shared folder must not keep the owner, or another member, from anything:
the server refuses it, and what it cannot see, clients find.
"""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from fsclient.session.session import Session
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsclient.tree.root import renewed_root
from fsproto import labels
from fsproto.errors import NotAllowedError, RemoteProtocolError
from fsproto.keylog.entries import sign_rotation
from fsproto.keys.identity import Identity
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.limits import MAX_PATH_PARTS
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, Removal
from fsproto.messages.history import GetHistory, History
from fsproto.messages.keylog import Rotate
from fsproto.names import parse_path
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import FolderState, VerifiedState, sign_state, state_hash
from fsproto.sealed.manifest import Manifest, Metadata, Mode, seal_metadata, sign_manifest
from fsproto.signed import payload_hash, sign
from fsproto.types import NodeKey
from tests.conftest import TIER
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import Forger, RawClient
from tests.support.team import DEEP as DEEP_FILE
from tests.support.team import identity
from tests.support.world import FILES, World

DEEP = "alice:reports/deep"
TOO_DEEP = f"more than {MAX_PATH_PARTS} folders deep"


def renew(session: Session, path: str) -> TreeNode:
    """Give a node a new key; return the node as it is then."""
    session.tree.start_command()
    changes = Committer(session.tree)
    changes.renew(session.tree.find(parse_path(path)))
    changes.commit()
    session.tree.start_command()
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
            session.tree.start_command()
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
    session.tree.start_command()
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


@pytest.mark.long
def test_a_writer_cannot_nest_folders_deeper_than_a_path(
    team: World, server: HostileServer
) -> None:
    """What is as deep as a path can be takes new keys, and no folder and no file."""
    with team.bob.session() as session:
        # `reports` is the first name on the path.
        made = nest(session, "alice:reports", MAX_PATH_PARTS - 1)
        for count in (1, 20):
            with pytest.raises(NotAllowedError, match=TOO_DEEP):
                nest(session, "alice:reports" + (MAX_PATH_PARTS - 1) * "/d", count)
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


@pytest.mark.long
def test_a_writer_cannot_move_a_folder_so_that_its_content_is_too_deep(
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
    # New keys for so many folders take long; the test above renews as many.
    at_once = ("--now",) if TIER == "soak" else ()
    team.alice.run("unshare", "reports", "bob", *at_once).succeeds()


# --- unusable keys


@pytest.mark.parametrize("field", ["rsa", "kem"])
def test_a_member_cannot_rotate_to_keys_that_are_none(
    team: World, server: HostileServer, field: str
) -> None:
    alice, _, carol = team.everybody
    old, new = identity(carol), Identity.generate("carol", 1, os.urandom, version=2)
    junk = b"\xff" * len(getattr(new.bundle.body, field))
    bundle = sign(new.signing, labels.SIGN_BUNDLE, replace(new.bundle.body, **{field: junk}))
    with carol.session() as session:
        state = session.tree.view(session.tree.root.keyed, []).state
        keyed = session.tree.root.keyed.renewed(os.urandom)
        tree = renewed_root(session.tree.root, keyed, state, new, b"").sent
    word = sign_rotation(
        old.signing, old.bundle.hash, payload_hash(labels.HASH_BUNDLE, bundle.payload)
    )
    with RawClient.of(carol, server.address) as raw:
        assert raw.refusal(Rotate(carol.app.fresh(), bundle, word, tree)) == "protocol"
    alice.run("shares").succeeds()
    alice.run("unshare", "reports", "bob").succeeds()


# --- a writer cannot take a folder from the others by giving it false keys


def false_keys(session: Session, found: TreeNode, *, honest: bool, linked: bool = True) -> Commit:
    """Return the commit that gives a due folder a new key, and false former keys with it.

    `honest` commits to the true former keys all the same, so that the server takes it. Without
    `linked`, nobody else can open the new key either.
    """
    forger, above = Forger(session), found.above
    assert above is not None
    state = session.tree.view(found.keyed, []).state
    true = found.keyed.renewed(os.urandom)
    false = replace(true, former=(NodeKey(os.urandom(32)),))
    version = found.manifest.body.version + 1
    metadata = seal_metadata(
        true.metadata_key, true.node, version, 2, found.metadata, random=os.urandom
    )
    body = replace(
        found.manifest.body,
        version=version,
        lineage=found.manifest.point.next_lineage,
        token=above.keyed.token(found.metadata.name),
        link=above.keyed.seal_link(true, os.urandom) if linked else os.urandom(60),
        link_generation=above.keyed.generation,
        generation=2,
        former=false.seal_former(os.urandom),
        key_commitment=true.key_commitment,
        former_commitment=(true if honest else false).former_commitment,
        metadata=metadata,
        author=forger.user,
        author_key=forger.key.public,
    )
    made = sign_manifest(forger.key, body)
    old = found.manifest.body.token
    signer = {"author": forger.user, "author_key": forger.key.public}
    tree = session.tree.view(above.keyed, [old, made.body.token]).tree
    tree = tree.update(
        {old: None, made.body.token: FolderEntry(made.body.token, true.node, made.hash)}
    )
    upper = forger.state(above.keyed, root=tree.root, **signer)
    lower = replace(
        state.body,
        version=state.body.version + 1,
        lineage=state.point.next_lineage,
        generation=2,
        **signer,
    )
    states = [upper, sign_state(forger.key, lower).signed]
    return Commit(states, [made.signed], [Removal(above.keyed.node, old)], [], [])


def test_a_writer_cannot_commit_to_other_keys_of_a_folder(
    team: World, server: HostileServer
) -> None:
    team.alice.run("unshare", "reports", "carol").succeeds()
    with team.bob.session() as session:
        ask = false_keys(session, session.tree.find(parse_path(DEEP)), honest=False)
        with pytest.raises(RemoteProtocolError, match="other keys"):
            session.connection.call(ask, Done)
    assert team.alice.cat("reports/deep/d.txt") == DEEP_FILE


def test_false_former_keys_are_found_and_the_true_ones_are_kept(
    team: World, server: HostileServer
) -> None:
    team.alice.run("unshare", "reports", "carol").succeeds()
    with team.bob.session() as session:
        found = session.tree.find(parse_path(DEEP))
        assert session.connection.call(false_keys(session, found, honest=True), Done) == Done()
    # It is an alarm that names the author, and no proof that the file is not there.
    assert "bob" in team.alice.run("cat", "reports/deep/d.txt").fails(7)
    with team.alice.session() as session:
        reports = session.tree.find(parse_path("reports")).keyed
        answer = session.connection.call(GetHistory(found.keyed.node, 1 << 62), History)
        kept = [unpack(one.payload, Manifest) for one in answer.manifests]
        assert [body.version for body in kept] == [found.manifest.body.version]
        assert reports.open_link(kept[0]).key == found.keyed.key


@pytest.mark.parametrize("linked", [True, False], ids=["a key of his", "an unknown key"])
def test_a_folder_that_a_writer_holds_to_ransom_is_restored(
    team: World, server: HostileServer, linked: bool
) -> None:
    alice, bob = team.alice, team.bob
    alice.run("unshare", "reports", "carol").succeeds()
    with bob.session() as session:
        found = session.tree.find(parse_path(DEEP))
        ransom = false_keys(session, found, honest=True, linked=linked)
        assert session.connection.call(ransom, Done) == Done()
    assert "bob" in alice.run("ls", "reports").err
    alice.run("cat", "reports/deep/d.txt").fails(7)
    alice.run("restore", "reports/deep").succeeds()
    assert alice.cat("reports/deep/d.txt") == DEEP_FILE
    assert bob.cat("alice:reports/deep/d.txt") == DEEP_FILE
    alice.run("put", alice.write("n", b"new"), "reports/deep/new.txt").succeeds()
    alice.run("unshare", "--now", "reports", "bob").succeeds()
    assert alice.cat("reports/deep/d.txt") == DEEP_FILE
    alice.run("ls", "reports/deep").succeeds()


def test_a_file_whose_newest_version_does_not_open_is_restored(
    team: World, server: HostileServer
) -> None:
    alice = team.alice
    with team.bob.session() as session:
        found = session.tree.find(parse_path("alice:reports/q1.txt"))
        forger, above = Forger(session), session.tree.find(parse_path("alice:reports")).keyed
        junk = forger.manifest(above, "q1.txt", forger.blob()[0], found.manifest, found.keyed)
        body = replace(
            found.manifest.body,
            version=junk.body.version,
            lineage=junk.body.lineage,
            metadata=os.urandom(len(found.manifest.body.metadata)),
            author=forger.user,
            author_key=forger.key.public,
            log_head=forger.log_head,
        )
        made = sign_manifest(forger.key, body)
        signer = {"author": forger.user, "author_key": forger.key.public}
        ask = Commit([forger.state(above, made, **signer)], [made.signed], [], [], [])
        assert session.connection.call(ask, Done) == Done()
    assert "bob" in alice.run("cat", "reports/q1.txt").fails(7)
    alice.run("restore", "reports/q1.txt").succeeds()
    assert alice.cat("reports/q1.txt") == FILES["alice"]["reports/q1.txt"]


def test_only_the_last_manifest_of_each_key_of_a_folder_is_kept(
    team: World, server: HostileServer
) -> None:
    alice = team.alice
    node = alice.find("reports/deep").keyed.node
    for name in ("a", "b", "c"):
        alice.run("mv", "reports/deep", f"reports/{name}").succeeds()
        alice.run("mv", f"reports/{name}", "reports/deep").succeeds()
    alice.run("unshare", "reports", "carol", "--now").succeeds()
    with team.database() as db:
        rows = db.execute("SELECT payload FROM manifests WHERE node_id = ?", (node,)).fetchall()
    kept = [unpack(payload, Manifest) for (payload,) in rows]
    assert [body.generation for body in kept] == [1, 2]


# --- times that cannot be true


FIRST_NS, LAST_NS, OLD_NS = -(1 << 63), (1 << 63) - 1, -62_000_000_000
"""The first time that metadata can hold, in the year 1677; the last, in 2262; and one in 1969."""


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("time_ms", "mtime_ns"), [(0, FIRST_NS), (1 << 62, OLD_NS), ((1 << 63) - 1, LAST_NS)]
)
def test_times_that_cannot_be_true_do_no_harm(
    team: World, server: HostileServer, time_ms: int, mtime_ns: int
) -> None:
    alice, bob = team.alice, team.bob
    node = new_node(os.urandom)
    metadata = Metadata("absurd", 0, mtime_ns, Mode.REGULAR, None)
    sealed = seal_metadata(node.metadata_key, node.node, 1, 1, metadata, random=os.urandom)
    with bob.session() as session:
        forger, folder = Forger(session), session.tree.find(parse_path("alice:reports")).keyed
        made = forger.manifest(
            folder, "absurd", None, None, node=node, metadata=sealed, time_ms=time_ms
        )
        content, blob = forger.blob()
        file = forger.manifest(folder, "file", content, time_ms=time_ms)
        signer = {"author": forger.user, "author_key": forger.key.public, "time_ms": time_ms}
        states = [forger.state(folder, made, file, **signer), forger.first_state(node)]
        commit = Commit(states, [made.signed, file.signed], [], [blob], [])
        assert session.connection.call(commit, Done) == Done()
    shown = alice.run("ls", "-l", "reports").succeeds().decode()
    assert "  absurd/\n" in shown
    assert ("unknown time" in shown) is (mtime_ns == FIRST_NS)
    history = alice.run("history", "reports/file").succeeds().decode()
    assert ("unknown time" in history) is (time_ms > 0)
    for command in (("doctor",), ("tree", "reports"), ("find", "reports"), ("rm", "reports/file")):
        alice.run(*command).succeeds()
    alice.run("get", "reports", alice.folder / "here").succeeds()
    assert (alice.folder / "here" / "absurd").is_dir()
    alice.run("rm", "-r", "reports/absurd").succeeds()
    assert b"absurd/" in alice.run("history", "reports").succeeds()
