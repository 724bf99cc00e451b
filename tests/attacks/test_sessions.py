"""Attacks on sessions and codes: they are stolen, guessed, raced for, and used after their end."""

from __future__ import annotations

import sqlite3
import time

import pytest

from fsd import factory
from fsd.home.home import Home
from fsd.net import connection
from fsd.policies import LoginPolicy
from fsd.services.accounts.terms import AccountTerms, NewValue
from fskit.clock import now_ms
from fsproto import crypto
from fsproto.errors import ConnectionLost
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.account import GetStatus, Logout, Status, Welcome
from fsproto.messages.base import Done, Failure
from fsproto.messages.files import Commit, Download, Found, Lookup, Removal, Upload
from fsproto.types import Salt
from fsproto.wire.connection import Data
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import ANY_ROOM, Forger, RawClient
from tests.support.servers import code
from tests.support.world import NOTES, Person, World, finish, until

SOON_S = 15.0
"""A session ended elsewhere ends everywhere within about a second; longer on a busy machine."""


def host_key(person: Person) -> str:
    """Return the host key's fingerprint that a person trusts."""
    told: str = person.added["enroll_link"].partition("host-key=")[2]
    return told


def disable(world: World, name: str) -> None:
    """Disable a person's account, as `fsadmin disable-user` does."""
    home = Home(world.home)
    database = factory.find_database(home, None)
    factory.people(home, database).set_disabled(name, disabled=True)
    database.close()


def expire(world: World, name: str, in_ms: int = 0) -> None:
    """Have an account expire, as `fsadmin change-user --expires` does."""
    home = Home(world.home)
    database = factory.find_database(home, None)
    factory.people(home, database).change(name, AccountTerms(expires_ms=NewValue(now_ms() + in_ms)))
    database.close()


def unlock(world: World, name: str) -> None:
    """Unlock a person's codes, as `fsadmin unlock-user` does."""
    home = Home(world.home)
    database = factory.find_database(home, None)
    factory.access(home, database).unlock(name)
    database.close()


def ends_soon(raw: RawClient) -> bool:
    """Return whether the server soon ends a connection that keeps sending requests."""
    started = time.monotonic()
    while time.monotonic() < started + SOON_S:
        try:
            answer = raw.ask(GetStatus())
        except ConnectionLost:
            return True
        assert isinstance(answer, Status)
    return False


# --- sessions


def test_a_disabled_person_is_out_within_about_a_second(world: World, liar: HostileServer) -> None:
    with RawClient.of(world.alice, liar.address) as raw:
        disable(world, "alice")
        assert ends_soon(raw)
    world.alice.run("ls").fails(4)
    assert world.bob.run("ls").status == 0


def test_a_person_whose_account_expires_is_out_within_about_a_second(
    world: World, liar: HostileServer
) -> None:
    with RawClient.of(world.alice, liar.address) as raw:
        expire(world, "alice", in_ms=300)
        assert ends_soon(raw)
    world.alice.run("ls").fails(4)
    assert world.bob.run("ls").status == 0


def test_a_session_that_was_ended_is_out_within_about_a_second(
    world: World, liar: HostileServer
) -> None:
    with (
        RawClient.of(world.alice, liar.address) as raw,
        RawClient.of(world.alice, liar.address) as other,
    ):
        assert other.ask(Logout()) == Done()
        assert ends_soon(raw)
        assert ends_soon(other)
    with RawClient(liar.address, host_key(world.alice)) as again:
        assert isinstance(again.ask(again.login(world.alice)), Failure)


def test_the_end_of_a_session_ends_a_download_under_way(
    world: World, liar: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "RECHECK_S", 0.0)
    world.alice.put("large", bytes(40 * SEGMENT_SIZE)).succeeds()
    large = world.alice.find("large").manifest.body
    assert large.content is not None
    with RawClient.of(world.alice, liar.address) as raw:
        raw.send(Download(large.node, large.content.root, 0))
        assert isinstance(raw.receive(), Data)
        disable(world, "alice")
        received = 1
        while not raw.is_ended():
            received += 1
    assert received < 40  # at most the answers that were already in flight


def test_the_end_of_a_session_ends_an_upload_under_way(
    world: World, liar: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "RECHECK_S", 0.0)
    with RawClient.of(world.alice, liar.address) as raw:
        request = raw.send(Upload(Salt(bytes(32)), resumable=False, room=ANY_ROOM))
        raw.send_segment(request, 0, bytes(SEGMENT_SIZE))
        assert isinstance(raw.ask(GetStatus()), Status)  # so the server has processed the segment
        assert world.staged()
        disable(world, "alice")
        raw.send_segment(request, 1, b"more")
        assert raw.is_ended()
    until(lambda: not world.staged(), "the upload was dropped")


