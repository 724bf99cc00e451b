from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fsclient.trust.seen import AGE, LIST, MANIFEST, STATE, SeenVersions, Sighting, age
from fsproto.errors import FsError, IntegrityError, RollbackError
from fsproto.types import NO_HASH, Hash, NodeId

NODE = NodeId(b"n" * 16)


def seen(version: int, content: bytes = b"", what: int = STATE) -> Sighting:
    return Sighting(NODE, what, version, Hash(content.ljust(32, b"%d" % version)))


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[SeenVersions]:
    with closing(SeenVersions(tmp_path / "memory.db")) as opened:
        yield opened


def test_the_same_and_what_is_newer_is_believed(memory):
    for version in (1, 1, 2, 7, 7):
        memory.check([seen(version)], memory.mark())


def test_what_is_older_than_what_was_known_is_a_rollback(memory):
    memory.check([seen(5)], memory.mark())
    with pytest.raises(RollbackError, match="OLDER"):
        memory.check([seen(4)], memory.mark())


def test_another_hash_of_the_same_version_is_another_history(memory):
    memory.check([seen(5)], memory.mark())
    with pytest.raises(RollbackError, match="TWO DIFFERENT HISTORIES"):
        memory.check([seen(5, b"other")], memory.mark())


def test_an_answer_that_was_under_way_may_be_older_than_what_came_meanwhile(memory):
    memory.check([seen(5)], memory.mark())
    asked = memory.mark()
    memory.remember([seen(7)])  # another command has made it so
    memory.check([seen(5)], asked)
    memory.check([seen(6)], asked)
    with pytest.raises(RollbackError):
        memory.check([seen(6)], memory.mark())


def test_two_histories_are_noticed_even_in_an_answer_that_was_under_way(memory):
    asked = memory.mark()
    memory.remember([seen(7)])
    with pytest.raises(RollbackError, match="TWO DIFFERENT HISTORIES"):
        memory.check([seen(7, b"other")], asked)


def test_nothing_of_an_answer_is_believed_if_a_part_of_it_is_a_lie(memory):
    memory.check([seen(5)], memory.mark())
    other = Sighting(NodeId(b"o" * 16), STATE, 9, Hash(b"9" * 32))
    with pytest.raises(RollbackError):
        memory.check([other, seen(4)], memory.mark())
    memory.check([Sighting(other.node, STATE, 1, Hash(b"1" * 32))], memory.mark())


def test_states_and_manifests_of_a_node_are_counted_apart(memory):
    memory.check([seen(5, what=STATE), seen(2, what=MANIFEST)], memory.mark())
    memory.check([seen(3, what=MANIFEST)], memory.mark())
    with pytest.raises(RollbackError):
        memory.check([seen(4, what=STATE)], memory.mark())


def test_it_is_remembered_from_one_run_to_the_next(tmp_path):
    path = tmp_path / "memory.db"
    with closing(SeenVersions(path)) as first:
        first.check([seen(5)], first.mark())
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(SeenVersions(path)) as second, pytest.raises(RollbackError):
        second.check([seen(4)], second.mark())


def test_two_commands_at_once_share_it(tmp_path):
    path = tmp_path / "memory.db"
    with closing(SeenVersions(path)) as one, closing(SeenVersions(path)) as other:
        asked = one.mark()
        other.check([seen(5)], other.mark())
        one.check([seen(4)], asked)
        with pytest.raises(RollbackError):
            one.check([seen(4)], one.mark())


