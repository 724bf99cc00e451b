"""Whose keys are whose: keys substituted, stale or reset, and key logs that are forked or cut.

Known from Hofmann and Truong, "End-to-End Encrypted Cloud Storage in the Wild" (CCS 2024): in five
of five systems the server could put its own public keys in the place of a person's; Backendal,
Haller, Paterson, "MEGA: Malleable Encryption Goes Awry" (S&P 2023); for logs of keys Melara and
others, "CONIKS" (USENIX Security 2015), Chase and others, "SEEMless" (CCS 2019), and RFC 9162.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsclient.tree.nodes import TreeNode
from fsd.home.home import Home
from fsd.services.files.key_log import KeyLogWriter
from fsd.store.engine import Database
from fskit.clock import now_ms
from fsproto import crypto
from fsproto.errors import RemoteProtocolError
from fsproto.keylog.entries import KeyLogEntry, entry_bytes
from fsproto.keylog.head import KeyLogHead, pack_log_head, sign_head
from fsproto.keys.identity import Identity
from fsproto.keys.tree import new_node
from fsproto.messages.account import Welcome
from fsproto.messages.base import Done
from fsproto.messages.files import Commit
from fsproto.messages.keylog import BundleOf, LogEntries
from fsproto.names import parse_path
from fsproto.packing import unpack
from fsproto.sealed.folder import FolderState, sign_state
from fsproto.sealed.manifest import sign_manifest
from fsproto.signed import Signed
from fsproto.types import Hash
from tests.support.hostile_server import HostileServer, Lie, Repeats, Rewrites, Said, assert_refused
from tests.support.key_logs import key_log
from tests.support.raw_client import Forger
from tests.support.servers import run
from tests.support.sqlite_files import opened
from tests.support.team import Q1, Accomplice, put_back, rows
from tests.support.world import NOTES, Person, World

FOLDERS = ("nodes", "manifests", "folder_states", "blobs")


def admin(team: World, *command: str) -> None:
    done = run("fsadmin", "--home", str(team.home), *command)
    assert done.returncode == 0, done.stderr


def with_log(home: Path, change: Callable[[KeyLogWriter, Database], None]) -> None:
    """Let the server's operator add to its key log what they like, properly signed."""
    kept = Home(home)
    database = Database(f"sqlite:///{home / 'fsd.db'}")
    change(KeyLogWriter(kept.log_key(), now_ms=now_ms), database)
    database.close()


def taken_over(home: Path, user: str) -> Identity:
    """Put the server's own keys in the place of a person's, log and all."""
    own = Identity.generate(user, 1, os.urandom)
    body, signed = own.bundle.body, own.bundle.signed

    def change(log: KeyLogWriter, database: Database) -> None:
        with database.write() as db:
            log.reset(db, user)
            log.enrolled(db, user, own.bundle.hash, body.ed25519)

    with_log(home, change)
    with opened(home / "fsd.db") as db:
        db.execute(
            "UPDATE bundles SET payload = ?, signature = ?, ed25519 = ? "
            "WHERE user_id = (SELECT id FROM users WHERE name = ?)",
            (signed.payload, signed.signature, body.ed25519, user),
        )
    return own


def safety_number(person: Person, other: str) -> list[str]:
    told: list[str] = json.loads(person.run("--json", "verify", other).succeeds())["number"]
    return told


# --- other keys than a person's


def test_other_keys_than_the_log_names_are_not_sealed_to(
    team: World, server: HostileServer
) -> None:
    own = Identity.generate("carol", 1, os.urandom)
    server.lie = Rewrites(BundleOf, lambda _: BundleOf(own.bundle.signed))
    told = team.alice.run("share", "archive", "carol").fails(7)
    assert "THE SERVER SENT OTHER KEYS FOR carol" in told
    server.lie = Lie()
    assert b"carol" not in team.alice.run("shares", "archive").succeeds()


def test_keys_of_another_person_are_not_sealed_to(team: World, server: HostileServer) -> None:
    bobs = server.lie = Repeats(BundleOf)
    team.alice.run("verify", "bob").succeeds()
    server.lie = Rewrites(BundleOf, lambda _: bobs.first[BundleOf])
    team.alice.run("share", "archive", "carol").fails(7)


