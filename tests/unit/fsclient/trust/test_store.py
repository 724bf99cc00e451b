"""The file that stores the pinned keys of other users."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fsclient.trust.pins import Pin, PinStore
from fsproto import crypto
from fsproto.errors import FsError, IntegrityError, NotFoundError, RollbackError
from fsproto.keylog.head import sign_head
from fsproto.signed import Signed
from fsproto.types import Hash
from tests.support.fixed_keys import TIME_MS, stretch
from tests.support.reference import tree_hash
from tests.unit.fsproto.keylog.test_log import Scribe

ALICE = Pin("alice", Hash(b"a" * 32), b"k" * 32, compared=False)
BOB = Pin("bob", Hash(b"b" * 32), b"l" * 32, compared=True)
LOG_KEY = crypto.SigningKey(stretch("log", 32))


def log_of(*users: str) -> list[bytes]:
    """Return a key log in which some people enrol."""
    scribe = Scribe()
    for user in users:
        scribe.enrol(user, "first")
    return scribe.data


ENTRIES = log_of("alice", "bob", "carol", "dave")


def head(size: int, entries: list[bytes] = ENTRIES) -> Signed:
    """Return the head over the first entries."""
    return sign_head(LOG_KEY, size, Hash(tree_hash(entries[:size])), TIME_MS)


def keep(store: PinStore, size: int, entries: list[bytes] = ENTRIES) -> None:
    """Read on up to the first `size` entries."""
    with store.growing() as log:
        for entry in entries[len(log) : size]:
            log.append(entry)
        store.keep(log, head(size, entries))


def kept(store: PinStore) -> tuple[list[bytes], Signed | None]:
    """Return all entries that are kept, and their head."""
    known = store.everything()
    assert len(store.log()) == len(known.entries)
    return known.entries, known.head


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PinStore]:
    with closing(PinStore(tmp_path / "people.db")) as opened:
        yield opened


def test_a_new_one_knows_nobody(store):
    assert (store.head(), kept(store), store.pins()) == (None, ([], None), [])
    assert store.pin("alice") is None


def test_entries_are_kept_in_their_order_with_the_newest_head(store):
    keep(store, 2)
    keep(store, 3)
    assert kept(store) == (ENTRIES[:3], head(3))
    assert store.head() == head(3)


def test_what_is_not_proved_by_a_head_is_not_kept(store):
    keep(store, 2)
    with store.growing() as log:
        log.append(ENTRIES[2])
        assert log.now("carol") is not None
    assert kept(store) == (ENTRIES[:2], head(2))
    assert store.log().now("carol") is None
    keep(store, 4)
    assert kept(store) == (ENTRIES, head(4))


def test_who_has_read_less_than_another_command_leaves_its_head(tmp_path):
    path = tmp_path / "people.db"
    with closing(PinStore(path)) as one, closing(PinStore(path)) as other, one.growing() as log:
        log.append(ENTRIES[0])
        keep(other, 3)
        one.keep(log, head(1))
        assert kept(one) == kept(other) == (ENTRIES[:3], head(3))


def test_who_has_read_more_than_another_command_keeps_the_rest(tmp_path):
    path = tmp_path / "people.db"
    with closing(PinStore(path)) as one, closing(PinStore(path)) as other, one.growing() as log:
        for entry in ENTRIES:
            log.append(entry)
        keep(other, 2)
        one.keep(log, head(4))
        assert kept(one) == kept(other) == (ENTRIES, head(4))


@pytest.mark.parametrize("sizes", [(3, 4), (3, 3), (4, 3)])
def test_two_commands_that_were_shown_different_logs_notice_it(tmp_path, sizes):
    path = tmp_path / "people.db"
    others = log_of("alice", "bob", "mallory", "dave")
    with closing(PinStore(path)) as one, closing(PinStore(path)) as other, one.growing() as log:
        for entry in ENTRIES[: sizes[0]]:
            log.append(entry)
        keep(other, sizes[1], others)
        with pytest.raises(RollbackError, match="ANOTHER KEY LOG"):
            one.keep(log, head(sizes[0]))
        assert kept(one) == (others[: sizes[1]], head(sizes[1], others))


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
        keep(first, 1)
        first.set_pin(ALICE)
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(PinStore(path)) as second:
        assert (kept(second), second.pins()) == ((ENTRIES[:1], head(1)), [ALICE])


def test_two_commands_at_once_share_it(tmp_path):
    path = tmp_path / "people.db"
    with closing(PinStore(path)) as one, closing(PinStore(path)) as other:
        one.set_pin(ALICE)
        keep(other, 1)
        keep(one, 2)
        assert other.pins() == [ALICE]
        assert kept(other) == (ENTRIES[:2], head(2))


def is_told_as_damage(error: FsError) -> None:
    assert error.exit_status == 7
    assert "people.db', which remembers other people's keys, is damaged." in error.sentence
    assert error.hint


@pytest.mark.parametrize("content", [b"noise" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_file_is_not_created_again(tmp_path, content):
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
        lambda store: keep(store, 4),
    ],
    ids=["read", "written"],
)
def test_damage_inside_is_reported_when_it_is_read(tmp_path, act):
    path = tmp_path / "people.db"
    with closing(PinStore(path)) as store:
        keep(store, 2)
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


def test_a_file_that_cannot_be_opened_is_reported(tmp_path):
    with pytest.raises(NotFoundError, match="does not exist"):
        PinStore(tmp_path / "no" / "people.db")
