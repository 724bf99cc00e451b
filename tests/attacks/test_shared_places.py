"""The places of nodes: folders that are claimed from elsewhere, moved, swapped, or slipped in.

Known from Backendal, Haller, Paterson, "MEGA: Malleable Encryption Goes Awry" (S&P 2023), for files
by which a server incriminates a person; from Hofmann and Truong, "End-to-End Encrypted Cloud
Storage in the Wild" (CCS 2024), for swapped and moved files, renamed ones, and files put into
folders.
"""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from fsproto import labels
from fsproto.errors import NotAllowedError
from fsproto.keys.tree import KeyedNode
from fsproto.messages.files import Entries
from fsproto.messages.shares import Shares
from fsproto.packing import pack, unpack
from fsproto.sealed.manifest import Manifest, Metadata, Mode, seal_metadata, sign_manifest
from fsproto.signed import Signed
from tests.support.gateways import at
from tests.support.hostile_server import HostileServer, Lie, Rewrites, assert_refused
from tests.support.tampering import change_manifest, store_manifest, stored_manifest
from tests.support.team import LATE, Q1, Accomplice, share_of, store_node
from tests.support.team_gateway import GatewayDevice
from tests.support.world import Person, World


def as_ones_own(who: Person, folder: KeyedNode, world: World) -> Signed:
    """Return a manifest by which a person claims another person's folder as their own."""
    forger = Accomplice(world, who)
    metadata = Metadata("reports", 0, 1, Mode.REGULAR, file_key=None)
    sealed = seal_metadata(folder.metadata_key, folder.node, LATE, 1, metadata, random=os.urandom)
    root = who.find("/").keyed
    made = forger.manifest(root, "reports", forger.blob()[0], node=folder, metadata=sealed)
    body = replace(made.body, kind=2, content=None, version=LATE)
    payload = pack(body)
    return Signed(payload, forger.key.sign(labels.SIGN_MANIFEST, payload))


def test_a_reader_cannot_claim_anothers_folder(team: World, server: HostileServer) -> None:
    # A reader has the folder's key. If they could share the same node themselves, a person who
    # looks at both shares would accept the reader's signature in it.
    reports = team.carol.find("alice:reports").keyed
    theirs = share_of(team.carol, team.bob, reports, as_ones_own(team.carol, reports, team))

    def added(said: Shares) -> Shares:
        return said if said.shares else Shares([theirs], more=False)

    server.lie = Rewrites(Shares, added)
    Accomplice(team, team.carol).adds(reports)
    ran = team.bob.run("ls", "alice:", "carol:reports", "alice:reports")
    assert (ran.status, b"forged" in ran.out) == (7, False)
    assert "DOES NOT SHOW" in ran.err  # both member lists are of the same node


def test_a_shared_file_is_not_replaced_by_the_owner_of_another_folder(
    team: World, server: HostileServer
) -> None:
    # The manifest of a shared file names a parent that its reader has just opened.
    alice, bob, carol = team.alice, team.bob, team.carol
    alice.run("share", "notes.txt", "bob").succeeds()
    alice.run("share", "notes.txt", "carol").succeeds()
    carol.run("mkdir", "hers").succeeds()
    carol.run("share", "hers", "bob").succeeds()
    hers, notes = carol.find("hers").keyed, carol.find("alice:notes.txt")
    forger = Accomplice(team, carol)
    forged = forger.manifest(hers, "notes.txt", forger.blob()[0], notes.manifest, node=notes.keyed)

    def replaced(said: Shares) -> Shares:
        return replace(
            said,
            shares=[
                replace(one, manifest=forged.signed)
                if unpack(one.manifest.payload, Manifest).node == notes.keyed.node
                else one
                for one in said.shares
            ],
        )

    server.lie = Rewrites(Shares, replaced)
    ran = bob.run("ls", "carol:hers", "alice:notes.txt")
    assert (ran.status, ran.out) == (7, b"")
    assert "may not write there" in ran.err
    assert_refused(bob, path="alice:notes.txt")