def test_a_stale_bundle_is_not_sealed_to(team: World, server: HostileServer) -> None:
    stale = server.lie = Repeats(BundleOf)
    team.alice.run("verify", "carol").succeeds()
    server.lie = Lie()
    team.carol.run("--otp", team.carol.app.fresh(), "keys", "rotate").succeeds()
    team.alice.run("ls").succeeds()  # which renews what is shared with carol
    server.lie = stale
    assert "OTHER KEYS FOR carol" in team.alice.run("share", "archive", "carol").fails(7)
    server.lie = Lie()
    team.alice.run("share", "archive", "carol").succeeds()


def test_keys_that_are_replaced_while_enrolling_are_noticed(
    team: World, server: HostileServer
) -> None:
    # The server registers its own keys in place of the person's.
    def replaced(said: LogEntries) -> LogEntries:
        *others, last = said.entries
        entry = unpack(last, KeyLogEntry)
        own = Identity.generate("dave", 1, os.urandom).bundle
        forged = replace(entry, bundle=own.hash, ed25519=own.body.ed25519)
        return signed_anew(team, [*others, entry_bytes(forged)])

    done = run("fsadmin", "--home", str(team.home), "add-user", "dave", "--json")
    dave = Person(team.alice.home.parent / "dave", json.loads(done.stdout))
    link = f"fs://dave@{server.address}/?{dave.added['enroll_link'].partition('?')[2]}"

    # One and the same forged log for the head at the login and for the entries.
    forged: list[LogEntries] = []

    def once(said: LogEntries) -> LogEntries:
        return forged[0] if forged else said

    def at_login(said: Welcome) -> Welcome:
        with team.database() as db:
            entries = [one for (one,) in db.execute('SELECT payload FROM key_log ORDER BY "index"')]
        forged.append(replaced(LogEntries(entries, said.log)))
        return replace(said, log=forged[0].head)

    server.lie = Both(Rewrites(Welcome, at_login), Rewrites(LogEntries, once))
    code = dave.app.fresh()
    told = dave.run("--otp", code, "enroll", "--no-passphrase", link).fails(7)
    assert "OTHER KEYS FOR YOU" in told
    assert not dave.profile.exists()


class Both(Lie):
    """Two lies, one about what the other says."""

    def __init__(self, one: Lie, other: Lie) -> None:
        self._one = one
        self._other = other

    def says(self, said: Said) -> Iterable[Said]:
        """Bend what was bent."""
        for bent in self._one.says(said):
            yield from self._other.says(bent)


def signed_anew(team: World, entries: list[bytes]) -> LogEntries:
    """Return another log than the true one, signed by the log's own key."""
    root = key_log(entries).root(len(entries))
    key = Home(team.home).log_key()
    return LogEntries(entries, sign_head(key, len(entries), root, now_ms()))


# --- reset


def test_keys_that_were_reset_are_not_used_until_they_were_compared(
    team: World, server: HostileServer
) -> None:
    alice, carol = team.alice, team.carol
    number_before = safety_number(alice, "carol")
    admin(team, "reset-keys", "carol", "--yes")
    ran = alice.run("ls")
    assert ran.status == 0
    assert "THE KEYS OF carol WERE RESET" in ran.err  # alice had pinned them
    assert "RESET" not in alice.run("ls").err  # once
    assert "RESET" not in team.bob.run("ls").err  # bob never had to do with them
    assert "ARE NO LONGER THOSE YOU KNOW" in alice.run("share", "archive", "carol").fails(7)
    again = Person(carol.home.parent / "carol again", carol.added, carol.app)
    link = f"fs://carol@{server.address}/?{carol.added['enroll_link'].partition('?')[2]}"
    again.run("--otp", again.app.fresh(), "enroll", "--no-passphrase", link).succeeds()
    for _ in range(2):  # it is final, not a hurdle that is taken by trying again
        told = alice.run("share", "archive", "carol").fails(7)
        assert "others took their place" in told
    assert safety_number(alice, "carol") == safety_number(again, "alice") != number_before
    alice.run("share", "archive", "carol").fails(7)  # having looked is not enough
    alice.run("verify", "carol", "--confirm").succeeds()
    alice.run("share", "archive", "carol").succeeds()
    assert again.run("ls", "alice:archive").succeeds()