@pytest.mark.parametrize(
    "stolen",
    [
        pytest.param({"ticket": bytes(32)}, id="guessed"),
        pytest.param({"ticket": b""}, id="empty"),
        pytest.param({"ticket": bytes(60_000)}, id="endless"),
        pytest.param({"ticket": None}, id="none"),
        pytest.param({"otp": "000000"}, id="with a code"),
        pytest.param({"user": "bob"}, id="of another"),
        pytest.param({"user": "nobody"}, id="of an unknown user"),
        pytest.param({"user": "\0" * 60_000}, id="of a name that cannot be"),
        pytest.param({"signature": bytes(64)}, id="not signed"),
        pytest.param({"signature": b"short"}, id="half signed"),
    ],
)
def test_a_ticket_is_of_no_use_to_others(
    world: World, liar: HostileServer, stolen: dict[str, object]
) -> None:
    with RawClient(liar.address, host_key(world.alice)) as raw:
        answer = raw.ask(raw.login(world.alice, **stolen))
        # The answer is the same for every reason.
        assert isinstance(answer, Failure)
        assert answer.code == "login-refused"
        assert raw.is_ended()
    assert world.alice.cat("notes.txt") == NOTES


def test_a_ticket_is_of_no_use_with_another_identity(world: World, liar: HostileServer) -> None:
    with RawClient(liar.address, host_key(world.alice)) as raw:
        own = raw.login(world.bob)
        ticket = raw.login(world.alice).ticket
        answer = raw.ask(raw.login(world.bob, ticket=ticket))
        assert isinstance(answer, Failure)
        assert own.ticket != ticket


def test_a_login_signed_for_one_connection_is_refused_on_another(
    world: World, liar: HostileServer
) -> None:
    # The server relays a client's login on another channel; the signature names the first channel.
    one = RawClient(liar.address, host_key(world.alice))
    with one, RawClient(liar.address, host_key(world.alice)) as other:
        assert isinstance(other.ask(one.login(world.alice)), Failure)
        assert isinstance(one.ask(one.login(world.alice)), Welcome)


def test_the_database_holds_no_ticket_that_could_be_used(world: World, liar: HostileServer) -> None:
    ticket = bytes.fromhex((world.alice.profile / "session").read_text().split()[0])
    with world.database() as db:
        everything = "\n".join(db.iterdump())
        held = [hashed for (hashed,) in db.execute("SELECT ticket_hash FROM sessions")]
    assert ticket.hex() not in everything.lower()
    assert crypto.sha256(ticket) in held
    with RawClient(liar.address, host_key(world.alice)) as raw:
        answer = raw.ask(raw.login(world.alice, ticket=held[0]))
        assert isinstance(answer, Failure)


# --- codes


def log_in(person: Person, otp: str) -> int:
    """Try to start a new session with a code; return the client's exit status."""
    return person.run("--otp", otp, "login").status


def test_a_wrong_code_is_refused(world: World, liar: HostileServer) -> None:
    alice = world.alice
    right = alice.app.fresh()
    wrong = f"{(int(right) + 1) % 1_000_000:06}"
    told = alice.run("--otp", wrong, "login").fails(4)
    assert wrong not in told
    alice.run("--otp", right, "login").succeeds()


def test_a_code_works_once(world: World, liar: HostileServer) -> None:
    alice, otp = world.alice, world.alice.app.fresh()
    other = alice.copy(alice.home.with_name("another machine of alice"))
    assert log_in(alice, otp) == 0
    assert log_in(other, otp) == 4
    assert log_in(alice, otp) == 4


def test_a_code_typed_in_another_way_is_the_same_code(world: World, liar: HostileServer) -> None:
    alice, otp = world.alice, world.alice.app.fresh()
    assert log_in(alice, f" {otp[:3]} {otp[3:]} ") == 0
    for again in (otp, f"{otp[:3]}-{otp[3:]}", f"{otp[:3]}\u2009{otp[3:]}", "\u200b".join(otp)):
        assert log_in(alice, again) == 4


