"""`sync --two-way`: what was moved or renamed on one side is moved on the other, not sent again."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsclient.app import App
from fsproto.names import parse_path
from fsproto.types import NodeId
from tests.support.client_processes import Client
from tests.support.fixed_keys import stretch

LARGE = stretch("large", 300_000)
FILES = {
    "a.txt": b"first",
    "docs/plan": b"the plan",
    "docs/large.bin": LARGE,
    "docs/old/q1": b"quarter 1",
    "docs/old/q2": b"quarter 2",
    "other/keep": b"kept",
}


class Machine:
    """One of two local folders that are synchronised with the same remote one."""

    def __init__(self, client: Client, folder: str) -> None:
        self.client, self.folder, self.remote = client, folder, f"{client.room}/moves"
        self.top = client.folder / folder

    def sync(self, *options: str) -> Any:
        ran = self.client.quick("--json", "sync", "--two-way", *options, self.folder, self.remote)
        return ran.ok().json()

    def move(self, old: str, new: str) -> None:
        (self.top / new).parent.mkdir(parents=True, exist_ok=True)
        (self.top / old).rename(self.top / new)

    def write(self, name: str, content: bytes) -> None:
        (self.top / name).write_bytes(content)

    def all(self) -> dict[str, bytes | None]:
        return {
            str(path.relative_to(self.top)): None if path.is_dir() else path.read_bytes()
            for path in self.top.rglob("*")
        }

    def nodes(self) -> dict[str, NodeId]:
        """Return the ids of all remote nodes, by path."""
        app, found = App(), dict[str, NodeId]()
        app.options.home = self.client.home
        with app.session() as session:
            left = [session.tree.find(parse_path(self.remote))]
            while left:
                inside = session.tree.children(left.pop()).nodes
                found |= {str(node.path): node.keyed.node for node in inside}
                left += [node for node in inside if node.is_folder]
        return found


@pytest.fixture
def one(client: Client) -> Machine:
    machine = Machine(client, "one")
    for name, content in FILES.items():
        client.write(f"one/{name}", content)
    machine.sync()
    return machine


@pytest.fixture
def other(one: Machine) -> Machine:
    machine = Machine(one.client, "other")
    machine.top.mkdir()
    machine.sync()
    assert machine.all() == one.all()
    return machine


def inodes(top: Path) -> dict[str, int]:
    return {str(path.relative_to(top)): path.stat().st_ino for path in top.rglob("*")}


MOVES: dict[str, tuple[list[tuple[str, str]], int]] = {
    "a file": ([("a.txt", "b.txt")], 1),
    "a file into another folder": ([("a.txt", "other/b.txt")], 1),
    "a file into new folders": ([("a.txt", "new/er/a.txt")], 1),
    "a large file": ([("docs/large.bin", "large")], 1),
    "a folder": ([("docs", "papers")], 1),
    "a folder into a folder": ([("docs", "other/docs")], 1),
    "a folder, and folders in it": ([("docs", "papers"), ("papers/old", "papers/new")], 2),
    "a folder, and a file out of it": ([("docs", "papers"), ("papers/plan", "plan")], 2),
    "two files": ([("docs/old/q1", "q1"), ("docs/old/q2", "other/q2")], 2),
}


@pytest.mark.cases(3)
@pytest.mark.parametrize(("moves", "count"), MOVES.values(), ids=MOVES)
def test_a_move_is_a_move_on_the_other_side(
    one: Machine, other: Machine, moves: list[tuple[str, str]], count: int
) -> None:
    nodes, there = set(one.nodes().values()), inodes(other.top)
    for old, new in moves:
        one.move(old, new)
    sent = one.sync()
    assert (sent["files"], sent["bytes"], sent["moved"], sent["removed"]) == (0, 0, count, 0)
    assert nodes <= set(one.nodes().values())
    got = other.sync()
    assert (got["files"], got["bytes"], got["moved"], got["removed"]) == (0, 0, count, 0)
    assert one.all() == other.all()
    assert set(there.values()) <= set(inodes(other.top).values())
    for machine in (one, other):
        again = machine.sync()
        assert (again["files"], again["moved"], again["removed"]) == (0, 0, 0)


def exchange(machine: Machine) -> None:
    for old, new in (("a.txt", "t"), ("docs/large.bin", "a.txt"), ("t", "docs/large.bin")):
        machine.move(old, new)


def turn_round(machine: Machine) -> None:
    for old, new in (("a.txt", "t"), ("docs/plan", "a.txt"), ("other/keep", "docs/plan")):
        machine.move(old, new)
    machine.move("t", "other/keep")


def replace(machine: Machine) -> None:
    machine.move("docs/large.bin", "a.txt")


def shift(machine: Machine) -> None:
    """The oldest one goes, and the others move up."""
    machine.move("docs/old/q1", "docs/old/q2")
    machine.move("docs/large.bin", "docs/old/q1")


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("edit", "count"), [(exchange, 2), (turn_round, 3), (replace, 1), (shift, 2)]
)
def test_files_that_take_the_names_of_others_are_not_sent_again(
    one: Machine, other: Machine, edit: Callable[[Machine], None], count: int
) -> None:
    before, there = one.nodes(), inodes(other.top)
    edit(one)
    shown = one.sync("-n", "--max-delete", "1")["actions"]
    assert [each["action"] for each in shown] == ["move"] * count
    assert one.nodes() == before
    for machine in (one, other):
        result = machine.sync("--max-delete", "1")
        assert (result["files"], result["bytes"], result["moved"]) == (0, 0, count)
        assert (result["removed"], result["conflicts"]) == (0, [])
    assert one.all() == other.all()
    assert set(one.nodes().values()) <= set(before.values())
    assert set(inodes(other.top).values()) <= set(there.values())
    for machine in (one, other):
        again = machine.sync()
        assert (again["files"], again["moved"], again["removed"]) == (0, 0, 0)


def test_what_was_moved_over_is_in_the_history(one: Machine, other: Machine) -> None:
    replace(one)
    one.sync()
    shown = one.client.quick("history", f"{one.remote}/").ok().text
    assert "replaced by" in shown
    (name,) = [line.split()[0] for line in shown.splitlines() if "a.txt" in line]
    back = f"{one.remote}/back"
    one.client.quick("restore", f"{one.remote}/a.txt", "--id", name, "--as", back).ok()
    assert one.client.quick("cat", back).ok().text == "first"


@pytest.mark.cases(2)
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("edit", [exchange, replace])
def test_an_edit_of_what_others_moved_over_is_kept(
    one: Machine, other: Machine, edit: Callable[[Machine], None], first: int
) -> None:
    edit(one)
    other.write("a.txt", b"edited there")
    for machine in ((one, other), (other, one))[first] * 2:
        machine.sync()
    assert one.all() == other.all()
    assert {b"edited there", LARGE} <= set(one.all().values())


def test_moves_over_many_files_count_as_removals(one: Machine, other: Machine) -> None:
    replace(one)
    ran = one.client.quick("sync", "--two-way", "--max-delete", "0", one.folder, one.remote)
    ran.fails(8, "more than --max-delete allows")
    assert one.client.quick("cat", f"{one.remote}/a.txt").ok().text == "first"


def test_a_file_system_that_refuses_a_rename_in_a_ring_loses_nothing(
    one: Machine, other: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_round(one)
    one.sync()
    before, done = other.all(), list[Path]()
    real = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if other.folder in path.parts:
            done.append(path)
            if len(done) == 3:
                raise OSError(errno.EXDEV, "Another file system")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    result = other.sync("--max-delete", "3")
    assert len(done) > 3
    assert result["moved"] == 0
    assert one.all() == other.all() != before


def test_a_dry_run_shows_the_moves_and_does_none(one: Machine, other: Machine) -> None:
    one.move("docs", "papers")
    one.write("papers/plan", b"a newer plan")
    shown = one.sync("-n")["actions"]
    remote = one.remote
    assert {(each["action"], each["path"]) for each in shown} == {
        ("move", f"{remote}/docs to {remote}/papers"),
        ("replace", f"{remote}/papers/plan"),
    }
    assert f"{remote}/docs" in one.nodes()
    one.sync()
    shown = other.sync("-n")["actions"]
    assert {(each["action"], each["path"]) for each in shown} == {
        ("move", f"other{os.sep}docs to other{os.sep}papers"),
        ("replace", f"other{os.sep}papers{os.sep}plan"),
    }
    assert other.all().keys() == {"a.txt", "docs", "other", "other/keep"} | {
        name for name in {*FILES, "docs/old"} if name.startswith("docs/")
    }


Edit = Callable[[Machine, Machine], None]


def both_edit_what_was_moved(one: Machine, other: Machine) -> None:
    one.move("docs", "papers")
    other.write("docs/plan", b"edited there")
    other.write("docs/new", b"new there")


def one_moves_the_other_edits(one: Machine, other: Machine) -> None:
    one.move("a.txt", "b.txt")
    other.write("a.txt", b"edited there")


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("edit", "expected", "gone"),
    [
        (
            both_edit_what_was_moved,
            {"papers/plan": b"edited there", "papers/new": b"new there"},
            "docs",
        ),
        (one_moves_the_other_edits, {"b.txt": b"edited there"}, "a.txt"),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_an_edit_of_what_the_other_side_moved_is_kept_at_its_new_place(
    one: Machine, other: Machine, edit: Edit, expected: dict[str, bytes], gone: str, first: int
) -> None:
    edit(one, other)
    for machine in ((one, other), (other, one))[first] * 2:
        assert machine.sync()["conflicts"] == []
    assert one.all() == other.all()
    assert expected.items() <= one.all().items()
    assert gone not in one.all()


@pytest.mark.cases(1)
@pytest.mark.parametrize("first", [0, 1])
def test_of_two_different_moves_both_names_stay(one: Machine, other: Machine, first: int) -> None:
    one.move("a.txt", "b.txt")
    other.move("a.txt", "c.txt")
    one.move("docs", "papers")
    other.move("docs", "texts")
    for machine in ((one, other), (other, one))[first] * 2:
        machine.sync()
    assert one.all() == other.all()
    assert one.all()["b.txt"] == one.all()["c.txt"] == b"first"
    for folder in ("papers", "texts"):
        assert one.all()[f"{folder}/old/q1"] == b"quarter 1"
    assert not {"a.txt", "docs"} & one.all().keys()


@pytest.mark.cases(1)
@pytest.mark.parametrize("first", [0, 1])
def test_the_same_move_on_both_sides_moves_nothing_twice(
    one: Machine, other: Machine, first: int
) -> None:
    for machine in (one, other):
        machine.move("a.txt", "b.txt")
        machine.move("docs", "papers")
    for machine in ((one, other), (other, one))[first]:
        result = machine.sync()
        assert (result["files"], result["removed"], result["conflicts"]) == (0, 0, [])
    assert one.all() == other.all()
    assert len(one.all()) == len(FILES) + 3


@pytest.mark.cases(1)
@pytest.mark.parametrize("first", [0, 1])
def test_a_name_that_the_other_side_has_taken_makes_a_conflict_copy(
    one: Machine, other: Machine, first: int
) -> None:
    one.move("a.txt", "b.txt")
    other.write("b.txt", b"another file")
    for machine in ((one, other), (other, one))[first] * 2:
        machine.sync()
    assert one.all() == other.all()
    copies = {content for name, content in one.all().items() if name.startswith("b")}
    assert copies == {b"first", b"another file"}


@pytest.mark.cases(1)
@pytest.mark.parametrize("first", [0, 1])
def test_a_move_beats_a_removal(one: Machine, other: Machine, first: int) -> None:
    one.move("docs", "papers")
    one.move("a.txt", "b.txt")
    shutil.rmtree(other.top / "docs")
    (other.top / "a.txt").unlink()
    for machine in ((one, other), (other, one))[first] * 2:
        machine.sync("--max-delete", "100%")
    assert one.all() == other.all()
    assert one.all()["b.txt"] == b"first"
    assert one.all()["papers/old/q2"] == b"quarter 2"


@pytest.mark.cases(1)
@pytest.mark.parametrize("first", [0, 1])
def test_a_move_into_a_folder_that_the_other_side_removed_is_kept(
    one: Machine, other: Machine, first: int
) -> None:
    one.move("a.txt", "docs/old/a.txt")
    shutil.rmtree(other.top / "docs/old")
    for machine in ((one, other), (other, one))[first] * 2:
        machine.sync()
    assert one.all() == other.all()
    assert one.all()["docs/old/a.txt"] == b"first"
    assert "docs/old/q1" not in one.all()


def test_a_copy_that_replaces_its_original_is_a_move(one: Machine, other: Machine) -> None:
    (one.top / "copy").write_bytes(LARGE)  # another number, another time
    (one.top / "docs/large.bin").unlink()
    assert one.sync()["moved"] == 1
    assert other.sync()["moved"] == 1
    assert one.all() == other.all()


def test_another_file_of_the_same_size_is_none(one: Machine, other: Machine) -> None:
    (one.top / "copy").write_bytes(LARGE[::-1])
    (one.top / "docs/large.bin").unlink()
    sent = one.sync()
    assert (sent["moved"], sent["files"], sent["removed"]) == (0, 1, 1)
    other.sync()
    assert one.all() == other.all()


def test_moves_are_no_removals_for_the_limit(one: Machine, other: Machine) -> None:
    for name in FILES:
        one.move(name, f"all/{name}")
    for machine in (one, other):
        assert machine.sync("--max-delete", "0")["moved"] == len(FILES)
    assert one.all() == other.all()


def test_links_and_empty_files_move_too(one: Machine, other: Machine) -> None:
    (one.top / "link").symlink_to("a.txt")
    one.write("empty", b"")
    one.sync()
    other.sync()
    one.move("link", "to")
    one.move("empty", "void")
    assert one.sync()["moved"] == 2
    assert other.sync()["moved"] == 2
    assert (other.top / "to").is_symlink()
    assert one.all() == other.all()