def test_the_owner_of_a_share_whose_keys_were_reset_is_a_stranger(
    team: World, server: HostileServer
) -> None:
    taken_over(team.home, "alice")
    for person in (team.bob, team.carol):
        told = person.run("ls", "alice:reports")
        assert told.status == 7
        assert "THE KEYS OF alice WERE RESET" in told.err
        assert_refused(person, path="alice:reports/q1.txt")
        assert person.cat("notes.txt")  # the person's own tree is unaffected
    team.alice.run("ls").fails(4)  # it cannot even log her in any more


def test_safety_numbers_differ_if_the_server_is_between_two_people(
    team: World, tmp_path: Path
) -> None:
    # Each is shown keys of the server as the other's; both have nothing pinned yet.
    between = shutil.copytree(team.home, tmp_path / "between")
    bob, carol = team.bob, team.carol
    for person in (bob, carol):
        (person.profile / "people.db").unlink()
    with HostileServer(team.home) as server:
        team.meet(server.address)
        assert safety_number(bob, "carol") == safety_number(carol, "bob")
        carols = safety_number(carol, "bob")
    taken_over(between, "carol")
    (bob.profile / "people.db").unlink()
    with HostileServer(between) as server:
        team.meet(server.address)
        assert safety_number(bob, "carol") != carols


def test_keys_that_change_between_comparing_and_confirming_are_not_confirmed(
    team: World, server: HostileServer
) -> None:
    bob = team.bob
    compared = safety_number(bob, "carol")
    taken_over(team.home, "carol")
    told = bob.run("verify", "carol", "--confirm").fails(7)
    assert "NOT THOSE WHOSE SAFETY NUMBER YOU WERE SHOWN" in told
    assert json.loads(bob.run("--json", "verify", "carol").succeeds())["compared"] is False
    assert safety_number(bob, "carol") != compared


# --- the log


def test_an_older_key_log_is_refused(team: World, server: HostileServer) -> None:
    with team.database() as db:
        payload, signature = db.execute("SELECT payload, signature FROM key_log_head").fetchone()
    team.carol.run("--otp", team.carol.app.fresh(), "keys", "rotate").succeeds()
    team.alice.run("ls").succeeds()
    server.lie = Rewrites(Welcome, lambda said: replace(said, log=Signed(payload, signature)))
    assert "OLDER KEY LOG" in team.alice.run("ls").fails(7)
    assert_refused(team.alice)


def test_entries_of_the_key_log_cannot_be_withheld(team: World, server: HostileServer) -> None:
    team.carol.run("--otp", team.carol.app.fresh(), "keys", "rotate").succeeds()
    server.lie = Rewrites(LogEntries, lambda said: replace(said, entries=[]))
    assert "WITHHOLDS" in team.alice.run("ls").fails(7)
    server.lie = Lie()
    assert team.alice.cat("notes.txt") == NOTES


def with_changed_entries(said: LogEntries, how: dict[str, object]) -> LogEntries:
    entries = [replace(unpack(one, KeyLogEntry), **how) for one in said.entries]
    return replace(said, entries=[entry_bytes(one) for one in entries])


def test_entries_of_the_key_log_cannot_be_changed(team: World, server: HostileServer) -> None:
    team.carol.run("--otp", team.carol.app.fresh(), "keys", "rotate").succeeds()
    ways: tuple[dict[str, object], ...] = (
        {"format": 2}, {"user": "bob"}, {"event": 1}, {"event": 3}, {"index": 0}, {"time_ms": 1},
        {"bundle": bytes(32)}, {"signature": bytes(64)},
    )  # fmt: skip
    for how in ways:
        server.lie = Rewrites(LogEntries, partial(with_changed_entries, how=how))
        team.alice.run("ls").fails(7)
    server.lie = Lie()
    assert team.alice.cat("notes.txt") == NOTES


def test_a_key_log_under_another_key_is_refused(team: World, server: HostileServer) -> None:
    own = crypto.SigningKey(bytes(32))

    def signed(said: Welcome) -> Welcome:
        head = unpack(said.log.payload, KeyLogHead)
        return replace(said, log=sign_head(own, head.size, head.root, head.time_ms))

    server.lie = Rewrites(Welcome, signed)
    assert "ANOTHER KEY" in team.alice.run("ls").fails(7)


