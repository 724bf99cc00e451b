"""Recovery of a person's keys: from a server that lies, and by people who must not get them.

Known from Backendal, Haller, Paterson, "MEGA: Malleable Encryption Goes Awry" (IEEE S&P 2023),
where the server changed the keys that it kept for people, and Hofmann, Truong, "End-to-End
Encrypted Cloud Storage in the Wild" (CCS 2024), where it gave them keys of its own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fsclient.trust.bip39 import secret_of
from fsd.policies import ListenerPolicy
from fsproto import labels
from fsproto.errors import LoginRefused
from fsproto.keys.identity import Identity
from fsproto.keys.key_file import open_identity
from fsproto.keys.portable import Portable
from fsproto.keys.recovery import RecoverySecret
from fsproto.link import parse_link
from fsproto.messages import Message
from fsproto.messages.account import Backup, GetStatus, Login, Recover, Recovery, Welcome
from fsproto.messages.base import Done, Failure
from fsproto.types import NodeId
from tests.support.fixed_keys import identity, rsa_key
from tests.support.hostile_server import HostileServer, Lie, Rewrites
from tests.support.raw_client import RawClient
from tests.support.world import NOTES, Person, World


def back_up(person: Person) -> str:
    """Have a person's keys backed up; return the phrase."""
    phrase: str = json.loads(
        person.run("--otp", person.app.fresh(), "keys", "backup", "--json").succeeds()
    )["phrase"]
    return phrase


def kept_of(world: World, name: str) -> bytes:
    """Return the backup that the server keeps."""
    with world.database() as db:
        query = "SELECT sealed FROM key_backups JOIN users ON users.id = user_id WHERE name = ?"
        (found,) = db.execute(query, [name]).fetchone()
    return bytes(found)


def recover(person: Person, phrase: str, machine: Path, otp: str | None = None):
    """Recover a person's keys on a new machine."""
    link = person.added["enroll_link"]
    address = json.loads((person.profile / "profile.json").read_text())
    host = f"{address['host']}:{address['port']}"
    link = f"fs://{person.name}@{host}/?host-key={link.partition('host-key=')[2]}"
    code = otp or person.app.fresh()
    line = "keys", "recover", link, "--no-passphrase", "--otp", code
    return person.run(*line, client=machine, recovery_phrase=phrase)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The client's folder on a new machine."""
    return tmp_path / "new machine"


@pytest.fixture
def phrase(world: World, liar: HostileServer) -> str:
    """The recovery phrase that alice wrote down."""
    return back_up(world.alice)


def nothing_is_kept(machine: Path) -> bool:
    return not [path for path in machine.rglob("*") if path.is_file()]


# --- a server that lies


def stopped(world: World, phrase: str, machine: Path, *words: str) -> None:
    """Check that a recovery ends with a security error and leaves no files."""
    told = recover(world.alice, phrase, machine).fails(7)
    for word in words:
        assert word in told
    assert nothing_is_kept(machine)


def test_an_honest_server_gives_ones_keys_back(
    world: World, liar: HostileServer, phrase: str, machine: Path
) -> None:
    recover(world.alice, phrase, machine).succeeds()
    assert world.alice.run("cat", "notes.txt", client=machine).succeeds() == NOTES


def test_the_backup_of_another_person_is_refused(
    world: World, liar: HostileServer, phrase: str, machine: Path
) -> None:
    back_up(world.bob)
    others = kept_of(world, "bob")
    liar.lie = Rewrites(Recovery, lambda honest: replace(honest, sealed=others))
    stopped(world, phrase, machine, "ANOTHER BACKUP")


def test_an_older_backup_is_refused(
    world: World, liar: HostileServer, phrase: str, machine: Path
) -> None:
    older = kept_of(world, "alice")
    newer_phrase = back_up(world.alice)
    liar.lie = Rewrites(Recovery, lambda honest: replace(honest, sealed=older))
    stopped(world, newer_phrase, machine, "ANOTHER BACKUP")


def test_a_changed_backup_is_refused(
    world: World, liar: HostileServer, phrase: str, machine: Path
) -> None:
    def changed(honest: Recovery) -> Recovery:
        at = len(honest.sealed) // 2
        return Recovery(
            honest.sealed[:at] + bytes([honest.sealed[at] ^ 1]) + honest.sealed[at + 1 :]
        )

    liar.lie = Rewrites(Recovery, changed)
    stopped(world, phrase, machine, "ANOTHER BACKUP")


@pytest.mark.parametrize("sealed", [b"", b"FSBAK1\n", os.urandom(5000)], ids=len)
def test_an_invalid_backup_is_refused(
    world: World, liar: HostileServer, phrase: str, machine: Path, sealed: bytes
) -> None:
    liar.lie = Rewrites(Recovery, lambda _: Recovery(sealed))
    stopped(world, phrase, machine, "ANOTHER BACKUP")


