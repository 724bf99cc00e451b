"""The file that stores the pinned keys of other users."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fsclient.trust.pins import Pin, PinStore
from fsproto.errors import FsError, IntegrityError
from fsproto.signed import Signed
from fsproto.types import Hash

ALICE = Pin("alice", Hash(b"a" * 32), b"k" * 32, compared=False)
BOB = Pin("bob", Hash(b"b" * 32), b"l" * 32, compared=True)
HEAD, NEWER = Signed(b"head", b"signature"), Signed(b"newer head", b"its signature")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PinStore]:
    with closing(PinStore(tmp_path / "people.db")) as opened:
        yield opened


def test_a_new_one_knows_nobody(store):
    assert (store.head(), store.log(), store.pins()) == (None, ([], None), [])
    assert store.pin("alice") is None


def test_entries_are_kept_in_their_order_with_the_newest_head(store):
    store.keep(0, [b"0", b"1"], HEAD)
    store.keep(2, [b"2"], NEWER)
    assert store.log() == ([b"0", b"1", b"2"], NEWER)
    assert store.head() == NEWER


def test_who_has_read_less_than_another_command_leaves_its_head(store):
    store.keep(0, [b"0", b"1"], NEWER)
    store.keep(0, [b"0"], HEAD)
    assert store.log() == ([b"0", b"1"], NEWER)


def test_a_pin_takes_the_place_of_the_one_before(store):
    store.set_pin(BOB)
    store.set_pin(ALICE)
    assert store.pins() == [ALICE, BOB]
    later = Pin("alice", Hash(b"c" * 32), b"m" * 32, compared=True)
    store.set_pin(later)
    assert store.pin("alice") == later
    assert store.pins() == [later, BOB]


def test_it_is_remembered_from_one_run_to_the_next_for_the_owner_alone(tmp_path):
    path = tmp_path / "people.db"
    with closing(PinStore(path)) as first:
        first.keep(0, [b"0"], HEAD)
        first.set_pin(ALICE)
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(PinStore(path)) as second:
        assert (second.log(), second.head(), second.pins()) == (([b"0"], HEAD), HEAD, [ALICE])


def test_two_commands_at_once_share_it(tmp_path):
    path = tmp_path / "people.db"
    with closing(PinStore(path)) as one, closing(PinStore(path)) as other:
        one.set_pin(ALICE)
        other.keep(0, [b"0"], HEAD)
        one.keep(0, [b"0", b"1"], NEWER)
        assert other.pins() == [ALICE]
        assert other.log() == ([b"0", b"1"], NEWER)


def is_told_as_damage(error: FsError) -> None:
    assert error.exit_status == 7
    assert "people.db', which remembers other people's keys, is damaged." in error.sentence
    assert error.hint


@pytest.mark.parametrize("content", [b"noise" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_file_is_not_begun_anew(tmp_path, content):
    path = tmp_path / "people.db"
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as refusal:
        PinStore(path)
    is_told_as_damage(refusal.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.log(),
        lambda store: store.keep(0, [b"entry"], HEAD),
    ],
    ids=["read", "written"],
)
def test_damage_inside_is_told_when_it_is_met(tmp_path, act):
    path = tmp_path / "people.db"
    with closing(PinStore(path)) as store:
        store.keep(0, [b"entry" * 2000] * 20, HEAD)
    with closing(sqlite3.connect(path)) as db:
        ((page, size),) = db.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master "
            "WHERE name = 'log'"
        )
    damaged = bytearray(path.read_bytes())
    damaged[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(damaged)
    with closing(PinStore(path)) as store, pytest.raises(IntegrityError) as refusal:
        act(store)
    is_told_as_damage(refusal.value)


def test_a_file_that_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(FsError, match="cannot be used"):
        PinStore(tmp_path / "no" / "people.db")
