"""The server's disk is hostile: rows and blobs are changed without an honest `fsd` noticing.

Known from: Li, Krohn, Mazières, Shasha, "Secure Untrusted Data Repository (SUNDR)" (OSDI 2004);
Backendal, Haller, Paterson, "MEGA: Malleable Encryption Goes Awry" (IEEE S&P 2023); Hofmann and
Truong, "End-to-End Encrypted Cloud Storage in the Wild" (CCS 2024), for content, names and keys
that are swapped, moved and injected. Rollback has its own file: `test_rollbacks`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import msgspec
import pytest

from fsproto import crypto
from fsproto.keys.key_file import open_identity
from fsproto.packing import unpack
from fsproto.sealed.folder import FolderState, sign_state, state_hash
from fsproto.sealed.manifest import Manifest, sign_manifest
from fsproto.signed import Signed
from fsproto.types import FileKey
from tests.support import tampering
from tests.support.fixed_keys import rsa_key
from tests.support.hostile_server import HostileServer
from tests.support.sealed_streams import open_stream, seal_stream
from tests.support.tampering import Places, look_at_everything, node, refused, root
from tests.support.world import DRAFT, NOTES, PLAN, Person, World

Change = Callable[[sqlite3.Connection], object]
Attacked = Callable[[Change], AbstractContextManager[HostileServer]]


@pytest.fixture(params=["while it was stopped", "while it was running"])
def attacked(request: pytest.FixtureRequest, world: World) -> Attacked:
    """Run a server whose database is changed before it starts, or after much use."""

    @contextlib.contextmanager
    def attacked(change: Change) -> Iterator[HostileServer]:
        running = request.param == "while it was running"
        if not running:
            with world.database() as db:
                change(db)
        with HostileServer(world.home) as server:
            world.meet(server.address)
            if running:
                look_at_everything(world.alice)
                with world.database() as db:
                    change(db)
            yield server

    return attacked


def not_fooled(person: Person, path: str, truth: bytes | None) -> None:
    """Check that a file is refused, or has its true content (None: does not exist).

    A server whose rows were changed may still remember the truth.
    """
    ran = person.run("cat", path)
    if ran.status != 7:
        assert (ran.status, ran.out) == ((5, b"") if truth is None else (0, truth))


# --- content


def flipped(data: bytes) -> bytes:
    return data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:]


def header_flipped(data: bytes) -> bytes:
    return data[:20] + bytes([data[20] ^ 1]) + data[21:]


def cut(data: bytes) -> bytes:
    return data[:-1]


def cut_at_a_segment(data: bytes) -> bytes:
    return data[: 1 << 20]


def emptied(_: bytes) -> bytes:
    return b""


def extended(data: bytes) -> bytes:
    return data + b"\0"


def extended_by_a_segment(data: bytes) -> bytes:
    return data + data[: 1 << 20]


def reordered(data: bytes) -> bytes:
    return data[1 << 20 : 2 << 20] + data[: 1 << 20] + data[2 << 20 :]


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "how",
    [
        flipped,
        header_flipped,
        cut,
        cut_at_a_segment,
        emptied,
        extended,
        extended_by_a_segment,
        reordered,
    ],
)
def test_a_changed_blob_is_noticed(
    world: World, liar: HostileServer, places: Places, how: Callable[[bytes], bytes]
) -> None:
    path = world.blob(root(places["plan.bin"]))
    path.write_bytes(how(path.read_bytes()))
    refused(world.alice, "plan.bin")
    world.alice.run("cat", "plan.bin").fails(7)
    assert world.alice.cat("draft.bin") == DRAFT


@pytest.mark.parametrize("how", [header_flipped, cut, emptied, extended])
def test_a_changed_blob_in_the_database_is_noticed(
    world: World, liar: HostileServer, places: Places, how: Callable[[bytes], bytes]
) -> None:
    key = root(places["notes.txt"])
    with world.database() as db:
        data = db.execute("SELECT data FROM blobs WHERE root = ?", (key,)).fetchone()[0]
        sql = "UPDATE blobs SET data = ?, size = ? WHERE root = ?"
        db.execute(sql, (how(data), len(how(data)), key))
    refused(world.alice, "notes.txt")


def test_a_lost_blob_is_said_to_be_lost(world: World, liar: HostileServer, places: Places) -> None:
    world.blob(root(places["plan.bin"])).unlink()
    assert "lost" in refused(world.alice, "plan.bin")


def test_blobs_of_two_files_cannot_be_swapped(
    world: World, liar: HostileServer, places: Places
) -> None:
    one, other = (world.blob(root(places[name])) for name in ("plan.bin", "draft.bin"))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    for name in ("plan.bin", "draft.bin"):
        refused(world.alice, name)


def test_a_blob_of_the_same_size_of_another_person_is_noticed(
    world: World, liar: HostileServer, places: Places
) -> None:
    theirs, mine = root(world.bob.find("draft.bin")), root(places["draft.bin"])
    shutil.copy(world.blob(theirs), world.blob(mine))
    refused(world.alice, "draft.bin")


def test_content_forged_by_a_holder_of_the_key_is_noticed(
    world: World, liar: HostileServer, places: Places
) -> None:
    # AES-GCM proves nothing to people who share its key; the signed salted hash does.
    shown = json.loads(world.alice.run("--json", "keys", "file", "plan.bin").succeeds())
    key = FileKey(bytes.fromhex(shown["file_key"]))
    binding = bytes.fromhex(shown["associated_data"])
    forged = seal_stream(key, binding, bytes(len(PLAN)), os.urandom)
    assert open_stream(key, binding, forged) == bytes(len(PLAN))
    world.blob(root(places["plan.bin"])).write_bytes(forged)
    assert "salted hash" in refused(world.alice, "plan.bin")


def test_a_blob_of_an_older_version_is_noticed(
    world: World, liar: HostileServer, places: Places
) -> None:
    old = world.blob(root(places["draft.bin"])).read_bytes()
    world.alice.put("draft.bin", bytes(len(DRAFT))).succeeds()
    world.blob(root(world.alice.find("draft.bin"))).write_bytes(old)
    refused(world.alice, "draft.bin")


# --- rows


def test_a_hidden_file_is_noticed(attacked: Attacked, world: World, places: Places) -> None:
    def hide(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM nodes WHERE id = ?", (node(places["notes.txt"]),))

    with attacked(hide):
        world.alice.run("ls").fails(7)
        refused(world.alice, "notes.txt")
        world.alice.put("notes.txt", b"newer").fails(7)


def test_a_hidden_folder_is_noticed(attacked: Attacked, world: World, places: Places) -> None:
    def hide(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM nodes WHERE id = ?", (node(places["reports"]),))

    with attacked(hide):
        world.alice.run("ls").fails(7)
        world.alice.run("ls", "reports").fails(7)
        refused(world.alice, "reports/q1.txt")


def test_two_files_cannot_take_each_others_names(
    attacked: Attacked, world: World, places: Places
) -> None:
    one, other = (places[name].manifest.body for name in ("reports/q1.txt", "reports/q2.txt"))

    def swap(db: sqlite3.Connection) -> None:
        place = "UPDATE nodes SET token = ? WHERE id = ?"
        db.execute(place, (None, one.node))
        db.execute(place, (one.token, other.node))
        db.execute(place, (other.token, one.node))

    with attacked(swap):
        for name, truth in (("q1", b"the first quarter\n"), ("q2", b"the other quarter\n")):
            not_fooled(world.alice, f"reports/{name}.txt", truth)


@pytest.mark.parametrize("thorough", [False, True])
def test_manifests_of_two_files_cannot_be_swapped(
    attacked: Attacked, world: World, places: Places, thorough: bool
) -> None:
    one, other = (node(places[name]) for name in ("reports/q1.txt", "reports/q2.txt"))

    def swap(db: sqlite3.Connection) -> None:
        first, second = (tampering.stored_manifest(db, which) for which in (one, other))
        tampering.store_manifest(db, one, second, hashed=thorough)
        tampering.store_manifest(db, other, first, hashed=thorough)

    with attacked(swap):
        refused(world.alice, "reports/q1.txt")


def altered_link(body: Manifest) -> dict[str, object]:
    return {"link": body.link[:-1] + bytes([body.link[-1] ^ 1])}


def altered_metadata(body: Manifest) -> dict[str, object]:
    return {"metadata": body.metadata[:-1] + bytes([body.metadata[-1] ^ 1])}


def another_name(body: Manifest) -> dict[str, object]:
    return {"token": bytes(32)}


def another_folder(body: Manifest) -> dict[str, object]:
    return {"parent": bytes(16)}


def a_later_version(body: Manifest) -> dict[str, object]:
    return {"version": body.version + 1}


def another_root(body: Manifest) -> dict[str, object]:
    assert body.content is not None
    return {"content": msgspec.structs.replace(body.content, root=bytes(32))}


def another_commitment(body: Manifest) -> dict[str, object]:
    # The "invisible salamanders" of Dodis, Grubbs, Ristenpart, Woodage (CRYPTO 2018).
    assert body.content is not None
    return {"content": msgspec.structs.replace(body.content, commitment=bytes(32))}


def another_author(body: Manifest) -> dict[str, object]:
    return {"author": "bob"}


@pytest.mark.cases(5)
@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        altered_link,
        altered_metadata,
        another_name,
        another_folder,
        a_later_version,
        another_root,
        another_commitment,
        another_author,
    ],
)
def test_a_changed_manifest_is_noticed(
    world: World,
    liar: HostileServer,
    places: Places,
    how: Callable[[Manifest], dict[str, object]],
    thorough: bool,
) -> None:
    with world.database() as db:
        tampering.change_manifest(db, node(places["notes.txt"]), how, hashed=thorough)
    refused(world.alice, "notes.txt")


def test_a_manifest_signed_by_another_person_is_refused(
    world: World, liar: HostileServer, places: Places
) -> None:
    bob = open_identity((world.bob.profile / "identity.key").read_bytes(), None)

    with world.database() as db:
        signed = tampering.stored_manifest(db, node(places["notes.txt"]))
        body = unpack(signed.payload, Manifest)
        forged = sign_manifest(bob.signing, body)
        tampering.store_manifest(db, node(places["notes.txt"]), forged.signed, hashed=True)
    refused(world.alice, "notes.txt")


def test_a_node_moved_to_another_folder_is_noticed(
    attacked: Attacked, world: World, places: Places
) -> None:
    def move(db: sqlite3.Connection) -> None:
        sql = "UPDATE nodes SET parent_id = ? WHERE id = ?"
        db.execute(sql, (node(places["archive"]), node(places["reports/q1.txt"])))

    with attacked(move):
        world.alice.run("ls", "archive").fails(7)
        world.alice.run("ls", "reports").fails(7)
        not_fooled(world.alice, "reports/q1.txt", b"the first quarter\n")


def test_a_node_of_another_person_cannot_be_inserted(
    attacked: Attacked, world: World, places: Places
) -> None:
    def slip_in(db: sqlite3.Connection) -> None:
        sql = "SELECT id FROM nodes WHERE owner_id = 2 AND blob IS NOT NULL LIMIT 1"
        theirs = db.execute(sql).fetchone()[0]
        place = "UPDATE nodes SET owner_id = 1, parent_id = ?, token = ? WHERE id = ?"
        db.execute(place, (node(places["/"]), places["/"].keyed.token("gift"), theirs))

    with attacked(slip_in):
        world.alice.run("ls").fails(7)
        not_fooled(world.alice, "gift", None)


# --- folder states


BY_HIMSELF = object()


def signed_by(person: Person, db: sqlite3.Connection, folder: bytes, **claims: object) -> None:
    """Replace a folder's state by another state with a person's signature."""
    key = open_identity((person.profile / "identity.key").read_bytes(), None).signing
    sql = "SELECT payload, signature FROM folder_states WHERE folder_id = ?"
    if claims.get("author_key") is BY_HIMSELF:
        claims["author_key"] = key.public
    now = unpack(Signed(*db.execute(sql, (folder,)).fetchone()).payload, FolderState)
    forged = sign_state(key, msgspec.structs.replace(now, root=bytes(32), **claims)).signed
    sql = "UPDATE folder_states SET payload = ?, signature = ?, hash = ? WHERE folder_id = ?"
    db.execute(sql, (forged.payload, forged.signature, state_hash(forged), folder))


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        pytest.param({}, "signature", id="as alice"),
        pytest.param({"author": "bob"}, "may not write", id="as bob with the key of alice"),
        pytest.param({"author": "bob", "author_key": BY_HIMSELF}, "may not write", id="as bob"),
    ],
)
@pytest.mark.parametrize("where", ["/", "reports"])
def test_an_empty_folder_signed_by_another_person_is_refused(
    world: World,
    liar: HostileServer,
    places: Places,
    where: str,
    claims: dict[str, object],
    told: str,
) -> None:
    with world.database() as db:
        signed_by(world.bob, db, node(places[where]), **claims)
        db.execute("DELETE FROM nodes WHERE parent_id = ?", (node(places[where]),))
    assert told in world.alice.run("ls", where).fails(7)


def test_the_state_of_another_folder_is_refused(
    attacked: Attacked, world: World, places: Places
) -> None:
    def swap(db: sqlite3.Connection) -> None:
        sql = (
            "UPDATE folder_states SET (payload, signature, hash) = "
            "(SELECT payload, signature, hash FROM folder_states WHERE folder_id = ?) "
            "WHERE folder_id = ?"
        )
        db.execute(sql, (node(places["archive"]), node(places["reports"])))

    with attacked(swap):
        world.alice.run("ls", "reports").fails(7)
        refused(world.alice, "reports/q1.txt")


# --- the root of the tree, and people


def test_a_tree_of_another_person_is_refused(world: World, liar: HostileServer) -> None:
    with world.database() as db:
        for column in ("root_id", "payload", "signature"):
            theirs = f"SELECT {column} FROM trees WHERE user_id = 2"
            db.execute(f"UPDATE trees SET {column} = ({theirs}) WHERE user_id = 1")
    refused(world.alice, "notes.txt")


def test_a_folder_cannot_be_shown_as_the_root(
    world: World, liar: HostileServer, places: Places
) -> None:
    with world.database() as db:
        db.execute("UPDATE trees SET root_id = ? WHERE user_id = 1", (node(places["reports"]),))
    world.alice.run("ls").fails(7)


def test_replaced_public_keys_only_keep_their_owner_out(world: World, liar: HostileServer) -> None:
    with world.database() as db:
        for column in ("payload", "signature", "ed25519"):
            theirs = f"SELECT {column} FROM bundles WHERE user_id = 2"
            db.execute(f"UPDATE bundles SET {column} = ({theirs}) WHERE user_id = 1")
    refused(world.alice, "notes.txt", 4)
    world.alice.run("--otp", world.alice.app.fresh(), "ls").fails(4)


def test_people_whose_names_were_swapped_do_not_get_each_others_trees(
    world: World, liar: HostileServer
) -> None:
    with world.database() as db:
        for name, user in (("x", 1), ("alice", 2), ("bob", 1)):
            db.execute("UPDATE users SET name = ? WHERE id = ?", (name, user))
    refused(world.alice, "notes.txt", 4)


def test_a_replaced_host_key_is_refused(world: World) -> None:
    (world.home / "host.key").write_bytes(rsa_key("other-host").der)
    with HostileServer(world.home) as server:
        world.meet(server.address)
        told = refused(world.alice, "notes.txt")
    assert crypto.fingerprint(rsa_key("other-host").public) in told


def test_after_all_that_everything_is_still_there(world: World, liar: HostileServer) -> None:
    # The checks of this file are meaningful only if they pass where nothing was changed.
    look_at_everything(world.alice)
    assert world.alice.cat("notes.txt") == NOTES
    assert world.alice.cat("plan.bin") == PLAN