def own(person: Person) -> Identity:
    return open_identity((person.profile / "identity.key").read_bytes(), None)


def facts(person: Person) -> tuple[Any, NodeId]:
    raw = json.loads((person.profile / "profile.json").read_text())
    return parse_link(person.added["enroll_link"]), NodeId(bytes.fromhex(raw["root"]))


def resealed(phrase: str, name: str, inside: Portable) -> Callable[[Any], Recovery]:
    """Return a lie that a holder of the phrase could tell: a backup with other content."""
    secret = RecoverySecret(name, secret_of(phrase))
    return lambda _: Recovery(secret.seal(inside, os.urandom))


def test_another_persons_identity_is_refused_even_under_the_right_phrase(
    world: World, liar: HostileServer, phrase: str, machine: Path
) -> None:
    liar.lie = Rewrites(
        Recovery, resealed(phrase, "alice", Portable(own(world.bob), *facts(world.bob)))
    )
    stopped(world, phrase, machine, "ANOTHER BACKUP")


def test_an_identity_that_the_server_itself_does_not_know_is_refused(
    world: World, liar: HostileServer, phrase: str, machine: Path
) -> None:
    made_up = identity("alice", rsa_key("alice"))
    liar.lie = Rewrites(Recovery, resealed(phrase, "alice", Portable(made_up, *facts(world.alice))))
    stopped(world, phrase, machine, "REFUSES THE IDENTITY")


def test_the_tree_must_be_the_one_that_was_backed_up(
    world: World, liar: HostileServer, phrase: str, machine: Path
) -> None:
    link, _ = facts(world.alice)
    elsewhere = Portable(own(world.alice), link, NodeId(bytes(16)))
    liar.lie = Rewrites(Recovery, resealed(phrase, "alice", elsewhere))
    stopped(world, phrase, machine)


def test_the_tree_of_another_person_is_refused_while_recovering(
    world: World, liar: HostileServer, phrase: str, machine: Path
) -> None:
    with RawClient(liar.address, host_key(world.bob)) as raw:
        welcome = raw.ask(raw.login(world.bob))
        assert isinstance(welcome, Welcome)
    liar.lie = Rewrites(Welcome, lambda honest: replace(honest, tree=welcome.tree))
    stopped(world, phrase, machine)


@pytest.mark.parametrize("instead", [Done(), Failure("not-found", "Nothing is kept.", "", 0)])
def test_an_answer_of_another_kind_keeps_nothing(
    world: World, liar: HostileServer, phrase: str, machine: Path, instead: Message
) -> None:
    liar.lie = Rewrites(Recovery, lambda _: instead)
    recover(world.alice, phrase, machine).fails(7, 8)
    assert nothing_is_kept(machine)


def test_a_server_that_refuses_the_identity_of_its_own_backup_is_reported(
    world: World, liar: HostileServer, phrase: str, machine: Path
) -> None:
    refused = LoginRefused()
    liar.lie = Rewrites(Welcome, lambda _: Failure(refused.code, refused.sentence, "", 0))
    stopped(world, phrase, machine, "REFUSES THE IDENTITY")
    liar.lie = Lie()
    recover(world.alice, phrase, machine).succeeds()


def test_the_database_holds_nothing_that_opens_a_backup(
    world: World, liar: HostileServer, phrase: str
) -> None:
    alice, secret = own(world.alice), RecoverySecret("alice", secret_of(phrase))
    with world.database() as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    stored = b"".join(path.read_bytes() for path in world.home.glob("fsd.db*"))
    assert kept_of(world, "alice")[-100:] in stored
    private = alice.signing.seed, alice.kem.seed, alice.rsa.der[-200:]
    for hidden in (secret.secret, secret.signing.seed, phrase.encode(), *private):
        assert hidden not in stored


# --- people who must not get the keys


def host_key(person: Person) -> str:
    return str(person.added["enroll_link"].partition("host-key=")[2])


def asking(raw: RawClient, phrase: str, otp: str, user: str = "alice") -> Recover:
    """Return the message that requests a backup over this connection."""
    secret = RecoverySecret(user, secret_of(phrase))
    told = raw.connection.channel_id, user.encode()
    return Recover(user, secret.signing.sign(labels.SIGN_RECOVER, *told), otp)


def bare_login(raw: RawClient, person: Person) -> Login:
    return raw.login(person, ticket=None)


