"""The cache of folder entries: what counts as known, for how long, and what a change costs."""

from __future__ import annotations

import os

from fsclient.gateway import known_folders
from fsclient.gateway.known_folders import FolderRecord, KnownFolders
from fsclient.gateway.paths import GatewayPath, place_of
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.types import Hash

TOP = GatewayPath(())
ONE, TWO, THREE = Hash(b"1" * 32), Hash(b"2" * 32), Hash(b"3" * 32)
NODE = new_node(os.urandom)


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
    known: KnownFolders[str] = KnownFolders()
    known.note(TOP, record(ONE, 0.0, a="A"), -1.0)
    assert seen(known, "a") == (True, "A")
    assert seen(known, "b") == (False, None)
    known.note(TOP, record(ONE, 0.0, complete=True, a="A"), -1.0)
    assert seen(known, "b") == (True, None)


def test_entries_age_and_missing_ones_age_sooner() -> None:
    known: KnownFolders[str] = KnownFolders()
    known.note(TOP, record(ONE, 0.0, complete=True, a="A"), -1.0)
    assert seen(known, "a", 0.9) == (True, "A")
    assert not seen(known, "b", 0.9)[0]
    assert not seen(known, "a", 1.1)[0]


def test_an_answer_with_the_same_state_confirms_everything_and_another_state_nothing() -> None:
    known: KnownFolders[str] = KnownFolders()
    known.note(TOP, record(ONE, 0.0, a="A"), -1.0)
    known.note(TOP, record(ONE, 5.0, b=None), 4.0)
    assert seen(known, "a", 5.1) == (True, "A")
    known.note(TOP, record(TWO, 5.2, c="C"), 4.2)
    assert not seen(known, "a", 5.2)[0]


def test_entries_without_a_state_are_not_confirmed_by_others() -> None:
    known: KnownFolders[str] = KnownFolders()
    known.note(TOP, record(None, 0.0, a="A"), -1.0)
    known.note(TOP, record(None, 0.9, b="B"), -0.1)
    assert not seen(known, "a", 1.5)[0]


def test_a_commit_leads_from_the_known_state_to_the_next_and_from_no_other() -> None:
    known: KnownFolders[str] = KnownFolders()
    known.note(TOP, record(ONE, 0.0, complete=True), -1.0)
    known.change(TOP, (ONE, TWO), {"a": "A"}, 3.0)
    assert seen(known, "a", 3.1) == (True, "A")
    assert seen(known, "b", 3.1) == (True, None)
    known.change(TOP, (ONE, THREE), {"c": "C"}, 3.2)  # another client was first
    assert not seen(known, "a", 3.2)[0]
    assert not seen(known, "c", 3.2)[0]


def test_another_folder_at_the_same_path_has_none_of_the_entries() -> None:
    known: KnownFolders[str] = KnownFolders()
    known.note(TOP, record(ONE, 0.0, complete=True, a="A"), -1.0)
    assert not seen(known, "a", node=new_node(os.urandom))[0]


def test_forgetting_takes_the_entry_and_what_is_below_it() -> None:
    known: KnownFolders[str] = KnownFolders()
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

    known: KnownFolders[str] = KnownFolders()
    for number in range(2000):
        known.note(Counted((f"d{number}",)), record(ONE, 0.0, x="X"), -1.0)
    known.forget(Counted(("d7",)))
    assert looked == 0
    assert not seen(known, "x", place=place_of("d7"))[0]
    assert seen(known, "x", place=place_of("d8")) == (True, "X")


def test_old_folders_leave_and_the_number_of_entries_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(known_folders, "MOST_ENTRIES", 100)
    known: KnownFolders[str] = KnownFolders()
    for number in range(1000):
        known.note(place_of(f"d{number}"), record(ONE, float(number), x="X"), -1.0)
    assert known._entries <= 100
    assert known._entries == sum(len(one.names) for one in known._top.records())
