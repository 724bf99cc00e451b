from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import AGE, LIST, MANIFEST, STATE, Gap, Sighting, age, check_gap_size
from fsproto.errors import ConflictError, IntegrityError, NotFoundError, RollbackError
from fsproto.limits import MAX_LINEAGE_GAP
from fsproto.proofs.lineage import LineagePoint
from fsproto.types import Hash, NodeId
from tests.support.lineages import hash_of, point, prove, reached

NODE = NodeId(b"n" * 16)


def seen(version: int, branch: str = "", what: int = STATE, since: int = 1) -> Sighting:
    return Sighting(NODE, what, point(version, branch, since))


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[SeenVersions]:
    with closing(SeenVersions(tmp_path / "memory.db")) as opened:
        yield opened


def test_the_same_and_what_is_newer_is_believed(memory):
    for version in (1, 1, 2, 7, 7):
        memory.check([seen(version)], memory.mark(), prove)


def test_what_is_older_than_what_was_known_is_a_rollback(memory):
    memory.check([seen(5)], memory.mark(), prove)
    with pytest.raises(RollbackError, match="OLDER"):
        memory.check([seen(4)], memory.mark(), prove)


def test_another_hash_of_the_same_version_is_another_history(memory):
    memory.check([seen(5)], memory.mark(), prove)
    with pytest.raises(RollbackError, match="TWO DIFFERENT HISTORIES"):
        memory.check([seen(5, "other")], memory.mark(), prove)


def test_an_overtaken_answer_may_be_older_than_a_later_one(memory):
    memory.check([seen(5)], memory.mark(), prove)
    asked = memory.mark()
    memory.check([seen(7)], asked, prove)  # another command saw version 7 in the meantime
    memory.check([seen(5)], asked, prove)
    memory.check([seen(6)], asked, prove)
    with pytest.raises(RollbackError):
        memory.check([seen(6)], memory.mark(), prove)


def test_two_histories_are_noticed_even_in_an_answer_that_was_under_way(memory):
    asked = memory.mark()
    memory.check([seen(7)], asked, prove)
    with pytest.raises(RollbackError, match="TWO DIFFERENT HISTORIES"):
        memory.check([seen(7, "other")], asked, prove)


def test_nothing_of_an_answer_is_believed_if_a_part_of_it_is_a_lie(memory):
    memory.check([seen(5)], memory.mark(), prove)
    other = Sighting(NodeId(b"o" * 16), STATE, point(9))
    with pytest.raises(RollbackError):
        memory.check([other, seen(4)], memory.mark(), prove)
    memory.check([Sighting(other.node, STATE, point(1))], memory.mark(), prove)


def test_states_and_manifests_of_a_node_are_counted_apart(memory):
    memory.check([seen(5, what=STATE), seen(2, what=MANIFEST)], memory.mark(), prove)
    memory.check([seen(3, what=MANIFEST)], memory.mark(), prove)
    with pytest.raises(RollbackError):
        memory.check([seen(4, what=STATE)], memory.mark(), prove)


def test_it_is_remembered_from_one_run_to_the_next(tmp_path):
    path = tmp_path / "memory.db"
    with closing(SeenVersions(path)) as first:
        first.check([seen(5)], first.mark(), prove)
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(SeenVersions(path)) as second, pytest.raises(RollbackError):
        second.check([seen(4)], second.mark(), prove)


def test_two_commands_at_once_share_it(tmp_path):
    path = tmp_path / "memory.db"
    with closing(SeenVersions(path)) as one, closing(SeenVersions(path)) as other:
        asked = one.mark()
        other.check([seen(5)], other.mark(), prove)
        one.check([seen(4)], asked, prove)
        with pytest.raises(RollbackError):
            one.check([seen(4)], one.mark(), prove)


