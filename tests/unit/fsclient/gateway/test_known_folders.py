"""The cache of folder entries: what counts as known, for how long, and what a change costs."""

from __future__ import annotations

import os

import pytest

from fsclient.gateway import known_folders
from fsclient.gateway.known_folders import FolderRecord, KnownFolders
from fsclient.gateway.paths import GatewayPath, place_of
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.types import Hash

TOP = GatewayPath(())
ONE, TWO, THREE = Hash(b"1" * 32), Hash(b"2" * 32), Hash(b"3" * 32)
NODE = new_node(os.urandom)


def memory_of(entry: str | None) -> int:
    return len(entry or "")


def empty() -> KnownFolders[str]:
    """Return an empty cache; an entry takes as many bytes as it has characters."""
    return KnownFolders(memory_of)


def taken(known: KnownFolders[str]) -> int:
    """Return the bytes of all entries that are in the cache."""
    return sum(memory_of(entry) for one in known._top.records() for entry in one.names.values())


def record(state: Hash | None, at_s: float, *, complete: bool = False, **names: str | None):
    return FolderRecord[str](NODE, state, at_s, dict(names), complete)


def seen(
    known: KnownFolders[str],
    name: str,
    now_s: float = 0.0,
    place: GatewayPath = TOP,
    node: KeyedNode = NODE,
) -> tuple[bool, str | None]:
    return known.find(place, node, name, since_s=now_s - 1, absent_since_s=now_s - 0.2)


def test_a_complete_folder_proves_what_it_does_not_have_and_a_part_of_it_does_not() -> None:
    known: KnownFolders[str] = empty()
    known.note(TOP, record(ONE, 0.0, a="A"), -1.0)
    assert seen(known, "a") == (True, "A")
    assert seen(known, "b") == (False, None)
    known.note(TOP, record(ONE, 0.0, complete=True, a="A"), -1.0)
    assert seen(known, "b") == (True, None)


def test_entries_age_and_missing_ones_age_sooner() -> None:
    known: KnownFolders[str] = empty()
    known.note(TOP, record(ONE, 0.0, complete=True, a="A"), -1.0)
    assert seen(known, "a", 0.9) == (True, "A")
    assert not seen(known, "b", 0.9)[0]
    assert not seen(known, "a", 1.1)[0]


def test_an_answer_with_the_same_state_confirms_everything_and_another_state_nothing() -> None:
    known: KnownFolders[str] = empty()
    known.note(TOP, record(ONE, 0.0, a="A"), -1.0)
    known.note(TOP, record(ONE, 5.0, b=None), 4.0)
    assert seen(known, "a", 5.1) == (True, "A")
    known.note(TOP, record(TWO, 5.2, c="C"), 4.2)
    assert not seen(known, "a", 5.2)[0]


def test_entries_without_a_state_are_not_confirmed_by_others() -> None:
    known: KnownFolders[str] = empty()
    known.note(TOP, record(None, 0.0, a="A"), -1.0)
    known.note(TOP, record(None, 0.9, b="B"), -0.1)
    assert not seen(known, "a", 1.5)[0]


def test_a_commit_leads_from_the_known_state_to_the_next_and_from_no_other() -> None:
    known: KnownFolders[str] = empty()
    known.note(TOP, record(ONE, 0.0, complete=True), -1.0)
    known.change(TOP, (ONE, TWO), {"a": "A"}, 3.0)
    assert seen(known, "a", 3.1) == (True, "A")
    assert seen(known, "b", 3.1) == (True, None)
    known.change(TOP, (ONE, THREE), {"c": "C"}, 3.2)  # another client was first
    assert not seen(known, "a", 3.2)[0]
    assert not seen(known, "c", 3.2)[0]


def test_another_folder_at_the_same_path_has_none_of_the_entries() -> None:
    known: KnownFolders[str] = empty()
    known.note(TOP, record(ONE, 0.0, complete=True, a="A"), -1.0)
    assert not seen(known, "a", node=new_node(os.urandom))[0]


