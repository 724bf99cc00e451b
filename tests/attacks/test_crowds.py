"""Many unauthenticated clients at the server's port: their limits, and others can still log in.

Known from: MaxStartups and PerSourcePenalties of OpenSSH (sshd_config(5)); Slowloris.
"""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fsd.policies import ListenerPolicy
from fskit.clock import now_ms
from fsproto.errors import ConnectionLost, RemoteProtocolError
from fsproto.limits import MAX_LOGIN
from fsproto.messages.account import Login
from fsproto.messages.base import Failure, Refused
from tests.attacks.test_at_the_door import HELLO, connected
from tests.attacks.test_sessions import disable, expire, host_key
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import RawClient
from tests.support.servers import enrol_person
from tests.support.world import NOTES, World, until


def is_closed(stranger: socket.socket) -> bool:
    """Return whether the server has ended a connection."""
    stranger.setblocking(False)
    try:
        return stranger.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_the_oldest_unauthenticated_connection_is_closed_for_others(world: World) -> None:
    policy = ListenerPolicy(refusal_s=0.05, waiting_of_one=5)
    with HostileServer(world.home, policy=policy) as server, contextlib.ExitStack() as opened:
        world.meet(server.address)
        strangers = [opened.enter_context(connected(server.address)) for _ in range(20)]
        until(lambda: server.connections <= 5, "only so many wait inside")
        until(lambda: all(map(is_closed, strangers[:15])), "the oldest ones were shown out")
        assert not any(map(is_closed, strangers[15:]))
        assert world.alice.cat("notes.txt") == NOTES


def test_a_logged_in_connection_is_not_closed_for_unauthenticated_ones(world: World) -> None:
    policy = ListenerPolicy(refusal_s=0.05, waiting=3, waiting_of_one=3)
    with HostileServer(world.home, policy=policy) as server, contextlib.ExitStack() as opened:
        world.meet(server.address)
        with world.alice.session() as session:
            for _ in range(10):
                opened.enter_context(connected(server.address)).sendall(HELLO)
            until(lambda: server.connections <= 4, "three strangers and she are there")
            session.tree.find(session.tree.root.path)


def test_keys_are_exchanged_no_faster_than_the_operator_says(world: World) -> None:
    policy = ListenerPolicy(handshakes_a_second_of_one=20, handshakes_at_once=2)
    key = host_key(world.alice)
    with HostileServer(world.home, policy=policy) as server:
        started = time.monotonic()
        for _ in range(9):
            RawClient(server.address, key).socket.close()
        assert time.monotonic() - started >= 8 / 20  # one at once, the others at the permitted rate


def test_more_keys_than_can_be_exchanged_in_time_are_not_waited_for(world: World) -> None:
    policy = ListenerPolicy(login_s=0.5, handshakes_a_second_of_one=1, handshakes_at_once=2)
    with HostileServer(world.home, policy=policy) as server:
        RawClient(server.address, host_key(world.alice)).socket.close()
        with pytest.raises(ConnectionLost):
            RawClient(server.address, host_key(world.alice))


def test_before_the_login_the_server_holds_little(world: World) -> None:
    with HostileServer(world.home) as server:
        with RawClient(server.address, host_key(world.alice)) as raw:
            ask = raw.login(world.alice, ticket=bytes(MAX_LOGIN - 2000))
            assert isinstance(raw.ask(ask), Failure)
        with RawClient(server.address, host_key(world.alice)) as raw:
            with contextlib.suppress(ConnectionError):  # the server does not wait for all of it
                raw.send(raw.login(world.alice, ticket=bytes(MAX_LOGIN)))
            with contextlib.suppress(RemoteProtocolError):
                assert raw.is_ended()


# --- the same answer in the same time

ROUNDS, AT_ONCE, REPEATS = 12, 4, 6


def refusal_time(world: World, server: HostileServer, ask: Login) -> float:
    """Try a login that is refused; return the seconds until the answer."""
    with RawClient(server.address, host_key(world.alice)) as raw:
        identity = raw.login(world.alice)  # signed for this very channel, where it matters
        signed = Login(ask.user, identity.signature, ask.otp, ask.ticket, None, "")
        started = time.monotonic()
        answer = raw.ask(signed)
        took = time.monotonic() - started
        assert isinstance(answer, Refused)
        assert answer == Refused("login-refused", answer.sentence, "", 0, answer.now_ms)
        assert answer.now_ms % 1000 == 0
        assert abs(answer.now_ms - now_ms()) < 60_000
        assert raw.is_ended()
    return took


@pytest.mark.long
def test_neither_words_nor_time_tell_why_a_login_is_refused(world: World) -> None:
    """For each reason, the times of refused logins are close together.

    The tries for the reasons are interleaved. The promise is a common delay: no answer arrives
    before it, and the fastest answers to the reasons differ by less than a quarter of it. A loaded
    machine only adds to a time: medians would show its load as well, and while the fastest answers
    differ by more, it is tried again.
    """
    delay = 0.2
    enrol_person_in(world, "carla")
    disable(world, "bob")
    expire(world, "carol")
    policy, replayed = ListenerPolicy(refusal_s=delay), world.alice.app.fresh()
    with HostileServer(world.home, policy=policy) as server:
        world.meet(server.address)
        world.alice.run("--otp", replayed, "login").succeeds()
        reasons = {
            "unknown": Login("nobody", b"", "123456", None, None, ""),
            "wrong": Login("alice", b"", "000000", None, None, ""),
            "replayed": Login("alice", b"", replayed, None, None, ""),
            "disabled": Login("bob", b"", "123456", None, None, ""),
            "expired": Login("carol", b"", "123456", None, None, ""),
            "not enrolled": Login("carla", b"", "123456", None, None, ""),
            "a recovery code": Login("alice", b"", "0" * 24, None, None, ""),
            "no code": Login("alice", b"", "", None, None, ""),
            "a ticket": Login("alice", b"", None, bytes(32), None, ""),
        }

        def tried(_round: int) -> dict[str, float]:
            return {name: refusal_time(world, server, ask) for name, ask in reasons.items()}

        rounds: list[dict[str, float]] = []
        for _ in range(REPEATS):
            # The later tries are throttled, which must not be visible either. Clients only wait.
            with ThreadPoolExecutor(AT_ONCE) as at_once:
                rounds += at_once.map(tried, range(ROUNDS))
            fastest = {reason: min(times[reason] for times in rounds) for reason in reasons}
            if max(fastest.values()) - min(fastest.values()) < delay / 4:
                break
    assert min(fastest.values()) >= delay
    assert max(fastest.values()) - min(fastest.values()) < delay / 4, fastest


def enrol_person_in(world: World, name: str) -> None:
    """Add a person who never enrols."""
    with world.process() as server:
        enrol_person(server, name)


def test_a_slow_refusal_is_sent_at_the_next_multiple_of_the_time() -> None:
    from fsd.net.timing import until_answer

    for took in (0.0, 0.3, 0.7, 1.2):
        wait = until_answer(0.5, time.monotonic() - took)
        late = (took + wait) % 0.5
        assert min(late, 0.5 - late) < 0.05
        assert wait <= 0.5
    assert until_answer(0.0, time.monotonic()) == 0.0