@pytest.mark.parametrize("offset", [-3, -2, 2, 3])
def test_a_code_of_another_time_is_refused(world: World, liar: HostileServer, offset: int) -> None:
    started = int(time.time()) // 30
    status = log_in(world.alice, code(world.alice.added["secret"], offset))
    # Otherwise the next step may have moved the code into the window.
    if int(time.time()) // 30 == started:
        assert status == 4


@pytest.mark.parametrize(
    "malformed",
    ["", "12345", "1234567", "abcdef", "12 34", "-1", "0x1234", "\uff19" * 5, "1" * 5000],
    ids=lambda malformed: malformed[:8],
)
def test_an_invalid_code_is_refused(world: World, liar: HostileServer, malformed: str) -> None:
    with RawClient(liar.address, host_key(world.alice)) as raw:
        answer = raw.ask(raw.login(world.alice, otp=malformed, ticket=None))
        assert isinstance(answer, Failure)
        assert answer.code == "login-refused"
    assert log_in(world.alice, malformed) in (2, 4)


def test_guessing_is_slowed_down_and_then_even_the_right_code_waits(
    world: World,
) -> None:
    with HostileServer(world.home, logins=LoginPolicy(free_tries=3)) as server:
        world.meet(server.address)
        for guess in ("000001", "000002", "000003"):
            assert log_in(world.alice, guess) == 4
        otp = world.alice.app.fresh()
        assert log_in(world.alice, otp) == 4
        # The lock is for that person only.
        assert log_in(world.bob, world.bob.app.fresh()) == 0
        unlock(world, "alice")
        assert log_in(world.alice, otp) == 0  # the server never checked the code, so it still works


def test_guessing_codes_does_not_end_the_persons_session(world: World) -> None:
    with HostileServer(world.home, logins=LoginPolicy(free_tries=3)) as server:
        world.meet(server.address)
        for _ in range(4):
            with RawClient(server.address, host_key(world.alice)) as guesser:
                guesser.ask(guesser.login(world.alice, otp="000000", ticket=None, signature=b""))
        assert world.alice.cat("notes.txt") == NOTES


def test_of_twenty_logins_with_one_code_exactly_one_succeeds(world: World) -> None:
    with world.process() as server:
        machines = [world.alice.copy(world.home.parent / f"machine {n}") for n in range(20)]
        # The code of the next step, which is valid for the longest time.
        otp = code(world.alice.added["secret"], 1)
        racing = [machine.start("--otp", otp, "login") for machine in machines]
        ended = [finish(one) for one in racing]
        assert sorted(one.status for one in ended) == [0] + [4] * 19
        assert all("Traceback" not in one.err for one in ended)
        assert server.log.count(" logged in ") == 1
        assert "Traceback" not in server.log
    with world.database() as db:
        assert sessions_of(db, "alice") == 2  # the session of the enrolment, and this one


def sessions_of(db: sqlite3.Connection, name: str) -> int:
    """Count a person's sessions."""
    sql = "SELECT count(*) FROM sessions JOIN users ON users.id = user_id WHERE name = ?"
    count: int = db.execute(sql, (name,)).fetchone()[0]
    return count


# --- answers that are too large


def test_more_than_one_answer_can_hold_cannot_be_asked_for(
    world: World, liar: HostileServer
) -> None:
    # Manifests of the maximum size, all of them in one request.
    with world.bob.session() as session, RawClient.of(world.bob, liar.address) as bob:
        forger, home = Forger(session), session.tree.root.keyed
        names = [f"large {number}" for number in range(80)]
        for some in (names[:40], names[40:]):
            made = [forger.blob() for _ in some]
            manifests = [
                forger.manifest(home, name, content, metadata=bytes(15_900))
                for name, (content, _) in zip(some, made, strict=True)
            ]
            signed, blobs = [one.signed for one in manifests], [blob for _, blob in made]
            assert (
                bob.ask(Commit([forger.state(home, *manifests)], signed, [], blobs, [])) == Done()
            )
        tokens = [home.token(name) for name in names]
        assert bob.refusal(Lookup(home.node, tokens)) == "protocol"
        assert isinstance(bob.ask(Lookup(home.node, tokens[:9])), Found)
        removals = [Removal(home.node, token) for token in tokens]
        assert (
            bob.refusal(Commit([forger.state(home, version=1)], [], removals, [], [])) == "protocol"
        )
    # Only his own listing fails.
    assert world.bob.run("ls").status == 7  # with a sentence for each of the entries
    assert world.alice.cat("notes.txt") == NOTES
