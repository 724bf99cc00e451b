"""The share of one of several workers, and the metrics of the server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsd import worker_share
from fsd.home.home import Home
from fsd.metrics.together import added
from fsd.net.logged_in import LoggedIn
from fsd.policies import PersonPolicy
from fsd.settings.model import Settings
from fsd.worker_share import Share, SharedCounts, worker_count
from fsproto.errors import OutOfSpaceError


class Idle:
    """A connection that may be closed."""

    closed = False

    def idle_for(self) -> float:
        return 1.0

    def hang_up(self) -> None:
        self.closed = True


def test_limits_before_the_login_are_divided_and_never_zero(tmp_path: Path) -> None:
    settings = Settings(Home(tmp_path))
    shares = [Share(number, 3, SharedCounts(3)).of(settings) for number in range(3)]
    assert sum(one.door.waiting for one in shares) >= settings.door.waiting
    assert {one.door.waiting for one in shares} == {171}
    assert {one.door.waiting_of_one for one in shares} == {22}
    assert Share(0, 64, SharedCounts(64)).of(settings).door.waiting_of_one == 1
    assert Share().of(settings) is settings
    assert shares[0].person == settings.person


def test_connections_of_a_user_at_all_workers_count() -> None:
    counts = SharedCounts(2)
    here, there = (LoggedIn(PersonPolicy(2), Share(number, 2, counts)) for number in range(2))
    first, second, third = Idle(), Idle(), Idle()
    here.enter(7, first, by_code=False)
    there.enter(7, second, by_code=False)
    for one in (here, there):
        with pytest.raises(OutOfSpaceError, match="2 connections"):
            one.enter(7, third, by_code=False)
        one.check(8)
    here.leave(7, first)
    here.leave(7, first)
    there.check(7)
    there.enter(7, third, by_code=False)
    with pytest.raises(OutOfSpaceError):
        here.check(7)
    counts.clear(1)  # that worker has ended
    here.check(7)


def test_a_login_with_a_code_gets_in_although_all_connections_are_elsewhere() -> None:
    counts = SharedCounts(2)
    here, there = (LoggedIn(PersonPolicy(2), Share(number, 2, counts)) for number in range(2))
    for _ in range(2):
        there.enter(7, Idle(), by_code=False)
    first, second = Idle(), Idle()
    here.enter(7, first, by_code=True)
    here.enter(7, second, by_code=True)
    assert first.closed, "only one of them is above the limit"
    assert not second.closed


def test_one_worker_is_the_default_where_more_are_of_no_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert worker_count(0, is_sqlite=True) == 1
    assert worker_count(0, is_sqlite=False) == 4
    assert worker_count(3, is_sqlite=True) == 3
    monkeypatch.setattr(worker_share, "_ENOUGH_MEMORY", 1 << 60)
    assert worker_count(0, is_sqlite=False) == 1


PAGE = """\
# HELP fsd_logins_total Logins.
# TYPE fsd_logins_total counter
fsd_logins_total{{result="ok"}} {logins}
# HELP fsd_connections Connections.
# TYPE fsd_connections gauge
fsd_connections {connections}
# HELP fsd_people Accounts.
# TYPE fsd_people gauge
fsd_people {people}
"""


def test_what_is_a_workers_own_is_added_and_the_database_counts_once() -> None:
    pages = [
        PAGE.format(logins=3.0, connections=10.0, people=7.0).encode(),
        PAGE.format(logins=4.0, connections=5.0, people=8.0).encode(),
    ]
    page = added(pages).decode()
    assert 'fsd_logins_total{result="ok"} 7.0\n' in page
    assert "fsd_connections 15.0\n" in page
    assert "fsd_people 8.0\n" in page
    assert page.count("# TYPE") == 3
