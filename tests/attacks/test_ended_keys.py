"""Keys that have ended sign nothing further, and a rotation heals a theft.

A thief has taken a person's identity and every key of the tree, and sides with the server. This is
post-compromise security (Cohn-Gordon, Cremers, Garratt, CSF 2016): after the person has replaced
the keys, what is written then is out of the thief's reach.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsclient.tree.nodes import TreeNode
from fsproto.errors import IntegrityError, SecurityError
from fsproto.keys.grants import Role, open_root_grant
from fsproto.keys.identity import Identity
from fsproto.keys.member_list import Member, sign_members, stated_members
from fsproto.names import parse_path
from fsproto.packing import unpack
from fsproto.sealed.manifest import Manifest, sign_manifest
from fsproto.signed import Signed
from tests.support.hostile_server import HostileServer
from tests.support.team import (
    DEEP,
    Q1,
    Accomplice,
    current_log_head,
    identity,
    put_back,
    rows,
)
from tests.support.world import FILES, NOTES, Person, World

TREE = ("nodes", "manifests", "folder_states", "blobs", "trees", "member_lists", "grants")


class Thief(Accomplice):
    """The holder of a person's former identity, and of the tree's keys as they were then."""

    def __init__(self, world: World, user: str, stolen: Identity, **places: TreeNode) -> None:
        """Take the loot."""
        self._world = world
        self.identity = stolen
        self.key = stolen.signing
        self.user = user
        self.places = places


def find(person: Person, path: str) -> TreeNode:
    with person.session() as session:
        found: TreeNode = session.tree.find(parse_path(path))
    return found


def rotates(person: Person, *options: str) -> None:
    person.run("--otp", person.app.fresh(), "keys", "rotate", *options).succeeds()


def fresh(person: Person, to: Path) -> Person:
    """Return another device of a person, which has seen nothing yet."""
    other = person.copy(to)
    other.forget()
    return other


@pytest.fixture
def thief(team: World, server: HostileServer) -> Thief:
    """A thief of alice's keys and folders, with write access to the server's database."""
    alice = team.alice
    paths = {"reports": "reports", "deep": "reports/deep", "archive": "archive"}
    places = {name: find(alice, path) for name, path in paths.items()}
    return Thief(team, "alice", identity(alice), **places)


def stored_list(db: sqlite3.Connection, node: bytes) -> Signed:
    sql = "SELECT payload, signature FROM member_lists WHERE node_id = ?"
    return Signed(*db.execute(sql, (node,)).fetchone())


def forges_list(team: World, thief: Thief, node: bytes, **changes: object) -> None:
    """Have the thief sign the next list of a node: carol writes there."""
    with team.database() as db:
        payload = stored_list(db, node)
        body = stated_members(payload)
        (lineage,) = db.execute(
            "SELECT next_lineage FROM member_lists WHERE node_id = ?", (node,)
        ).fetchone()
        carol = identity(team.carol)
        writer = Member(
            "carol", Role.WRITER, carol.signing.public, carol.bundle.hash, body.members[0].sealed
        )
        others = [one for one in body.members if one.user != "carol"]
        forged = sign_members(
            thief.key,
            replace(
                body,
                version=body.version + 1,
                lineage=lineage,
                owner_key=thief.key.public,
                members=[*others, writer],
                **changes,
            ),
        )
        db.execute(
            "UPDATE member_lists SET payload = ?, signature = ?, version = ?, hash = ?, "
            "next_lineage = ? WHERE node_id = ?",
            (
                forged.signed.payload,
                forged.signed.signature,
                forged.body.version,
                forged.hash,
                forged.point.next_lineage,
                node,
            ),
        )


# --- what an ended key cannot sign


def test_an_ended_key_signs_no_member_list(
    team: World, server: HostileServer, thief: Thief, tmp_path: Path
) -> None:
    rotates(team.alice)
    assert team.bob.cat("alice:reports/q1.txt") == Q1
    forges_list(team, thief, thief.places["reports"].keyed.node)
    told = team.bob.run("cat", "alice:reports/q1.txt").fails(7)
    assert "a key that was replaced" in told
    for person in (fresh(team.bob, tmp_path / "a bob"), fresh(team.carol, tmp_path / "c")):
        # For a new device, this may be a share that alice has left out when she rotated.
        told = person.run("cat", "alice:reports/q1.txt").fails(8)
        assert "has not renewed this share" in told
    for person in (team.alice, fresh(team.alice, tmp_path / "an alice")):
        assert "a key that was replaced" in person.run("shares").fails(7)


def test_an_ended_key_signs_no_list_that_gives_former_keys_back(
    team: World, server: HostileServer, thief: Thief, tmp_path: Path
) -> None:
    """The new list names the ended key as a former writer: the thief signs one without that."""
    rotates(team.alice)
    forges_list(team, thief, thief.places["reports"].keyed.node, former=[])
    fresh(team.carol, tmp_path / "a carol").run("cat", "alice:reports/q1.txt").fails(8)


def test_a_list_by_a_key_that_names_its_own_end_is_an_alarm_on_a_new_device(
    team: World, server: HostileServer, thief: Thief, tmp_path: Path
) -> None:
    """Its author has read the key log up to the rotation, so the list is newer."""
    rotates(team.alice)
    with team.database() as db:
        head = current_log_head(db)
    forges_list(team, thief, thief.places["reports"].keyed.node, log_head=head)
    fresh(team.carol, tmp_path / "a carol").run("cat", "alice:reports/q1.txt").fails(7)


def test_an_ended_key_signs_no_top_of_a_share(
    team: World, server: HostileServer, thief: Thief, tmp_path: Path
) -> None:
    rotates(team.alice)
    top = find(team.alice, "reports")
    forged = sign_manifest(
        thief.key,
        replace(
            top.manifest.body,
            version=top.manifest.body.version + 1,
            lineage=top.manifest.point.next_lineage,
            author_key=thief.key.public,
        ),
    )
    with team.database() as db:
        sent = forged.signed
        db.execute(
            "INSERT INTO manifests VALUES (?, ?, ?, ?)",
            (top.keyed.node, forged.body.version, sent.payload, sent.signature),
        )
        db.execute(
            "UPDATE nodes SET version = ?, manifest_hash = ? WHERE id = ?",
            (forged.body.version, forged.hash, top.keyed.node),
        )
    for person in (team.bob, fresh(team.carol, tmp_path / "a carol")):
        person.run("cat", "alice:reports/q1.txt").fails(7)


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["reports", "deep", "archive"])
def test_an_ended_key_signs_no_folder_that_was_looked_at_since(
    team: World, server: HostileServer, thief: Thief, name: str
) -> None:
    alice, folder = team.alice, thief.places[name]
    rotates(alice)
    alice.run("ls", str(folder.path)).succeeds()
    thief.adds(folder.keyed)
    alice.run("ls", str(folder.path)).fails(7)


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["reports", "deep", "archive"])
def test_an_ended_key_signs_nothing_in_a_tree_that_was_renewed(
    team: World, server: HostileServer, thief: Thief, name: str, tmp_path: Path
) -> None:
    """Not even towards a device that has never been there."""
    folder = thief.places[name]
    rotates(team.alice, "--now")
    thief.adds(folder.keyed)
    thief.adds(folder.keyed, generation=find(team.alice, str(folder.path)).keyed.generation)
    fresh(team.alice, tmp_path / "an alice").run("ls", str(folder.path)).fails(7)
    if name != "archive":
        fresh(team.carol, tmp_path / "a carol").run("ls", f"alice:{folder.path}").fails(7)


def test_an_ended_key_signs_nothing_at_the_top_of_the_tree(
    team: World, server: HostileServer, thief: Thief, tmp_path: Path
) -> None:
    rotates(team.alice)
    root = find(team.alice, "/").keyed
    thief.adds(root)
    fresh(team.alice, tmp_path / "an alice").run("ls").fails(7)


def test_the_tree_from_before_the_rotation_is_not_shown_again(
    team: World, server: HostileServer, thief: Thief, tmp_path: Path
) -> None:
    with team.database() as db:
        before = rows(db, *TREE)
    rotates(team.alice)
    with team.database() as db:
        put_back(db, before)
    for person in (team.alice, fresh(team.alice, tmp_path / "an alice")):
        person.run("ls").fails(7)
    fresh(team.carol, tmp_path / "a carol").run("ls", "alice:reports").fails(8)


def test_the_generations_of_a_share_say_nothing_of_the_owners_keys(
    team: World, server: HostileServer, tmp_path: Path
) -> None:
    """The second key counts up to the second generation of the owner's root, not of a share."""
    alice = team.alice
    rotates(alice)
    alice.run("mkdir", "late").succeeds()
    alice.run("share", "late", "carol").succeeds()
    stolen = identity(alice)
    rotates(alice)
    late = find(alice, "late").keyed
    assert (late.generation, stolen.bundle.body.version) == (2, 2)
    with fresh(team.carol, tmp_path / "a carol").session() as session:
        found = session.tree.find(parse_path("alice:late"))
        session.tree.start_command()
        Thief(team, "alice", stolen).adds(late)
        with pytest.raises(SecurityError):
            session.tree.children(found)


