"""The keys that the agent holds: for a time, until a suspension, and for one content of a file."""

from __future__ import annotations

import pytest

from fsclient.agent.held import Clocks, HeldKeys, read_clocks
from fsclient.agent.messages import MOST_FILES

HOUR = 3600.0
FILE, OTHER = b"/home/alice/identity.key", b"/home/alice/other.key"
CONTENT, KEY = b"c" * 32, b"k" * 32


class Machine:
    """Clocks that a test moves."""

    def __init__(self) -> None:
        self.now = Clocks(1000.0, 5000.0)

    def __call__(self) -> Clocks:
        return self.now

    def works(self, seconds: float) -> None:
        self.now = Clocks(self.now.awake_s + seconds, self.now.passed_s + seconds)

    def sleeps(self, seconds: float) -> None:
        self.now = Clocks(self.now.awake_s, self.now.passed_s + seconds)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def held(machine: Machine) -> HeldKeys:
    keys = HeldKeys(8 * HOUR, machine)
    keys.keep(FILE, CONTENT, memoryview(KEY))
    return keys


def found(held: HeldKeys, path: bytes = FILE, content: bytes = CONTENT) -> bytes | None:
    view = held.find(path, content)
    return None if view is None else bytes(view)


def test_a_key_is_found_by_file_and_content(held):
    assert found(held) == KEY
    assert found(held, OTHER) is None
    assert found(held) == KEY


def test_a_key_ends_after_its_time_however_often_it_is_used(held, machine):
    for _ in range(7):
        machine.works(HOUR)
        assert found(held) == KEY
    machine.works(HOUR - 1)
    assert held.left_s() == {FILE: 1.0}
    machine.works(1)
    assert found(held) is None
    assert held.left_s() == {}


def test_typing_the_passphrase_again_starts_the_time_again(held, machine):
    machine.works(7 * HOUR)
    held.keep(FILE, CONTENT, memoryview(KEY))
    machine.works(7 * HOUR)
    assert found(held) == KEY


@pytest.mark.parametrize("seconds", [1, HOUR, 30 * HOUR])
def test_a_suspension_wipes_all_keys(held, machine, seconds):
    held.keep(OTHER, CONTENT, memoryview(KEY))
    machine.works(60)
    machine.sleeps(seconds)
    machine.works(60)
    assert found(held) is None
    assert found(held, OTHER) is None


def test_after_a_suspension_new_keys_are_kept(held, machine):
    machine.sleeps(HOUR)
    held.keep(FILE, CONTENT, memoryview(KEY))
    machine.works(HOUR)
    assert found(held) == KEY


def test_a_suspension_before_the_start_counts_for_nothing(machine):
    machine.sleeps(HOUR)
    keys = HeldKeys(HOUR, machine)
    keys.keep(FILE, CONTENT, memoryview(KEY))
    assert found(keys) == KEY


def test_a_file_with_another_content_ends_the_key_of_the_former_one(held):
    assert found(held, content=b"d" * 32) is None
    assert found(held) is None


def test_wiping_overwrites_the_memory(held, machine):
    for wipe in (held.forget_all, lambda: held.forget(FILE), lambda: machine.sleeps(HOUR)):
        held.keep(FILE, CONTENT, memoryview(KEY))
        view = held.find(FILE, CONTENT)
        wipe()
        held.refresh()
        assert bytes(view) == bytes(32)


def test_beyond_the_limit_the_key_that_would_end_first_is_wiped(held, machine):
    others = [b"/%d" % number for number in range(MOST_FILES)]
    for path in others:
        machine.works(1)
        held.keep(path, CONTENT, memoryview(KEY))
    assert sorted(held.left_s()) == sorted(others)


def test_the_clocks_of_this_machine_differ_by_its_suspensions_alone():
    one, two = read_clocks(), read_clocks()
    assert two.awake_s >= one.awake_s
    assert one.passed_s - one.awake_s == pytest.approx(two.passed_s - two.awake_s, abs=0.4)
