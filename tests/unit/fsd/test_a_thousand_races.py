"""A thousand races for a code: in threads and in processes, and a thousand more at three nodes.

In each race, clients log in with one code at the same moment, and exactly one succeeds. In threads
and processes, a fake clock moves between the races, so that each race has its own code.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import text

from fsclient.connection.connection import ServerConnection
from fsd import factory
from fsd.auth.otp import OtpSetting
from fsd.home.home import Home
from fsd.policies import LoginPolicy
from fsd.store.engine import Database
from fskit.clock import now_ms
from fsproto import labels
from fsproto.errors import LoginRefused
from fsproto.link import EnrollLink
from fsproto.messages.account import Welcome
from tests.conftest import TIER
from tests.support import fixed_keys
from tests.support.races import fresh_processes
from tests.support.servers import RunningServer
from tests.support.services import CHANNEL, Clock, Services, ServiceUser, accounts, identity

pytestmark = pytest.mark.both_databases

THREADS, PROCESSES, AT_NODES = (600, 400, 1000) if TIER == "soak" else (30, 15, 20)
"""Races per kind."""
NODES = 3
PATIENT = LoginPolicy(free_tries=10**6, source_free_tries=10**6, most_failures=10**6)
"""A policy without throttling, so that only the code decides."""


def race(url: str, otp: OtpSetting, races: range, start: Callable[[], object]) -> list[int]:
    """Log in with the code of each race in turn; return the races that were won."""
    clock = Clock()
    alice = ServiceUser(identity("alice"), otp)
    won = []
    with closing(Database(url)) as database:
        service = accounts(database, clock, PATIENT)
        for number in races:
            clock.ms = fixed_keys.TIME_MS + number * 30_000
            ask = alice.login(alice.code(clock()))
            start()
            try:
                service.login(ask, CHANNEL, "192.0.2.1")
            except LoginRefused:
                continue
            won.append(number)
    return won


def race_in_process(url: str, otp: OtpSetting, races: range, start, won) -> None:
    won.put(race(url, otp, races, start.wait))


def enrolled(office: Services) -> OtpSetting:
    alice = office.add("alice")
    alice.enrol(office, fixed_keys.TIME_MS)
    return alice.otp


def sessions(office: Services) -> int:
    with office.database.read() as db:
        return int(db.scalar(text("SELECT count(*) FROM sessions")) or 0)


def test_each_race_of_threads_has_one_winner(office, url_at_head):
    otp, together = enrolled(office), threading.Barrier(2, timeout=60)
    races = range(1, 1 + THREADS // 2)  # half of them on each kind of database
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(race, url_at_head, otp, races, together.wait) for _ in range(2)]
        won = Counter(number for each in running for number in each.result())
    assert won == dict.fromkeys(races, 1)
    assert sessions(office) == len(races) + 1


def test_each_race_of_processes_has_one_winner(office, url_at_head):
    otp, processes = enrolled(office), fresh_processes()
    together, queue = processes.Barrier(2, timeout=60), processes.SimpleQueue()
    races = range(1, 1 + PROCESSES // 2)
    running = [
        processes.Process(target=race_in_process, args=(url_at_head, otp, races, together, queue))
        for _ in range(2)
    ]
    for process in running:
        process.start()
    won = Counter(number for _ in running for number in queue.get())
    for process in running:
        process.join()
    assert won == dict.fromkeys(races, 1)
    assert sessions(office) == len(races) + 1


TRACKS = 5
"""Races that run at once: a refusal takes half a second, and the other tracks need not wait."""


class Track:
    """Consecutive races, one per user; the code is computed when both racers are ready."""

    def __init__(self, racers: list[ServiceUser]) -> None:
        self.racers = racers
        self.code = ""
        self._drawn = iter(racers)
        self.together = threading.Barrier(NODES, self._draw, timeout=60)

    def _draw(self) -> None:
        self.code = next(self._drawn).code(now_ms())


def run(track: Track, node: RunningServer) -> list[str]:
    """Run all races of a track at one node; return the users whose login succeeded there."""
    won = []
    for racer in track.racers:
        link = EnrollLink(racer.name, node.address, node.host_key)
        with ServerConnection(link) as connection:
            signature = racer.signature(labels.SIGN_LOGIN, connection.channel_id)
            track.together.wait()
            try:
                connection.call(racer.login(track.code, signature=signature), Welcome)
            except LoginRefused:
                continue
            won.append(racer.name)
    return won


@pytest.fixture
def nodes(postgres, tmp_path: Path):
    """Servers with separate data directories, the same keys, and one database."""
    url = postgres.new_database()
    with ExitStack() as stack:
        first = stack.enter_context(RunningServer.start(tmp_path / "0", database=url))
        running = [first]
        for number in range(1, NODES):
            other = Home(tmp_path / str(number))
            other.path.mkdir(mode=0o700)
            for key in ("host.key", "master.key", "log.key"):
                (other.path / key).write_bytes((first.home / key).read_bytes())
            server = RunningServer.start(other.path, database=url)
            running.append(stack.enter_context(server))
        yield url, running


def test_each_race_at_three_nodes_on_one_database_has_one_winner(nodes):
    """Use real sockets and the real clock; each race has its own user."""
    url, running = nodes
    people = [f"user{number}" for number in range(AT_NODES)]
    home = Home(running[0].home)
    with closing(Database(url)) as database:
        everybody = factory.people(home, database)
        service = factory.accounts(home, database)
        racers = []
        for name in people:
            added = everybody.add(name, digits=6, period=30, algorithm="SHA1")
            racers.append(ServiceUser(identity(name), added.otp))
            ask = racers[-1].enrolment(racers[-1].code(now_ms(), -1))
            service.enroll(ask, CHANNEL, "192.0.2.1")
    with ThreadPoolExecutor(NODES * TRACKS) as pool:
        races = [
            pool.submit(run, track, node)
            for track in [Track(racers[number::TRACKS]) for number in range(TRACKS)]
            for node in running
        ]
        won = Counter(name for each in races for name in each.result())
    assert won == dict.fromkeys(people, 1)
    with closing(Database(url)) as database, database.read() as db:
        used = db.scalar(text("SELECT count(*) FROM used_otps"))
        started = db.scalar(text("SELECT count(*) FROM sessions"))
    assert used == started == 2 * len(people)
    assert all("Traceback" not in node.log for node in running)