def test_the_ended_key_of_a_writer_counts_for_nothing_once_the_owner_knows(
    team: World, server: HostileServer, tmp_path: Path
) -> None:
    alice, bob = team.alice, team.bob
    bob.run("put", bob.write("b", b"bob's"), "alice:reports/bobs").succeeds()
    stolen, reports = identity(bob), find(bob, "alice:reports")
    rotates(bob)
    alice.run("ls").succeeds()  # any command
    now = find(alice, "reports").keyed
    assert now.generation == reports.keyed.generation + 1
    carol = fresh(team.carol, tmp_path / "a carol")
    assert carol.cat("alice:reports/bobs") == b"bob's"
    assert bob.cat("alice:reports/q1.txt") == Q1
    bob.run("put", bob.write("later", b"later"), "alice:reports/later").succeeds()
    assert alice.cat("reports/later") == b"later"
    old = Thief(team, "bob", stolen)
    old.adds(reports.keyed, generation=now.generation)
    for person in (alice, fresh(team.carol, tmp_path / "another")):
        path = "reports" if person is alice else "alice:reports"
        person.run("ls", path).fails(7)


# --- what honest people have signed stays readable


def test_values_signed_before_a_rotation_stay_readable(
    team: World, server: HostileServer, tmp_path: Path
) -> None:
    alice = team.alice
    alice.run("mkdir", "private").succeeds()
    alice.run("mkdir", "private/inner").succeeds()
    alice.run("put", alice.write("p", b"private"), "private/inner/p").succeeds()
    alice.run("rm", "-r", "archive").succeeds()
    for number in range(2):
        rotates(alice)
        device = fresh(alice, tmp_path / f"alice {number}")
        assert device.cat("private/inner/p") == b"private"
        assert device.cat("notes.txt") == NOTES
        carol = fresh(team.carol, tmp_path / f"carol {number}")
        assert carol.cat("alice:reports/deep/d.txt") == DEEP
    bob = fresh(team.bob, tmp_path / "a bob")
    bob.run("put", bob.write("b", b"bob's"), "alice:reports/deep/bobs").succeeds()
    assert alice.cat("reports/deep/bobs") == b"bob's"
    alice.run("mv", "private/inner", "reports/moved").succeeds()
    alice.run("restore", "archive").succeeds()
    alice.run("share", "private", "carol").succeeds()
    for person, whose in ((fresh(alice, tmp_path / "last"), ""), (team.carol, "alice:")):
        assert person.cat(f"{whose}reports/moved/p") == b"private"
        person.run("ls", f"{whose}private").succeeds()
    assert alice.cat("archive/old.txt") == FILES["alice"]["archive/old.txt"]