def test_a_code_alone_gets_no_backup(world: World, liar: HostileServer, phrase: str) -> None:
    otp = world.alice.app.fresh()
    with RawClient(liar.address, host_key(world.alice)) as raw:
        own_phrase = "zoo " * 11 + "wrong"
        assert raw.refusal(asking(raw, own_phrase, otp)) == "login-refused"
        assert raw.is_ended()
    world.alice.run("--otp", otp, "login").succeeds()  # the person's code was not consumed


def test_a_recorded_request_is_refused_when_it_is_replayed(
    world: World, liar: HostileServer, phrase: str
) -> None:
    otp = world.alice.app.fresh()
    with RawClient(liar.address, host_key(world.alice)) as raw:
        recorded = asking(raw, phrase, otp)
    with RawClient(liar.address, host_key(world.alice)) as raw:
        assert raw.refusal(recorded) == "login-refused"
    with RawClient(liar.address, host_key(world.alice)) as raw:
        assert isinstance(raw.ask(asking(raw, phrase, otp)), Recovery)
    with RawClient(liar.address, host_key(world.alice)) as raw:
        assert raw.refusal(asking(raw, phrase, otp)) == "login-refused"


def test_whatever_is_wrong_with_a_recovery_the_answer_is_the_same_after_the_same_time(
    world: World, liar: HostileServer, phrase: str
) -> None:
    patient = 0.4
    bobs = world.bob.app.fresh()  # bob has no backup
    with HostileServer(world.home, policy=ListenerPolicy(refusal_s=patient)) as server:
        answers = set()
        for user, words, otp in (
            ("alice", phrase, "000000"),
            ("alice", "zoo " * 11 + "wrong", "000000"),
            ("bob", phrase, bobs),
            ("nobody", phrase, "000000"),
        ):
            with RawClient(server.address, host_key(world.alice)) as raw:
                started = time.monotonic()
                answer = raw.ask(asking(raw, words, otp, user))
                assert time.monotonic() - started >= patient
                assert isinstance(answer, Failure)
                answers.add((answer.code, answer.sentence))
    assert answers == {(LoginRefused.code, LoginRefused().sentence)}


def test_the_phrase_without_the_identity_does_not_log_in(
    world: World, liar: HostileServer, phrase: str
) -> None:
    with RawClient(liar.address, host_key(world.alice)) as raw:
        assert isinstance(raw.ask(asking(raw, phrase, world.alice.app.fresh())), Recovery)
        assert raw.refusal(replace(bare_login(raw, world.bob), user="alice")) == "login-refused"
        assert raw.is_ended()


def test_one_persons_backup_logs_no_other_in(
    world: World, liar: HostileServer, phrase: str
) -> None:
    with RawClient(liar.address, host_key(world.alice)) as raw:
        assert isinstance(raw.ask(asking(raw, phrase, world.alice.app.fresh())), Recovery)
        assert raw.refusal(bare_login(raw, world.bob)) == "login-refused"


def test_a_login_without_code_and_ticket_needs_a_recovery_on_the_same_connection(
    world: World, liar: HostileServer, phrase: str
) -> None:
    with RawClient(liar.address, host_key(world.alice)) as raw:
        assert isinstance(raw.ask(asking(raw, phrase, world.alice.app.fresh())), Recovery)
        with RawClient(liar.address, host_key(world.alice)) as other:
            assert other.refusal(bare_login(other, world.alice)) == "login-refused"
        welcome = raw.ask(bare_login(raw, world.alice))
        assert isinstance(welcome, Welcome)
        assert welcome.ticket


@pytest.mark.parametrize("early", ["status", "backup", "recover"])
def test_after_a_recovery_only_a_login_is_possible(
    world: World, liar: HostileServer, phrase: str, early: str
) -> None:
    with RawClient(liar.address, host_key(world.alice)) as raw:
        again = asking(raw, phrase, world.alice.app.fresh())
        assert isinstance(raw.ask(again), Recovery)
        messages = {"status": GetStatus(), "backup": Backup("", bytes(32), b"x"), "recover": again}
        raw.send(messages[early])
        assert raw.is_ended()
    assert kept_of(world, "alice") != b"x"


def test_a_backup_before_the_login_is_refused(
    world: World, liar: HostileServer, phrase: str
) -> None:
    before = kept_of(world, "alice")
    with RawClient(liar.address, host_key(world.alice)) as raw:
        raw.send(Backup("", bytes(32), b"x"))
        assert raw.is_ended()
    assert kept_of(world, "alice") == before


def test_a_recovery_after_the_login_is_refused(
    world: World, liar: HostileServer, phrase: str
) -> None:
    otp = world.alice.app.fresh()
    with RawClient.of(world.bob, liar.address) as raw:
        assert raw.refusal(asking(raw, phrase, otp)) == "protocol"
    world.alice.run("--otp", otp, "login").succeeds()