def test_forgetting_takes_the_entry_and_what_is_below_it() -> None:
    known: KnownFolders[str] = empty()
    known.note(TOP, record(ONE, 0.0, complete=True, a="A", b="B"), -1.0)
    known.note(place_of("a/deep"), record(ONE, 0.0, x="X"), -1.0)
    known.note(place_of("ab"), record(ONE, 0.0, x="X"), -1.0)
    known.forget(place_of("a"))
    assert not seen(known, "a")[0]
    assert not seen(known, "x", place=place_of("a/deep"))[0]
    assert seen(known, "b") == (True, "B")
    assert seen(known, "x", place=place_of("ab")) == (True, "X")


def test_forgetting_one_path_does_not_look_at_the_others() -> None:
    looked = 0

    class Counted(GatewayPath):
        def within(self, folder: GatewayPath) -> bool:
            nonlocal looked
            looked += 1
            return super().within(folder)

    known: KnownFolders[str] = empty()
    for number in range(2000):
        known.note(Counted((f"d{number}",)), record(ONE, 0.0, x="X"), -1.0)
    known.forget(Counted(("d7",)))
    assert looked == 0
    assert not seen(known, "x", place=place_of("d7"))[0]
    assert seen(known, "x", place=place_of("d8")) == (True, "X")


def test_old_folders_leave_and_the_memory_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(known_folders, "MOST_BYTES", 100)
    known = empty()
    for number in range(1000):
        known.note(place_of(f"d{number}"), record(ONE, number / 1000, x="X" * 5), -1.0)
        assert known._size == taken(known) <= 100
    assert seen(known, "x", 1.0, place_of("d999")) == (True, "XXXXX")
    assert taken(known) > 50  # the newest ones stay
    known.note(place_of("later"), record(ONE, 100.0, x="X"), -1.0)
    assert known._size == taken(known) == 1


@pytest.mark.parametrize(("size", "stays"), [(90, True), (101, False)])
def test_one_large_folder_may_take_all_memory_and_no_more(monkeypatch, size, stays) -> None:
    monkeypatch.setattr(known_folders, "MOST_BYTES", 100)
    known = empty()
    known.note(place_of("small"), record(ONE, 0.0, x="X" * 20), -1.0)
    known.note(place_of("large"), record(ONE, 0.5, x="X" * size), -1.0)
    assert seen(known, "x", 0.5, place_of("large"))[0] is stays
    assert known._size == taken(known) <= 100


def test_the_size_follows_every_change() -> None:
    known = empty()
    known.note(TOP, record(ONE, 0.0, a="A", b="BB"), -1.0)
    known.note(TOP, record(ONE, 0.0, b="BBBB", c=None), -1.0)
    assert known._size == taken(known) == 5
    known.note(place_of("a/deep"), record(ONE, 0.0, x="XXX"), -1.0)
    known.change(TOP, (ONE, TWO), {"b": None, "d": "DD"}, 0.1)
    assert known._size == taken(known) == 6
    known.forget(place_of("a"))
    assert known._size == taken(known) == 2
    known.note(TOP, record(THREE, 0.2, e="E"), -1.0)
    assert known._size == taken(known) == 1


def test_a_confirmed_complete_folder_gets_back_what_was_forgotten() -> None:
    known = empty()
    known.note(TOP, record(ONE, 0.0, complete=True, a="A", b="B"), -1.0)
    known.forget(place_of("a"))
    assert not seen(known, "a")[0]
    known.note(TOP, record(ONE, 0.1, complete=True, a="A", b="B"), -1.0)
    assert seen(known, "a", 0.1) == (True, "A")
    assert known._size == taken(known) == 2


def test_the_entries_behind_a_name_are_known_once_the_folder_was_listed():
    known, place = empty(), place_of("folder")
    known.note(place, record(ONE, 0, a="A", b="B", d="D"), 0)
    assert known.following(place.child("a"), 5) == []
    known.note(place, record(ONE, 0, complete=True, c=None, e="E"), 0)
    assert known.following(place.child("a"), 3) == ["B", "D"]
    assert known.following(place.child("b"), 5) == ["D", "E"]
    assert known.following(place.child("e"), 5) == []
    assert known.following(place_of("other/a"), 5) == []