def test_another_key_log_of_the_same_size_is_refused(team: World, server: HostileServer) -> None:
    log = Home(team.home).log_key()

    def forked(said: Welcome) -> Welcome:
        head = unpack(said.log.payload, KeyLogHead)
        return replace(said, log=sign_head(log, head.size, Hash(bytes(32)), head.time_ms))

    server.lie = Rewrites(Welcome, forked)
    assert "ANOTHER KEY LOG" in team.alice.run("ls").fails(7)


def test_two_people_detect_that_they_see_two_key_logs(team: World, tmp_path: Path) -> None:
    # Equivocation: each log is signed and consistent; heads carried in what people sign tell.
    branch = shutil.copytree(team.home, tmp_path / "branch")
    taken_over(branch, "carol")

    def another(log: KeyLogWriter, database: Database) -> None:
        with database.write() as db:
            for name in ("one", "two"):
                log.enrolled(db, name, Hash(os.urandom(32)), os.urandom(32))

    with_log(team.home, another)
    bob = team.bob
    with HostileServer(branch) as server:
        team.meet(server.address)
        bob.run("put", bob.write("b", b"bob's"), "alice:reports/b").succeeds()
    with opened(branch / "fsd.db") as db:
        written = rows(db, *FOLDERS)
    with team.database() as db:
        put_back(db, written)
    with HostileServer(team.home) as server:
        team.meet(server.address)
        for person, path in ((team.alice, "reports"), (team.carol, "alice:reports")):
            assert "SHOWN ANOTHER KEY LOG" in person.run("ls", path).fails(7)
            assert_refused(person, path=f"{path}/b")


def head_before(team: World, person: Person) -> bytes:
    """Return the head that the key log had just before a person enrolled."""
    with team.database() as db:
        users = [user for (user,) in db.execute('SELECT user FROM key_log ORDER BY "index"')]
        size = users.index(person.name)
        (root,) = db.execute('SELECT root FROM key_log WHERE "index" = ?', (size - 1,)).fetchone()
    return pack_log_head(size, Hash(root))


def test_an_honest_server_takes_no_signature_under_a_false_or_old_log_head(
    team: World, server: HostileServer
) -> None:
    # A head that the log never had would look like a fork. One that shows less than its author
    # has read, or none, would hide a fork.
    unknown = [pack_log_head(size, Hash(os.urandom(32))) for size in (1, 1 << 40)]
    with team.bob.session() as session:
        reports: TreeNode = session.tree.find(parse_path("alice:reports"))
        forger, node = Forger(session), new_node(os.urandom)
        mine = {"author": forger.user, "author_key": forger.key.public}
        folder = forger.manifest(reports.keyed, "forged", None, node=node)
        first = unpack(forger.first_state(node).payload, FolderState)

        def commit(of_entry: bytes, of_state: bytes, of_new_folder: bytes) -> Commit:
            entry = sign_manifest(forger.key, replace(folder.body, log_head=of_entry))
            state = forger.state(reports.keyed, entry, **mine, log_head=of_state)
            below = sign_state(forger.key, replace(first, log_head=of_new_folder))
            return Commit([state, below.signed], [entry.signed], [], [], [])

        good = forger.log_head
        for bad in (*unknown, b"", head_before(team, team.bob)):
            for heads in ((bad, good, good), (good, bad, good), (good, good, bad)):
                with pytest.raises(RemoteProtocolError):
                    session.connection.call(commit(*heads), Done)
        session.connection.call(commit(good, good, good), Done)
    assert b"forged" in team.carol.run("ls", "alice:reports").succeeds()


def test_a_signature_that_hides_what_its_author_has_read_does_not_count(
    team: World, server: HostileServer
) -> None:
    # The server helps a writer, who signs as if nothing had been read of any log.
    reports, old = team.carol.find("alice:reports").keyed, head_before(team, team.bob)
    forger = Accomplice(team, team.bob)
    forger.writes(reports, forger.manifest(reports, "good", forger.blob()[0]))
    assert b"good" in team.carol.run("ls", "alice:reports").succeeds()
    forger.writes(reports, forger.manifest(reports, "bad", forger.blob()[0], log_head=old))
    told = team.carol.run("get", "alice:reports/bad", "-").fails(7)
    assert "does not name a key log that contains the enrolment" in told
    assert team.carol.cat("alice:reports/q1.txt") == Q1
    forger.adds(reports, "worse", log_head=old)
    assert "signature of bob" in team.carol.run("ls", "alice:reports").fails(7)