@pytest.mark.parametrize("content", [b"noise" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_memory_is_not_begun_anew(tmp_path, content):
    (tmp_path / "memory.db").write_bytes(content)
    with pytest.raises(IntegrityError, match="damaged"):
        SeenVersions(tmp_path / "memory.db")


def test_a_memory_that_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(FsError, match="cannot be used"):
        SeenVersions(tmp_path / "no" / "memory.db")


# --- lists, and folders that somebody who was removed signed last

SHARED = NodeId(b"s" * 16)
FROZEN = {NODE: (SHARED, AGE)}
"""The folder was signed by somebody whom the list of the shared one does not name any more."""


def told(memory: SeenVersions, generation: int) -> None:
    """Learn of a list that is bound to a generation."""
    memory.check([Sighting(SHARED, AGE, generation, NO_HASH)], memory.mark())


def look(memory: SeenVersions, version: int, *, frozen: bool = True) -> None:
    memory.check([seen(version)], memory.mark(), FROZEN if frozen else {})


def test_lists_are_counted_apart_from_what_they_are_of(memory):
    memory.check([seen(5), seen(3, what=LIST), seen(9, what=MANIFEST)], memory.mark())
    memory.check([seen(4, what=LIST)], memory.mark())
    with pytest.raises(RollbackError, match="OLDER"):
        memory.check([seen(3, what=LIST)], memory.mark())


def test_a_list_of_an_older_generation_than_was_known_is_a_rollback(memory):
    told(memory, 2)
    told(memory, 2)
    with pytest.raises(RollbackError, match="OLDER"):
        told(memory, 1)


def test_what_was_looked_at_since_somebody_was_removed_they_change_no_more(memory):
    told(memory, 2)
    look(memory, 5)
    with pytest.raises(RollbackError, match="WHO WAS REMOVED") as refusal:
        look(memory, 6)
    assert refusal.value.exit_status == 7
    look(memory, 5)  # as it was it may be looked at for ever


def test_what_they_wrote_before_they_were_removed_may_be_found_once(memory):
    look(memory, 5, frozen=False)
    told(memory, 2)
    look(memory, 6)
    with pytest.raises(RollbackError, match="WHO WAS REMOVED"):
        look(memory, 7)


def test_a_look_that_finds_nothing_new_is_a_look_since_then_as_well(memory):
    look(memory, 5, frozen=False)
    told(memory, 2)
    look(memory, 5)
    with pytest.raises(RollbackError, match="WHO WAS REMOVED"):
        look(memory, 6)


def test_what_others_change_there_is_believed(memory):
    told(memory, 2)
    look(memory, 5)
    look(memory, 6, frozen=False)
    with pytest.raises(RollbackError, match="WHO WAS REMOVED"):
        look(memory, 7)


def test_a_folder_that_was_never_looked_at_may_be_as_they_left_it(memory):
    told(memory, 2)
    look(memory, 9)


def test_where_no_list_is_known_nobody_was_removed(memory):
    look(memory, 5)
    look(memory, 6)


def test_other_folders_of_the_same_look_are_not_held_back(memory):
    other = NodeId(b"o" * 16)
    told(memory, 2)
    memory.check([seen(5), Sighting(other, STATE, 1, NO_HASH)], memory.mark(), FROZEN)
    newer = Sighting(other, STATE, 2, Hash(b"2" * 32))
    memory.check([seen(5), newer], memory.mark(), FROZEN)
    with pytest.raises(RollbackError, match="OLDER"):
        memory.check([Sighting(other, STATE, 1, NO_HASH)], memory.mark())


def test_nothing_is_remembered_of_a_change_that_was_refused(memory):
    told(memory, 2)
    look(memory, 5)
    with pytest.raises(RollbackError):
        look(memory, 6)
    look(memory, 5)


def test_that_somebody_was_removed_is_remembered_from_one_run_to_the_next(tmp_path):
    path = tmp_path / "memory.db"
    with closing(SeenVersions(path)) as first:
        told(first, 2)
        look(first, 5)
    with (
        closing(SeenVersions(path)) as second,
        pytest.raises(RollbackError, match="WHO WAS REMOVED"),
    ):
        look(second, 6)


def test_what_was_lost_with_one_generation_does_not_come_back_with_the_next(memory):
    lost = age(SHARED, 2)
    frozen = {NODE: (lost.node, lost.what)}
    memory.check([lost], memory.mark())
    memory.check([seen(1)], memory.mark(), frozen)
    memory.check([age(SHARED, 3)], memory.mark())
    with pytest.raises(RollbackError, match="WHO WAS REMOVED"):
        memory.check([seen(2)], memory.mark(), frozen)