@pytest.mark.parametrize("content", [b"noise" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_memory_is_not_created_again(tmp_path, content):
    (tmp_path / "memory.db").write_bytes(content)
    with pytest.raises(IntegrityError, match="damaged"):
        SeenVersions(tmp_path / "memory.db")


def test_a_memory_that_cannot_be_opened_is_reported(tmp_path):
    with pytest.raises(NotFoundError, match="does not exist"):
        SeenVersions(tmp_path / "no" / "memory.db")


# --- lists, and folders whose last signer was removed

SHARED = NodeId(b"s" * 16)
FROZEN = {NODE: (SHARED, AGE)}
"""The folder's signer is no longer on the shared folder's list."""


def told(memory: SeenVersions, generation: int) -> None:
    """Record a list of this generation as seen."""
    memory.check([Sighting(SHARED, AGE, point(generation))], memory.mark(), prove)


def look(memory: SeenVersions, version: int, *, frozen: bool = True) -> None:
    memory.check([seen(version)], memory.mark(), prove, FROZEN if frozen else {})


def test_lists_are_counted_apart_from_what_they_are_of(memory):
    memory.check([seen(5), seen(3, what=LIST), seen(9, what=MANIFEST)], memory.mark(), prove)
    memory.check([seen(4, what=LIST)], memory.mark(), prove)
    with pytest.raises(RollbackError, match="OLDER"):
        memory.check([seen(3, what=LIST)], memory.mark(), prove)


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
    look(memory, 5)  # the version seen before stays readable


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


def test_without_a_known_list_no_member_was_removed(memory):
    look(memory, 5)
    look(memory, 6)


def test_other_folders_of_the_same_look_are_not_held_back(memory):
    other = NodeId(b"o" * 16)
    told(memory, 2)
    memory.check([seen(5), Sighting(other, STATE, point(1))], memory.mark(), prove, FROZEN)
    newer = Sighting(other, STATE, point(2))
    memory.check([seen(5), newer], memory.mark(), prove, FROZEN)
    with pytest.raises(RollbackError, match="OLDER"):
        memory.check([Sighting(other, STATE, point(1))], memory.mark(), prove)


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
    memory.check([lost], memory.mark(), prove)
    memory.check([seen(1)], memory.mark(), prove, frozen)
    memory.check([age(SHARED, 3)], memory.mark(), prove)
    with pytest.raises(RollbackError, match="WHO WAS REMOVED"):
        memory.check([seen(2)], memory.mark(), prove, frozen)


# --- lineages


def test_a_later_version_of_another_branch_is_another_history_at_any_gap(memory):
    memory.check([seen(5)], memory.mark(), prove)
    for version in (6, 7, 40):
        for since in (1, 4, 5):
            forked = seen(version, "other", since=since)
            for branch in ("", "other"):  # no proof by the server helps
                claimed = partial(prove, branch=branch, since=since)
                with pytest.raises(RollbackError, match="TWO DIFFERENT HISTORIES"):
                    memory.check([forked], memory.mark(), claimed)
    memory.check([seen(6)], memory.mark(), prove)


def test_a_proof_must_have_just_the_hashes_between(memory):
    memory.check([seen(2)], memory.mark(), prove)
    good = [hash_of(version) for version in range(3, 9)]
    for bad in ([], good[:-1], good[1:], [*good, hash_of(9)], good[::-1], [hash_of(2), *good]):
        with pytest.raises(RollbackError):
            memory.check(
                [seen(9)],
                memory.mark(),
                lambda gaps, bad=bad: {gap: reached(gap, bad) for gap in gaps},
            )
    memory.check([seen(9)], memory.mark(), prove)


def test_an_overtaken_answer_must_be_an_ancestor_of_versions_seen_since(memory):
    memory.check([seen(3)], memory.mark(), prove)
    asked = memory.mark()
    memory.check([seen(20)], memory.mark(), prove)
    forged = seen(10, "other", since=5)
    with pytest.raises(RollbackError, match="TWO DIFFERENT HISTORIES"):
        memory.check([forged], asked, partial(prove, branch="other", since=5))
    memory.check([seen(10)], asked, prove)


def test_an_overtaken_answer_may_not_be_older_than_versions_seen_before_the_request(memory):
    memory.check([seen(3)], memory.mark(), prove)
    asked = memory.mark()
    memory.check([seen(4)], memory.mark(), prove)
    for version in (1, 2):
        with pytest.raises(RollbackError, match="OLDER STATE"):
            memory.check([seen(version)], asked, prove)
    memory.check([seen(3)], asked, prove)


def test_a_command_that_was_overtaken_very_often_is_refused_without_an_alarm(memory):
    memory.check([seen(1)], memory.mark(), prove)
    asked = memory.mark()
    for version in range(2, 200):
        memory.check([seen(version)], memory.mark(), prove)
    with pytest.raises(ConflictError):
        memory.check([seen(1)], asked, prove)
    with pytest.raises(RollbackError, match="OLDER STATE"):
        memory.check([seen(1)], memory.mark(), prove)


def test_one_answer_may_not_show_two_histories(memory):
    with pytest.raises(RollbackError, match="TWO DIFFERENT HISTORIES"):
        memory.check([seen(4), seen(5, "other")], memory.mark(), prove)
    with pytest.raises(RollbackError, match="TWO DIFFERENT HISTORIES"):
        memory.check([seen(4), seen(4, "other")], memory.mark(), prove)


def test_a_proof_is_asked_again_if_another_command_was_shown_more_while_it_came(memory):
    memory.check([seen(1)], memory.mark(), prove)
    asked: list[int] = []

    def overtaken(gaps: Sequence[Gap]) -> Mapping[Gap, Hash]:
        if not asked:
            memory.check([seen(5)], memory.mark(), prove)
        asked.append(len(gaps))
        return prove(gaps)

    memory.check([seen(9)], memory.mark(), overtaken)
    assert asked == [1, 1]
    assert memory.seen(NODE, STATE) == seen(9)


def test_a_gap_that_is_too_large_to_be_proved_is_refused():
    far = LineagePoint(MAX_LINEAGE_GAP + 2, point(2).lineage, point(2).hash)
    with pytest.raises(RollbackError, match="more than"):
        check_gap_size(Gap(NODE, STATE, point(1), far))


def test_a_branch_that_a_person_accepts_replaces_the_seen_versions(memory):
    memory.check([seen(5)], memory.mark(), prove)
    memory.accept([seen(3, "other")])
    memory.check([seen(4, "other")], memory.mark(), partial(prove, branch="other"))
    with pytest.raises(RollbackError):
        memory.check([seen(5)], memory.mark(), prove)