def test_a_share_below_a_due_folder_is_renewed_before_it_is_sealed(
    team: World, server: HostileServer, thief: Thief, tmp_path: Path
) -> None:
    alice = team.alice
    rotates(alice)
    before = thief.places["archive"].keyed
    alice.run("share", "archive", "carol").succeeds()
    assert find(alice, "archive").keyed.generation == before.generation + 1
    fresh(team.carol, tmp_path / "a carol").run("ls", "alice:archive").succeeds()


# --- a rotation heals a theft


def loot(team: World, thief: Thief) -> Manifest:
    """Return the manifest of what was put into the root last, as the database has it."""
    with team.database() as db:
        sql = "SELECT id FROM nodes WHERE parent_id = ? ORDER BY rowid DESC"
        root = find(team.alice, "/").keyed.node
        (node,) = db.execute(sql, (root,)).fetchone()
        sql = "SELECT payload FROM manifests WHERE node_id = ? ORDER BY version DESC"
        (payload,) = db.execute(sql, (node,)).fetchone()
    return unpack(payload, Manifest)


def test_old_keys_read_nothing_that_is_written_after_the_rotation(
    team: World, server: HostileServer, thief: Thief
) -> None:
    with team.database() as db:
        grants = [Signed(*row) for row in db.execute("SELECT payload, signature FROM trees")]
    alice, old = team.alice, None
    for grant in grants:
        try:
            old = open_root_grant(grant, thief.identity)
        except SecurityError:
            continue
    assert old is not None
    rotates(alice)
    alice.put("later.txt", b"for alice alone").succeeds()
    with pytest.raises(IntegrityError):
        old.open_link(loot(team, thief))
    for name in ("reports", "deep", "archive"):
        path = str(thief.places[name].path)
        alice.run("put", alice.write("new", b"new"), f"{path}/new").succeeds()
        made = find(alice, f"{path}/new").manifest.body
        with pytest.raises(IntegrityError):
            thief.places[name].keyed.open_link(made)


