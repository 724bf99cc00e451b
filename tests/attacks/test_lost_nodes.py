"""Two nodes behind a real balancer: one is killed, frozen or restarted, and clients go on."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.test_crashes import NEW
from tests.support import haproxy
from tests.support.fixed_keys import stretch
from tests.support.nodes import is_writing, start_second
from tests.support.servers import RunningServer
from tests.support.world import Person, World, finish, until

LOGGED_IN = "logged in"
LONG_S = 20.0
"""Seconds; far less than the time-outs of client and balancer for a silent peer."""


@pytest.fixture
def nodes(world: World, tmp_path: Path) -> Iterator[list[RunningServer]]:
    """Two nodes; the people of the world use them through HAProxy."""
    health = [haproxy.free_address() for _ in range(2)]
    settings = (f"door.proxies={haproxy.SOURCE}", "door.leave=5")
    options = (*(word for one in settings for word in ("--set", one)), "--health-listen")
    with contextlib.ExitStack() as opened:
        first = opened.enter_context(RunningServer.start(world.home, *options, str(health[0])))
        second = opened.enter_context(start_second(world.home, *options, str(health[1])))
        both = [first, second]
        lines = ["balance roundrobin", "option httpchk GET /healthz"]
        lines += [
            f"server n{node.address.port} {node.address} source {haproxy.SOURCE} send-proxy-v2"
            f" check port {place.port} inter 300ms fall 2 rise 1 on-marked-down shutdown-sessions"
            for node, place in zip(both, health, strict=True)
        ]
        (place,) = opened.enter_context(haproxy.running(tmp_path, [lines]))
        world.meet(place)
        yield both
        for one in both:
            assert "Traceback" not in one.log
            if one.process.poll() is None:
                one.process.send_signal(signal.SIGCONT)


@pytest.mark.long
@pytest.mark.cases(2)
@pytest.mark.parametrize("lost", [signal.SIGKILL, signal.SIGSTOP])
def test_a_client_goes_on_at_another_node_when_its_own_is_lost(
    world: World, nodes: list[RunningServer], lost: signal.Signals
) -> None:
    source = world.alice.write("large", NEW)
    putting = world.alice.start("put", "--bwlimit", "3M", source, "large")
    until(lambda: any(map(is_writing, nodes)), "a node writes the upload")
    (own,) = [node for node in nodes if is_writing(node)]
    (other,) = [node for node in nodes if node is not own]
    own.process.send_signal(lost)
    started = time.monotonic()
    finish(putting).succeeds()
    assert time.monotonic() - started < LONG_S + len(NEW) / (3 << 20)
    assert world.alice.cat("large") == NEW
    if lost is signal.SIGSTOP:
        own.process.send_signal(signal.SIGCONT)
        until(lambda: not is_writing(own), "it has ended what it did for the lost connection")
        assert world.alice.cat("large") == NEW
    checked = other.admin("check")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.long
def test_no_client_sees_an_error_while_the_nodes_are_restarted_one_after_the_other(
    world: World, nodes: list[RunningServer]
) -> None:
    over, failures, counts = threading.Event(), [], [0, 0]

    def work(number: int, person: Person) -> None:
        while not over.is_set():
            content = stretch(f"{number} {counts[number]}", 1 << 20)
            source = person.write("file", content)
            ran = finish(person.start("put", source, f"file{counts[number]}"))
            if ran.status:
                failures.append(ran)
            counts[number] += 1

    people = [
        threading.Thread(target=work, args=(number, person))
        for number, person in enumerate((world.alice, world.bob))
    ]
    for one in people:
        one.start()
    try:
        for number in range(2):
            before = min(counts)
            assert nodes[number].stop() == 0
            nodes[number] = nodes[number].restart()
            until(lambda: min(counts) > before + 1, "both have gone on")  # noqa: B023
            # A balancer that does not know this yet would have no node after the next stop.
            logins = nodes[number].log.count(LOGGED_IN)
            until(lambda: nodes[number].log.count(LOGGED_IN) > logins, "it gets clients again")  # noqa: B023
    finally:
        over.set()
        for one in people:
            one.join()
        for node in nodes:
            node.stop()
    assert not failures