def in_two_places(team: World) -> Rewrites:
    """Have carol, a writer of `work` and a reader of `reports`, put a folder of one into `work`."""
    alice, carol = team.alice, team.carol
    alice.run("mkdir", "work").succeeds()
    alice.run("share", "work", "carol", "--write").succeeds()
    alice.run("share", "work", "bob").succeeds()
    q1 = carol.find("alice:reports/q1.txt").manifest
    deep, work = carol.find("alice:reports/deep"), carol.find("alice:work").keyed
    forger = Accomplice(team, carol)
    made = forger.manifest(
        work, "deep", forger.blob()[0], deep.manifest, node=deep.keyed, kind=2, content=None,
        metadata=seal_metadata(
            deep.keyed.metadata_key, deep.keyed.node, deep.manifest.body.version + 1, 1,
            Metadata("deep", 0, 1, Mode.REGULAR, file_key=None), random=os.urandom,
        ),
    )  # fmt: skip
    forger.writes(work, made)
    forger.adds(deep.keyed)

    def still_there(said: Entries) -> Entries:
        nodes = {unpack(one.payload, Manifest).node for one in said.manifests}
        is_reports = q1.body.node in nodes
        return Entries([*said.manifests, deep.manifest.signed]) if is_reports else said

    return Rewrites(Entries, still_there)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_folder_in_two_places_is_not_written_to_by_the_writer_of_one(
    team: World, server: HostileServer, who: str
) -> None:
    server.lie = in_two_places(team)
    person: Person = getattr(team, who)
    back = person.folder / "back"
    ran = person.run("get", "/" if who == "alice" else "alice:", back)
    assert ran.status in (7, 8)
    assert "two places" in ran.err
    assert (back / "reports" / "q1.txt").read_bytes() == Q1
    assert not list(back.rglob("forged"))
    assert not [one for one in back.rglob("*") if one.name.startswith(".fs-")]
    assert "forged" not in ran.err  # the client does not even open it


# --- swapped, renamed, moved by the server


def test_files_of_a_shared_folder_cannot_be_swapped(team: World, server: HostileServer) -> None:
    paths = [f"alice:reports/{name}" for name in ("q1.txt", "q2.txt")]
    one, other = (team.bob.find(path).keyed.node for path in paths)
    with team.database() as db:
        first, second = stored_manifest(db, one), stored_manifest(db, other)
        store_manifest(db, one, second, hashed=True)
        store_manifest(db, other, first, hashed=True)
    assert_refused(team.bob, path="alice:reports/q1.txt")
    assert_refused(team.carol, path="alice:reports/q2.txt")


def test_a_shared_file_cannot_be_renamed_by_the_server(team: World, server: HostileServer) -> None:
    q1 = team.bob.find("alice:reports/q1.txt").keyed.node
    token = team.bob.find("alice:reports").keyed.token("q9.txt")
    with team.database() as db:
        change_manifest(db, q1, lambda _: {"token": token}, hashed=True)
        db.execute("UPDATE nodes SET token = ? WHERE id = ?", (token, q1))
    with HostileServer(team.home) as afresh:  # this server has not yet built a tree of the folder
        team.meet(afresh.address)
        for name in ("q1.txt", "q9.txt"):
            assert_refused(team.bob, path=f"alice:reports/{name}")
        team.carol.run("ls", "alice:reports").fails(7)


def test_a_shared_file_cannot_be_moved_by_the_server(team: World, server: HostileServer) -> None:
    q1 = team.bob.find("alice:reports/q1.txt").keyed.node
    deep = team.bob.find("alice:reports/deep").keyed.node
    with team.database() as db:
        db.execute("UPDATE nodes SET parent_id = ? WHERE id = ?", (deep, q1))
    with HostileServer(team.home) as afresh:
        team.meet(afresh.address)
        assert_refused(team.bob, path="alice:reports/q1.txt")
        assert_refused(team.bob, path="alice:reports/deep/q1.txt")
        team.carol.run("ls", "alice:reports/deep").fails(7)


@pytest.mark.cases(3)
@pytest.mark.parametrize("field", ["time_ms", "author", "version", "former", "names_since"])
def test_the_manifest_of_a_shared_node_cannot_be_changed(
    team: World, server: HostileServer, field: str
) -> None:
    changed = {"time_ms": 5, "author": "carol", "version": 7, "former": b"x", "names_since": 0}
    reports = team.bob.find("alice:reports").keyed.node
    for one in (team.bob, team.carol):
        one.forget()  # the client forgets the node that it has seen
    with team.database() as db:
        change_manifest(db, reports, lambda _: {field: changed[field]}, hashed=True)
    assert_refused(team.bob, path="alice:reports/q1.txt")
    team.carol.run("ls", "alice:").fails(7)


