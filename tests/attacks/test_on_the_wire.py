"""The network is hostile: an attacker between client and server reads and changes every byte.

Known from: RFC 4251 section 9.3 (man in the middle, replay); Paterson and Watson,
"Plaintext-Dependent Decryption" (EUROCRYPT 2010), and Bäumer, Brinkmann, Schwenk, "Terrapin Attack"
(USENIX Security 2024) for records that are cut, dropped and swapped; RFC 7457 for downgrades.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable

import pytest

from fsclient.connection.retry import Timeouts
from fsproto import crypto, host_key_moves
from fsproto.link import Address
from fsproto.wire.handshake import ClientHandshake
from tests.support import proxy
from tests.support.fixed_keys import rsa_key, stretch
from tests.support.hostile_server import HostileServer
from tests.support.proxy import At, Holds, InTheMiddle, Proxy, Swap, Tamper, To
from tests.support.world import DRAFT, PLAN, Person, World, finish, until

Damage = Callable[[bytes], Iterable[bytes]]
ON_THE_HANDSHAKE: list[Damage] = [
    proxy.flip,
    proxy.flip_first,
    proxy.lengthen,
    proxy.shorten,
    proxy.announce_much,
    proxy.announce_nothing,
    proxy.repeat,
    proxy.inject,
    proxy.cut_before,
    proxy.cut_inside,
]
ON_RECORDS: list[Damage] = [proxy.flip, proxy.inject, proxy.cut_inside]
NEW = stretch("new", 1_100_000)
"""Two segments."""
LARGE = 10_000
"""A record with more bytes than this is a segment."""


def between(person: Person, server: HostileServer, tamper: Callable[[], Tamper] = Tamper) -> Proxy:
    """Put an attacker between a person and the server."""
    made = Proxy(server.address, tamper)
    person.meet(made.address)
    return made


def messages(person: Person, server: HostileServer, to: To, *command: str) -> list[int]:
    """Return the size of each message that a command sends or receives."""
    with between(person, server) as middle:
        person.run(*command).succeeds()
    person.meet(server.address)
    return [len(frame.data) for frame in middle.frames(to)]


def all_is_as_before(world: World, server: HostileServer, name: str, *versions: bytes) -> None:
    """Check that nothing is half done on either side, and that a normal run works."""
    assert not world.alice.half_written()
    world.alice.meet(server.address)
    assert world.alice.cat(name) in versions
    until(lambda: not world.staged(), "the server has deleted the staged data")


# --- messages that are damaged


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("to", "number"),
    [
        pytest.param(To.SERVER, proxy.HELLO, id="client_hello"),
        pytest.param(To.CLIENT, proxy.HELLO, id="server_hello"),
        pytest.param(To.SERVER, proxy.KEY, id="client_key"),
        pytest.param(To.CLIENT, proxy.CONFIRM, id="server_confirm"),
        pytest.param(To.SERVER, proxy.LOGIN, id="login"),
        pytest.param(To.CLIENT, proxy.WELCOME, id="welcome"),
    ],
)
def test_whatever_is_done_to_a_message_up_to_the_login_is_refused(
    world: World, liar: HostileServer, to: To, number: int
) -> None:
    alice = world.alice
    target = alice.write("draft.bin", b"what is here")
    for damage in ON_THE_HANDSHAKE:
        tamper = At(to, number, damage)
        with between(alice, liar, lambda tamper=tamper: tamper):  # type: ignore[misc]
            alice.run("get", "draft.bin", target).fails(3, 7)
        assert tamper.seen, damage
        assert target.read_bytes() == b"what is here", damage
    all_is_as_before(world, liar, "draft.bin", DRAFT)


@pytest.mark.cases(1)
@pytest.mark.parametrize("to", To)
def test_whatever_is_done_to_a_record_of_a_put_nothing_is_half_put(
    world: World, liar: HostileServer, to: To
) -> None:
    alice, source = world.alice, world.alice.write("source", NEW)
    count = len(messages(alice, liar, to, "put", str(source), "like draft.bin"))
    # The last message, the answer to the commit, arrives after the commit was made.
    last = count - 1 if to is To.CLIENT else count
    for number in range(proxy.LOGIN + 1, last):
        for damage in ON_RECORDS:
            with between(alice, liar, lambda n=number, d=damage: At(to, n, d)):  # type: ignore[misc]
                alice.run("put", source, "draft.bin").fails(3, 7)
    all_is_as_before(world, liar, "draft.bin", DRAFT)
    with between(alice, liar, lambda: At(to, last, proxy.flip)):
        assert alice.run("put", source, "draft.bin").status == (7 if last < count else 0)
    all_is_as_before(world, liar, "draft.bin", NEW)


@pytest.mark.cases(1)
@pytest.mark.parametrize("to", To)
def test_whatever_is_done_to_a_record_of_a_get_the_old_content_stays(
    world: World, liar: HostileServer, to: To
) -> None:
    alice = world.alice
    target = alice.write("here", b"what is here")
    count = len(messages(alice, liar, to, "get", "plan.bin", str(target)))
    target.write_bytes(b"what is here")
    for number in range(proxy.LOGIN + 1, count):
        for damage in ON_RECORDS:
            with between(alice, liar, lambda n=number, d=damage: At(to, n, d)):  # type: ignore[misc]
                alice.run("get", "plan.bin", target).fails(3, 7)
            assert target.read_bytes() == b"what is here", (number, damage)
    all_is_as_before(world, liar, "plan.bin", PLAN)


# --- messages that are dropped, repeated or swapped


def misplacing(to: To, number: int) -> dict[str, Callable[[], Tamper]]:
    """Return the manipulations of a message that change no byte of it."""
    return {
        "dropped": lambda: At(to, number, proxy.drop),
        "repeated": lambda: At(to, number, proxy.repeat),
        "swapped": lambda: Swap(to, number),
    }


@pytest.mark.parametrize("how", ["dropped", "repeated", "swapped"])
def test_segments_of_a_put_cannot_be_lost_doubled_or_swapped(
    world: World, liar: HostileServer, how: str
) -> None:
    alice, source = world.alice, world.alice.write("source", NEW)
    sizes = messages(alice, liar, To.SERVER, "put", str(source), "measured")
    first = next(number for number, size in enumerate(sizes) if size > LARGE)
    with between(alice, liar, misplacing(To.SERVER, first)[how]):
        alice.run("put", source, "draft.bin").fails(3, 7)
    all_is_as_before(world, liar, "draft.bin", DRAFT)


@pytest.mark.parametrize("how", ["dropped", "repeated", "swapped"])
def test_segments_of_a_get_cannot_be_lost_doubled_or_swapped(
    world: World, liar: HostileServer, how: str
) -> None:
    alice = world.alice
    target = alice.write("here", b"what is here")
    sizes = messages(alice, liar, To.CLIENT, "cat", "plan.bin")
    first = next(number for number, size in enumerate(sizes) if size > LARGE)
    with between(alice, liar, misplacing(To.CLIENT, first)[how]):
        alice.run("get", "plan.bin", target).fails(7)
    assert target.read_bytes() == b"what is here"
    all_is_as_before(world, liar, "plan.bin", PLAN)


@pytest.mark.parametrize(("to", "first"), [(To.SERVER, proxy.KEY), (To.CLIENT, proxy.CONFIRM)])
def test_the_end_of_the_handshake_cannot_be_swapped_with_the_first_record(
    world: World, liar: HostileServer, to: To, first: int
) -> None:
    with between(world.alice, liar, lambda: Swap(to, first)):
        world.alice.run("ls").fails(3, 7)
    all_is_as_before(world, liar, "draft.bin", DRAFT)


@pytest.mark.parametrize(
    ("to", "number", "told"),
    [
        pytest.param(To.SERVER, proxy.HELLO, "does not answer", id="client_hello"),
        pytest.param(To.CLIENT, proxy.HELLO, "does not answer", id="server_hello"),
        pytest.param(To.SERVER, proxy.KEY, "connection ended", id="client_key"),
        pytest.param(To.CLIENT, proxy.CONFIRM, "could not prove", id="server_confirm"),
        pytest.param(To.SERVER, proxy.LOGIN, "does not answer", id="login"),
        pytest.param(To.CLIENT, proxy.WELCOME, "does not answer", id="welcome"),
        pytest.param(To.CLIENT, proxy.WELCOME + 1, "reordered", id="a part of a listing"),
    ],
)
def test_a_message_that_never_arrives_is_missed(
    world: World, liar: HostileServer, to: To, number: int, told: str
) -> None:
    if told == "does not answer":  # the client can only wait; use short times instead of a minute
        world.alice.patience = Timeouts(connect_s=0.3, silence_s=0.3, give_up_s=0)
    with between(world.alice, liar, lambda: At(to, number, proxy.drop)):
        assert told in world.alice.run("ls").fails(3, 7)


def test_a_request_that_is_repeated_is_not_done_twice(
    world: World, liar: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    commit = len(messages(world.alice, liar, To.SERVER, "mkdir", "measured")) - 1
    with between(world.alice, liar, lambda: At(To.SERVER, commit, proxy.repeat)):
        world.alice.run("mkdir", "folder").succeeds()
        until(lambda: "repeated or reordered" in caplog.text, "the server has noticed")


def test_an_answer_that_is_delayed_past_a_change_is_not_called_an_attack(
    world: World, liar: HostileServer
) -> None:
    # The opposite of rollback: a slow network must not cause a false alarm.
    alice, hold = world.alice, Holds(To.CLIENT, proxy.WELCOME)
    with between(alice, liar, lambda: hold):
        slow = alice.start("cat", "notes.txt")
        assert hold.held.wait(30)
        alice.meet(liar.address)
        alice.put("notes.txt", b"newer").succeeds()
        hold.let_go.set()
        assert finish(slow).succeeds() == b"newer"


# --- a false host key


def only_asked_for_the_key(middle: Proxy, world: World) -> None:
    """Check that the client sent only a hello and the question who vouches for the key."""
    expected = crypto.sha256(crypto.RsaKey((world.home / "host.key").read_bytes()).public)
    hello, question = middle.frames(To.SERVER)
    assert len(hello.body) == len(ClientHandshake("", os.urandom).hello)
    assert question.body == host_key_moves.question(expected)


def test_another_host_key_is_refused_loudly_before_anything_is_sent(
    world: World, liar: HostileServer
) -> None:
    alice, code = world.alice, world.alice.app.fresh()
    true, false = rsa_key("other-host"), crypto.fingerprint(rsa_key("other-host").public)
    with between(alice, liar, lambda: InTheMiddle(true)) as middle:
        told = finish(alice.start("--otp", code, "login")).fails(7)
    assert "HOST KEY HAS CHANGED" in told
    assert alice.added["enroll_link"].split("host-key=")[1] in told
    assert false in told
    only_asked_for_the_key(middle, world)
    # The code was never sent, so it still works.
    alice.meet(liar.address)
    alice.run("--otp", code, "login").succeeds()


def test_another_host_key_is_refused_while_enrolling(world: World, liar: HostileServer) -> None:
    alice, fresh = world.alice, world.alice.home / "fresh"
    with between(alice, liar, lambda: InTheMiddle(rsa_key("other-host"))) as middle:
        link = alice.added["enroll_link"].partition("?")
        there = f"fs://alice@{middle.address}/?{link[2]}"
        told = alice.run("--otp", "123456", "enroll", "--no-passphrase", there, client=fresh)
    assert "HOST KEY IS NOT THE ONE IN THE LINK" in told.fails(7)
    only_asked_for_the_key(middle, world)
    assert not (fresh / "profiles" / "default").exists()


def test_the_public_half_of_the_host_key_alone_is_useless(
    world: World, liar: HostileServer
) -> None:
    alice, code = world.alice, world.alice.app.fresh()
    public = crypto.RsaKey((world.home / "host.key").read_bytes()).public
    mine = crypto.RsaKey(rsa_key("other-host").der)
    with between(alice, liar, lambda: InTheMiddle(mine, public)):
        told = alice.run("--otp", code, "login").fails(7)
    assert "could not prove" in told


def test_another_server_than_fsd_is_reported(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        world.alice.meet(Address(*listener.getsockname()[:2]))
        client = world.alice.start("ls")
        stranger = listener.accept()[0]
        with stranger:
            stranger.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
            assert "does not speak this protocol" in finish(client).fails(3)


# --- downgrades


@pytest.mark.cases(4)
@pytest.mark.parametrize("version", [0, 1, 3, 0xFFFF])
@pytest.mark.parametrize("to", To)
def test_another_version_of_the_protocol_cannot_be_talked_into(
    world: World, liar: HostileServer, to: To, version: int
) -> None:
    def downgraded(data: bytes) -> list[bytes]:
        return [data[:8] + version.to_bytes(2, "big") + data[10:]]

    with between(world.alice, liar, lambda: At(to, proxy.HELLO, downgraded)) as middle:
        told = world.alice.run("ls").fails(3, 7)
    assert "version" in told or "hello was cut short" in told
    assert len(middle.frames(To.SERVER)) == 1


# --- recording and replaying


def test_a_recorded_login_is_refused_when_it_is_replayed(
    world: World, liar: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    alice = world.alice
    with between(alice, liar) as middle:
        alice.run("--otp", alice.app.fresh(), "login").succeeds()
    caplog.clear()
    with socket.create_connection((liar.address.host, liar.address.port)) as again:
        for frame in middle.frames(To.SERVER):
            again.sendall(frame.data)
        again.settimeout(60)
        answers = b"".join(iter(lambda: _received(again), b""))
    # The server sends a hello, which anybody can get, and nothing after it.
    assert len(answers) == len(middle.frames(To.CLIENT)[proxy.HELLO].data)
    assert "logged in" not in caplog.text
    assert "could not prove that it has the same keys" in caplog.text


def test_recorded_traffic_shows_no_code_ticket_name_or_content(
    world: World, liar: HostileServer
) -> None:
    alice, code = world.alice, world.alice.app.fresh()
    secret = b"meet me at the old mill at midnight"
    source = alice.write("a name to keep", secret * 30_000)
    with between(alice, liar) as middle:
        alice.run("--otp", code, "login").succeeds()
        ticket = (alice.profile / "session").read_text().split()[0]
        alice.run("put", source, "another name to keep").succeeds()
        alice.cat("notes.txt")
        alice.run("ls", "/", "reports").succeeds()
    seen = b"".join(frame.data for frame in middle.recorded)
    assert len(seen) > len(secret) * 30_000
    names = [b"alice", b"name to keep", b"notes.txt", b"reports", b"q1.txt"]
    for hidden in [code.encode(), ticket.encode(), bytes.fromhex(ticket), secret, *names]:
        assert hidden not in seen, hidden


def _received(one: socket.socket) -> bytes:
    try:
        return one.recv(4096)
    except ConnectionResetError:
        return b""
