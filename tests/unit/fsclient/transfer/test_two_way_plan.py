"""Plans of a two-way sync: single cases that the property test rarely meets."""

from __future__ import annotations

import pytest

from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.pairs.state import FORMAT, PairState, SyncedFolder, synced_file
from fsclient.transfer.twoway.limits import MaxDelete, parse_max_delete
from fsclient.transfer.twoway.plan import Do, RemoteFile, Resolve, Step, copy_name, plan
from fsproto.errors import UsageError
from fsproto.limits import MAX_NAME_BYTES
from fsproto.sealed.manifest import Mode
from fsproto.types import NodeId, Root

HERE = LocalStat(5, 1_000_000, Mode.REGULAR)
THERE = RemoteFile(5, 1_000_000, Mode.REGULAR, Root(b"r" * 32))
FOLDERS = {path: SyncedFolder(NodeId(bytes(16))) for path in ("", "d")}
KNOWN = synced_file(HERE, THERE.root)


def last(*, complete: bool) -> PairState:
    return PairState(FORMAT, complete, {"d/a": KNOWN, "d/b": KNOWN}, FOLDERS)


def test_nothing_is_removed_without_a_complete_common_state():
    local, remote = {"d": None, "d/a": HERE}, {"d": None, "d/b": THERE}
    gone = plan(local, remote, last(complete=True)).steps
    assert gone == [Step(Do.REMOVE_HERE, "d/a"), Step(Do.REMOVE_THERE, "d/b")]
    copied = plan(local, remote, last(complete=False)).steps
    assert [step for step in copied if step.do is not Do.NOTE] == [
        Step(Do.PUT, "d/a"),
        Step(Do.GET, "d/b"),
    ]
    alone = plan({"d": None}, {}, last(complete=False)).steps
    assert Step(Do.MAKE_THERE, "d") in alone


def test_a_folder_with_something_that_is_left_alone_is_neither_removed_nor_made():
    left = plan({"d": None, "d/a": HERE}, {}, last(complete=True), left_alone=["d/x"]).steps
    assert [step for step in left if step.do is not Do.FORGET] == [Step(Do.REMOVE_HERE, "d/a")]
    assert not plan({"d": None}, {}, last(complete=True), left_alone=["d"]).steps


def test_an_entry_that_could_not_be_read_is_neither_missing_nor_forgotten():
    assert not plan({}, {"d": None, "d/a": THERE}, last(complete=True), left_alone=["d"]).steps


@pytest.mark.parametrize(
    ("later_ns", "do"), [(-10_000, Do.GET), (10_000, Do.PUT), (0, Do.RENAME_HERE)]
)
def test_the_newer_version_wins_and_of_equal_times_both_stay(later_ns: int, do: Do):
    here = LocalStat(6, THERE.mtime_ns + later_ns, Mode.REGULAR)
    empty = PairState(FORMAT, complete=True, files={})
    steps = plan({"a": here}, {"a": THERE}, empty, resolve=Resolve.NEWER).steps
    assert next(step.do for step in steps if step.conflict) is do


def test_a_name_that_is_taken_is_not_given_to_a_copy():
    here = LocalStat(6, 1, Mode.REGULAR)
    empty = PairState(FORMAT, complete=True, files={})
    local = {"a.txt": here, "A (m).txt": HERE}
    steps = plan(local, {"a.txt": THERE, "a (m 2).txt": THERE}, empty, mark="m").steps
    assert Step(Do.RENAME_HERE, "a.txt", "a (m 3).txt", conflict=True) in steps


@pytest.mark.parametrize(
    ("path", "copy"),
    [
        ("a.txt", "a (m).txt"),
        ("d/.profile", "d/.profile (m)"),
        ("d.d/a", "d.d/a (m)"),
        ("a.tar.gz", "a.tar (m).gz"),
    ],
)
def test_the_mark_of_a_copy_is_in_front_of_the_ending(path: str, copy: str):
    assert copy_name(path, "m") == copy


@pytest.mark.parametrize("name", ["ü" * 125 + ".txt", "x" * 255, "x." + "y" * 250])
def test_the_name_of_a_copy_is_never_too_long(name: str):
    copy = copy_name(f"d/{name}", "conflict 2026-11-28 14.03 alice", 12)
    assert len(copy.removeprefix("d/").encode()) <= MAX_NAME_BYTES
    assert "alice 12)" in copy


@pytest.mark.parametrize(
    ("text", "removed", "total", "exceeded"),
    [
        (None, 50, 100, False),
        (None, 51, 100, True),
        (None, 101, 1000, True),
        ("200", 101, 101, False),
        ("200", 201, 1000, True),
        ("80%", 4, 5, False),
        ("80%", 5, 5, True),
        ("0", 1, 100, True),
    ],
)
def test_removals_have_a_limit(text: str | None, removed: int, total: int, exceeded: bool):
    assert parse_max_delete(text).is_exceeded(removed, total) is exceeded


@pytest.mark.parametrize("text", ["", "half", "-1", "5.5%", "%", "1e9"])
def test_another_limit_is_a_usage_error(text: str):
    with pytest.raises(UsageError):
        parse_max_delete(text)
    assert parse_max_delete(None) == MaxDelete()