def test_a_file_of_another_person_cannot_be_put_into_a_shared_folder(
    team: World, server: HostileServer
) -> None:
    theirs, reports = team.carol.find("notes.txt"), team.carol.find("alice:reports").keyed
    with team.database() as db:
        store_node(db, theirs.manifest)
        db.execute("UPDATE nodes SET parent_id = ?, owner_id = 1 WHERE id = ?",
                   (reports.node, theirs.keyed.node))  # fmt: skip
    team.bob.run("ls", "alice:reports").fails(7)
    assert_refused(team.bob, path="alice:reports/notes.txt", status=7)
    team.alice.run("ls", "reports").fails(7)


# --- slipped into shared views


def test_a_share_without_the_owners_signature_is_refused(
    team: World, server: HostileServer
) -> None:
    hers = team.carol.find("notes.txt")
    forged = share_of(team.carol, team.bob, hers.keyed, hers.manifest.signed)
    as_alices = replace(forged, owner="alice")
    server.lie = Rewrites(Shares, lambda said: replace(said, shares=[*said.shares, as_alices]))
    team.bob.run("ls", "alice:").fails(7)
    assert_refused(team.bob, path="alice:notes.txt")
    server.lie = Lie()
    assert team.bob.cat("alice:reports/q1.txt") == Q1


def test_a_shared_node_is_refused_in_the_users_own_tree(team: World, server: HostileServer) -> None:
    # Other people's shares appear under their names; in his own tree only bob's signature counts.
    own = team.bob.run("ls").succeeds()
    team.carol.run("share", "notes.txt", "bob").succeeds()
    assert team.bob.run("ls").succeeds() == own
    gift, top = team.carol.find("notes.txt"), team.bob.find("/").keyed
    Accomplice(team, team.carol).writes(top, gift.manifest)
    assert_refused(team.bob)


def test_a_share_of_another_person_is_not_shown_as_the_users_own(
    team: World, server: HostileServer
) -> None:
    # The server says that alice's own folder is shared by bob, and the reverse.
    reports = team.alice.find("reports")
    mine = share_of(team.bob, team.alice, reports.keyed, reports.manifest.signed)
    server.lie = Rewrites(Shares, lambda _: Shares([replace(mine, owner="alice")], more=False))
    team.alice.run("shares").fails(7)
    server.lie = Rewrites(Shares, lambda _: Shares([mine], more=False))
    team.alice.run("ls", "bob:reports", "reports").fails(7)


def test_a_folder_under_two_names_of_one_folder_is_refused(
    world: World, liar: HostileServer
) -> None:
    # With each folder twice in the one above, a walk of a hundred levels would never end.
    carol, bob = world.carol, world.bob
    carol.run("mkdir", "A").succeeds()
    carol.run("mkdir", "A/B").succeeds()
    carol.run("share", "A", "bob").succeeds()
    a, b = carol.find("A"), carol.find("A/B")
    body, metadata = b.manifest.body, replace(b.metadata, name="C")
    key = b.keyed.metadata_key
    again = replace(
        body,
        version=2,
        lineage=b.manifest.point.next_lineage,
        token=a.keyed.token("C"),
        metadata=seal_metadata(key, body.node, 2, 1, metadata, random=os.urandom),
    )
    accomplice = Accomplice(world, carol)
    accomplice.writes(a.keyed, sign_manifest(accomplice.key, again))
    liar.lie = Rewrites(Entries, lambda said: Entries([*said.manifests, b.manifest.signed]))
    told = bob.run("ls", "carol:A").err
    assert told.count("one file or folder under two names") == 2, told
    assert bob.run("get", "carol:A", bob.folder / "got").status == 7


def test_a_move_next_to_the_shared_folders_is_refused_also_if_the_folder_is_there(
    team: World, server: HostileServer
) -> None:
    """A folder in a shared folder may be shared by itself, too; then its name is there already."""
    team.alice.run("share", "reports/deep", "bob", "--write").succeeds()
    said = team.bob.run("mv", "alice:reports/deep", "alice:").fails(6)
    assert "Only the owner" in said
    gateway = GatewayDevice(team.bob, "bob")
    reports, top = (at(f"/@shared/alice/{path}") for path in ("reports/deep", "deep"))
    with pytest.raises(NotAllowedError):
        gateway.files.rename(reports, top, replacing=True)
    gateway.close()
    assert team.bob.run("ls", "alice:reports").succeeds() == b"deep/\nq1.txt\nq2.txt\n"
