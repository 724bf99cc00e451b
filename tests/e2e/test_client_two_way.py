"""`sync --two-way`: two machines on one remote folder, each with changes of its own."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.client_processes import CONFLICT, NOT_FOUND, USAGE, Client, Ran, Terminal

FIRST, HERE, THERE = b"first", b"edited here", b"edited there, by another machine"
COPY = re.compile(r"a \(conflict \d{4}-\d\d-\d\d \d\d\.\d\d [a-z0-9.-]+\)\.txt")


class Machine:
    """One of two local folders that are synchronised with the same remote one."""

    def __init__(self, client: Client, folder: str) -> None:
        self.client, self.folder, self.remote = client, folder, f"{client.room}/docs"
        self.top = client.folder / folder

    def sync(self, *options: str) -> Ran:
        return self.client.quick("sync", "--two-way", *options, self.folder, self.remote)

    def write(self, name: str, content: bytes) -> Path:
        return self.client.write(f"{self.folder}/{name}", content)

    def all(self) -> dict[str, bytes | None]:
        """Return everything in the folder; a folder is None."""
        return {
            str(path.relative_to(self.top)): None if path.is_dir() else path.read_bytes()
            for path in self.top.rglob("*")
        }

    def there(self) -> list[str]:
        lines = self.client.quick("find", self.remote).ok().lines
        start = f"{self.remote}/"
        return sorted(line.removeprefix(start).rstrip("/@") for line in lines if line != start)


@pytest.fixture
def one(client: Client) -> Machine:
    """The machine that has put a few files."""
    shutil.rmtree(client.profile / "trash", ignore_errors=True)
    machine = Machine(client, "one")
    for name in ("a.txt", "b", "sub/c", "sub/d", "e"):
        machine.write(name, FIRST)
    machine.sync().ok()
    return machine


@pytest.fixture
def other(one: Machine) -> Machine:
    """Another machine, which has got them."""
    machine = Machine(one.client, "other")
    machine.top.mkdir()
    machine.sync().ok()
    assert machine.all() == one.all()
    return machine


def test_creations_changes_and_removals_go_both_ways(one: Machine, other: Machine):
    one.write("new/here", HERE)
    one.write("b", HERE)
    shutil.rmtree(one.top / "sub")
    (one.top / "link").symlink_to("b")
    other.write("new/there", THERE)
    other.write("e", THERE)
    (other.top / "a.txt").unlink()
    (other.top / "empty").mkdir()
    for machine in (one, other, one):
        machine.sync().ok()
    expected = {"new": None, "new/here": HERE, "new/there": THERE, "b": HERE, "e": THERE}
    assert one.all() == other.all() == {**expected, "link": HERE, "empty": None}
    assert (other.top / "link").is_symlink()
    assert one.there() == sorted(one.all())
    (one.top / "empty").rmdir()
    one.sync().ok()
    ran = other.sync("-v").ok()
    assert f"remove {other.folder}{os.sep}empty" in ran.err
    assert not (other.top / "empty").exists()


def test_a_file_that_changed_on_both_sides_is_on_both_sides_twice(one: Machine, other: Machine):
    one.write("a.txt", HERE)
    other.write("a.txt", THERE)
    other.sync().ok()
    ran = one.sync().ok()
    (copy,) = (name for name in one.all() if COPY.fullmatch(name))
    assert f"conflict: a.txt changed on both sides; one version is now {copy}" in ran.err
    other.sync().ok()
    for machine in (one, other):
        assert (machine.all()["a.txt"], machine.all()[copy]) == (THERE, HERE)
    assert copy in one.there()


def test_the_same_change_on_both_sides_is_no_conflict(one: Machine, other: Machine):
    one.write("a.txt", HERE)
    one.sync().ok()
    other.write("a.txt", HERE)
    os.utime(other.top / "a.txt", ns=(0, 10**18))
    found: Any = other.client.quick(
        "--json", "sync", "--two-way", other.folder, other.remote
    ).json()
    assert (found["direction"], found["conflicts"], found["files"]) == ("both", [], 0)
    assert sorted(other.all()) == ["a.txt", "b", "e", "sub", "sub/c", "sub/d"]


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("winner", "content"), [("local", HERE), ("remote", THERE), ("newer", THERE)]
)
def test_the_version_that_is_replaced_is_kept(
    one: Machine, other: Machine, winner: str, content: bytes
):
    os.utime(one.write("a.txt", HERE), ns=(0, 10**18))
    os.utime(other.write("a.txt", THERE), ns=(0, 2 * 10**18))
    other.sync().ok()
    one.sync("--conflict", winner).ok()
    assert one.all()["a.txt"] == content
    assert one.client.cat(f"{one.remote}/a.txt") == content
    if content == THERE:
        (kept,) = (one.client.profile / "trash").rglob("a.txt")
        assert kept.read_bytes() == HERE
    else:
        old = one.client.quick("cat", "--version", "2", f"{one.remote}/a.txt").ok().out
        assert old == THERE


def test_a_change_beats_a_removal(one: Machine, other: Machine):
    one.write("a.txt", HERE)
    (one.top / "b").unlink()
    (other.top / "a.txt").unlink()
    other.write("b", THERE)
    other.sync().ok()
    one.sync("--conflict", "local").ok()
    other.sync().ok()
    assert one.all() == other.all()
    assert (one.all()["a.txt"], one.all()["b"]) == (HERE, THERE)


def test_a_file_and_a_folder_of_one_name_are_both_kept(one: Machine, other: Machine):
    (one.top / "a.txt").unlink()
    one.write("a.txt/inside", HERE)  # the other machine did not touch the file
    one.write("x", HERE)
    shutil.rmtree(one.top / "sub")
    one.write("sub", HERE)  # nor the folder
    other.write("x/inside", THERE)
    other.sync().ok()
    one.sync("--max-delete", "100%").ok()
    other.sync("--max-delete", "100%").ok()
    assert one.all() == other.all()
    found = one.all()
    assert (found["a.txt/inside"], found["sub"], found["x/inside"]) == (HERE, HERE, THERE)
    (copy,) = (name for name in found if name.startswith("x (conflict "))
    assert found[copy] == HERE


def test_the_first_sync_removes_nothing(one: Machine, client: Client):
    second = Machine(client, "second")
    second.write("b", THERE)
    second.write("mine", HERE)
    second.sync().ok()
    assert set(second.there()) == set(second.all()) >= {"a.txt", "b", "mine", "sub/c", "e"}


@pytest.mark.cases(2)
@pytest.mark.parametrize("emptied", ["here", "there", "no folder"])
def test_nothing_is_removed_if_one_side_has_lost_everything(one: Machine, emptied: str):
    before, there = one.all(), one.there()
    if emptied == "there":
        one.client.quick("rm", "-r", *(f"{one.remote}/{name}" for name in ("a.txt", "b"))).ok()
        one.client.quick("rm", "-r", f"{one.remote}/sub", f"{one.remote}/e").ok()
        one.sync("--max-delete", "100%").fails(CONFLICT, "remote folder", "has no files any longer")
        assert one.all() == before
        return
    shutil.rmtree(one.top)
    if emptied == "here":
        one.top.mkdir()
        one.sync("--max-delete", "100%").fails(CONFLICT, "local folder", "has no files any longer")
    else:
        one.sync().fails(NOT_FOUND, "the last sync left 5 files there", "disk not mounted")
    assert one.there() == there


def test_many_removals_need_a_confirmation(one: Machine):
    for name in ("a.txt", "b", "e"):
        (one.top / name).unlink()
    one.write("new", HERE)
    there = one.there()
    ran = one.sync().fails(CONFLICT, "would remove 0 of 3 local files and 3 of 5 remote files")
    assert "nothing was changed" in ran.err
    one.sync("--max-delete", "2").fails(CONFLICT, "--max-delete")
    assert one.there() == there
    plan = one.sync("-n").ok()
    rows = [line.split(maxsplit=4) for line in plan.text.splitlines()]
    assert rows[0] == ["ACTION", "SIDE", "SIZE", "PATH"]
    assert ["put", "remote", "11", "B", f"{one.remote}/new"] in rows
    assert ["remove", "remote", f"{one.remote}/a.txt"] in rows
    assert len({line.index(one.remote) for line in plan.text.splitlines()[1:]}) == 1
    assert one.there() == there
    one.sync("--max-delete", "3").ok()
    assert one.there() == ["new", "sub", "sub/c", "sub/d"]


def test_a_terminal_asks_before_many_removals(one: Machine):
    for name in ("a.txt", "b", "e"):
        (one.top / name).unlink()
    there = one.there()
    for answer, status in (("n", 1), ("y", 0)):
        with Terminal(one.client, "sync", "--two-way", one.folder, one.remote) as terminal:
            terminal.wait_for("[y/N]")
            terminal.type(f"{answer}\r")
            assert terminal.ends() == status
        assert one.there() == (["sub", "sub/c", "sub/d"] if answer == "y" else there)


def test_the_execute_bit_goes_both_ways_without_the_content(one: Machine, other: Machine):
    (one.top / "b").chmod(0o755)
    (other.top / "e").chmod(0o755)
    for machine in (one, other, one):
        ran = machine.sync().ok()
        assert "synchronised 0 files" in ran.err
    for machine in (one, other):
        assert (machine.top / "b").stat().st_mode & 0o111
        assert (machine.top / "e").stat().st_mode & 0o111
        assert not (machine.top / "a.txt").stat().st_mode & 0o111
    (other.top / "b").chmod(0o644)
    other.sync().ok()
    one.sync().ok()
    assert not (one.top / "b").stat().st_mode & 0o111


def test_folders_that_take_new_keys_are_synchronised(
    one: Machine, other: Machine, newcomer: Callable[[], Client]
):
    """After a share has ended, each folder below it takes a new key at its next change."""
    one.write("sub/deep/f", FIRST)
    one.sync().ok()
    member = newcomer().enrol()
    one.client.quick("share", one.remote, member.name).ok()
    one.client.quick("unshare", one.remote, member.name, "--yes").ok()
    shutil.rmtree(one.top / "sub")
    one.write("new/f", HERE)
    one.write("a.txt", HERE)
    one.sync("--max-delete", "100%").ok()
    assert one.there() == sorted(one.all())
    assert "sub" not in one.all()
    other.sync("--max-delete", "100%").ok()
    assert other.all() == one.all()


def test_what_the_sync_must_not_touch_stays(one: Machine, other: Machine):
    """Excluded files, special files, and names that only one side can hold."""
    one.write("sub/skip.tmp", HERE)
    os.mkfifo(one.top / "fifo")
    odd = one.top / os.fsdecode(b"not\xffutf-8")
    odd.write_bytes(HERE)
    shutil.rmtree(other.top / "sub")
    other.sync().ok()
    ran = one.sync("--exclude", "*.tmp")
    ran.fails(USAGE, "cannot be put under its name", "fifo")
    assert sorted(path.name for path in (one.top / "sub").iterdir()) == ["skip.tmp"]
    assert odd.exists()
    assert one.there() == ["a.txt", "b", "e"]


def test_an_interrupted_sync_is_finished_by_the_next_one(one: Machine, other: Machine):
    for number in range(60):
        one.write(f"many/{number:02}", b"%d" % number)
        other.write(f"others/{number:02}", b"%d" % number)
    one.write("many/large", bytes(48 << 20))
    (other.top / "b").unlink()
    other.sync().ok()
    process = one.client.start("sync", "--two-way", one.folder, one.remote)
    while one.client.quick("ls", f"{one.remote}/many").status != 0 and process.poll() is None:
        pass
    process.kill()
    process.communicate()
    one.sync().ok()
    other.sync().ok()
    assert one.all() == other.all()
    assert one.there() == sorted(one.all())
    assert "b" not in one.all()
    found: Any = one.client.quick("--json", "sync", "--two-way", one.folder, one.remote).json()
    assert (found["files"], found["removed"], found["conflicts"]) == (0, 0, [])


def test_options_that_do_not_go_together(one: Machine):
    for option in ("--down", "--delete", "--force", "--checksum"):
        one.sync(option).fails(USAGE, f"{option} does not go with --two-way")
    one.client.quick("sync", "--conflict", "local", "one", one.remote).fails(USAGE, "--two-way")
    one.sync("--max-delete", "half").fails(USAGE, "The limit 'half' of --max-delete")


@pytest.mark.cases(1)
@pytest.mark.parametrize("seed", range(3))
def test_random_edits_on_two_machines_lose_nothing(client: Client, seed: int):
    """What a user wrote is in the end on both machines, unless a user replaced or removed it."""
    random = Random(seed)
    machines = [Machine(client, f"{name}{seed}") for name in ("one", "two")]
    for machine in machines:
        machine.top.mkdir()
    machines[0].write("start", FIRST)
    written, may_go = {FIRST}, set[bytes]()
    for number in range(36):
        machine = random.choice(machines)
        before = contents(machine)
        edit(random, machine, f"{seed}.{number} {'x' * random.randrange(9)}".encode())
        written |= contents(machine)
        may_go |= before - contents(machine)
        if random.random() < 0.3:
            random.choice(machines).sync("--max-delete", "100%")
    for machine in (*machines, *machines):
        machine.write("never empty", b"")
        machine.sync("--max-delete", "100%").ok()
    one, two = machines
    assert one.all() == two.all()
    assert one.there() == sorted(one.all())
    assert written - may_go <= contents(one)
    found: Any = client.quick("--json", "sync", "--two-way", one.folder, one.remote).json()
    assert (found["files"], found["folders"], found["removed"]) == (0, 0, 0)


def contents(machine: Machine) -> set[bytes]:
    return {content for content in machine.all().values() if content is not None}


def edit(random: Random, machine: Machine, content: bytes) -> None:
    """Write, rename or remove something, as a user or an editor does."""
    path = machine.top / random.choice(["a", "b", "d/a", "d/b", "d/e/a", "f/a", "f"])
    there = [one for one in machine.top.rglob("*") if one.name not in ("start", "never empty")]
    match random.randrange(5):
        case 0 if there:
            gone = random.choice(there)
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        case 1 if there and not path.exists() and path.parent.is_dir():
            moved = random.choice(there)
            if not path.is_relative_to(moved):
                moved.rename(path)
        case _:
            for above in (path.parent, machine.top / "d", machine.top / "f"):
                if above.is_file():
                    above.unlink()
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.rmtree(path)
            path.with_name("saved~").write_bytes(content)
            path.with_name("saved~").rename(path)