def test_a_renewed_tree_has_nothing_left_under_the_old_keys(
    team: World, server: HostileServer, thief: Thief
) -> None:
    alice = team.alice
    rotates(alice, "--now")
    with alice.session() as session:
        todo = [session.tree.root]
        while todo:
            for one in session.tree.children(todo.pop()).nodes:
                assert not one.is_due_on_path, one.path
                assert one.keyed.generation > 1, one.path
                todo += [one] if one.is_folder else []
    assert team.carol.cat("alice:reports/deep/d.txt") == DEEP


def test_the_old_keys_of_a_reader_open_nothing_new_after_the_owners_next_command(
    team: World, server: HostileServer
) -> None:
    old = find(team.carol, "alice:reports").keyed
    rotates(team.carol)
    team.alice.run("put", team.alice.write("n", b"new"), "reports/new").succeeds()
    made = find(team.alice, "reports/new").manifest.body
    with pytest.raises(IntegrityError):
        old.open_link(made)
    assert team.carol.cat("alice:reports/new") == b"new"


def test_an_interrupted_renewal_is_resumed_without_another_rotation(
    team: World, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = team.alice
    from fsclient.operations import rekey

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rekey, "_settle", stop)
        ran = alice.run("--otp", alice.app.fresh(), "keys", "rotate", "--now")
        assert ran.status != 0
    keys = (alice.profile / "identity.key").read_bytes()
    ran = alice.run("keys", "rotate", "--now")
    assert ran.status == 0
    assert "is resumed" in ran.err
    assert (alice.profile / "identity.key").read_bytes() == keys
    with alice.session() as session:
        assert not any(one.is_due_on_path for one in session.tree.children(session.tree.root).nodes)
    assert not (alice.profile / "renewal").exists()


# --- messages to people


def test_a_mark_of_compared_keys_does_not_pass_silently_to_others(
    team: World, server: HostileServer
) -> None:
    alice, bob = team.alice, team.bob
    alice.run("verify", "bob").succeeds()
    alice.run("verify", "bob", "--confirm").succeeds()
    rotates(bob)
    told = alice.run("ls", "reports")
    assert told.status == 0
    assert "bob has replaced the keys that you compared" in told.err
    assert "that you compared" not in alice.run("shares").err
    assert b"replaced since you compared them" in alice.run("verify", "bob").succeeds()
    alice.run("verify", "bob", "--confirm").succeeds()
    assert b"replaced since" not in alice.run("verify", "bob").succeeds()
