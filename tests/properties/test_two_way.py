"""Plans of a two-way sync, carried out on models of two machines and a server.

A file is a number that says what is in it; each number is written once. Whatever two machines do
between their syncs, no number that was the newest anywhere may disappear unless its file was
removed by a user, or replaced by one who had it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.pairs.state import (
    FORMAT,
    PairState,
    SyncedFile,
    SyncedFolder,
    synced_file,
)
from fsclient.transfer.twoway.moves import BETWEEN, Checks, Listed, Move, find_moves, moved
from fsclient.transfer.twoway.plan import Do, Plan, RemoteFile, Resolve, plan, to_compare
from fsproto.sealed.manifest import Mode
from fsproto.types import NodeId, Root

ROUNDS = 8
IDS = count(1)
EMPTY = PairState(FORMAT, complete=False, files={})


class Side(dict[str, int | None]):
    """Entries by path; None is a folder. Each has an id: the number of a file or node."""

    def __init__(self, entries: Mapping[str, int | None] | None = None) -> None:
        super().__init__(entries or {})
        self.ids: dict[str, int] = {"": 0} | {path: next(IDS) for path in self}

    def place(self, path: str, content: int | None, *, is_new: bool = False) -> None:
        """Place an entry; a file that is written keeps its id unless it `is_new`."""
        kept = path in self and content is not None and self[path] is not None and not is_new
        self[path] = content
        self.ids[path] = self.ids[path] if kept else next(IDS)

    def remove(self, path: str) -> None:
        del self[path], self.ids[path]

    def move(self, old: str, new: str) -> None:
        entries, ids = moved(self, old, new), moved(self.ids, old, new)
        self.clear()
        self.update(entries)
        self.ids = ids

    def below(self, path: str) -> list[str]:
        return [one for one in self if one == path or one.startswith(f"{path}/")]


def local_facts(content: int, inode: int = 0) -> LocalStat:
    return LocalStat(5, content * 1_000_000, Mode.REGULAR, inode)


def remote_file(content: int) -> RemoteFile:
    return RemoteFile(5, content * 1_000_000, Mode.REGULAR, Root(content.to_bytes(32, "big")))


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(16, "big"))


class Stopped(Exception):
    """The sync is interrupted."""


class Machine:
    """A local folder with the state that its last sync left."""

    def __init__(self, *, moves: bool = True) -> None:
        self.here = Side()
        self.last = EMPTY
        self.moves = moves
        self.killed = False
        self.copied: list[int | None] = []
        """The sent and received contents."""

    def local(self) -> dict[str, LocalStat | None]:
        return {
            path: None if one is None else local_facts(one, self.here.ids[path])
            for path, one in self.here.items()
        }

    def found_moves(self, there: Side) -> list[Move]:
        def same(of: NodeId, path: str) -> bool:
            (found,) = (one for one in there if node(there.ids[one]) == of)
            return there[found] == self.here[path]

        nodes = {path: node(number) for path, number in there.ids.items()}
        listed = Listed(self.local(), remote(there), self.here.ids, nodes)
        return find_moves(listed, self.last, Checks(same, lambda _, to: to != node(10**9)))

    def plan(self, there: Side, resolve: Resolve = Resolve.BOTH) -> Plan:
        local, remotes = self.local(), remote(there)
        maybe = to_compare(local, remotes, self.last)
        equal = {path for path in maybe if self.here[path] == there[path]}
        return plan(local, remotes, self.last, equal=equal, resolve=resolve, mark="conflict")

    def sync(
        self,
        there: Side,
        *,
        stop_after: int = 10**6,
        killed: bool = False,
        resolve: Resolve = Resolve.BOTH,
    ) -> int:
        """Do what the plans say, at most some steps; return how many were done.

        A sync that is killed has not stored what it did.
        """
        steps, before, self.killed = Steps(stop_after), self.last, killed
        try:
            for _ in range(ROUNDS):
                if not self.round(there, steps, resolve):
                    break
            else:
                raise AssertionError("The rounds do not end.")
        except Stopped:
            if killed:
                self.last = before
            return steps.done
        self.last = PairState(FORMAT, True, self.last.files, self.last.folders)
        assert {*self.last.files, *self.last.folders} == set(self.here)
        return steps.done

    def round(self, there: Side, steps: Steps, resolve: Resolve) -> bool:
        if self.moves and (found := self.found_moves(there)):
            self.do_moves(there, found, steps)
            return True
        planned = self.plan(there, resolve)
        removals = planned.all(Do.REMOVE_HERE) + planned.all(Do.REMOVE_THERE)
        assert self.last.complete or not removals
        for step in in_order(planned):
            steps.count()
            self.do(there, step.do, step.path, step.to)
        return planned.again

    def do_moves(self, there: Side, found: list[Move], steps: Steps) -> None:
        """Do moves as a sync does them: first all remote ones."""
        done: list[Move] = []
        try:
            for move in sorted(found, key=lambda move: move.here):
                steps.count()
                side = self.here if move.here else there
                for folder in move.folders:
                    assert is_folder(side, folder)
                    side.place(folder, None)
                assert is_folder(side, move.new)
                if move.replaces:
                    side.remove(move.new)
                for at, (old, new) in enumerate(move.changes):
                    if at and move.here and self.killed:  # a disk renames one file at a time
                        steps.count()
                    to = new.replace(BETWEEN, "between")
                    assert to not in side
                    side.move(old.replace(BETWEEN, "between"), to)
                done.append(move)
        finally:
            for move in found:
                if move in done:
                    self.note_moved(move)

    def note_moved(self, move: Move) -> None:
        files, folders = dict(self.last.files), dict(self.last.folders)
        if move.replaces:
            del files[move.new]
        for old, new in move.changes:
            files, folders = moved(files, old, new), moved(folders, old, new)
        self.last = PairState(FORMAT, self.last.complete, files, folders)

    def do(self, there: Side, do: Do, path: str, to: str) -> None:
        here = self.here
        match do:
            case Do.RENAME_HERE:
                assert to not in here
                assert to not in there
                here.move(path, to)
            case Do.RENAME_THERE:
                assert to not in here
                assert to not in there
                there.move(path, to)
            case Do.MAKE_HERE | Do.MAKE_THERE:
                side = here if do is Do.MAKE_HERE else there
                assert path not in side
                assert is_folder(side, path)
                side.place(path, None)
            case Do.PUT:
                assert there.get(path, 0) is not None
                assert is_folder(there, path)
                there.place(path, here[path])
                self.copied.append(here[path])
            case Do.GET:
                assert here.get(path, 0) is not None
                assert is_folder(here, path)
                here.place(path, there[path], is_new=True)
                self.copied.append(here[path])
            case Do.REMOVE_HERE | Do.REMOVE_THERE:
                side = here if do is Do.REMOVE_HERE else there
                assert side.below(path) == [path]
                side.remove(path)
        self.remember(there, path)

    def remember(self, there: Side, path: str) -> None:
        files, folders = dict(self.last.files), dict(self.last.folders)
        files.pop(path, None)
        folders.pop(path, None)
        if path in self.here and path in there:
            content, ids = self.here[path], (self.here.ids[path], there.ids[path])
            if content is None:
                folders[path] = SyncedFolder(node(ids[1]), ids[0])
            else:
                files[path] = known(content, *ids)
        self.last = PairState(FORMAT, self.last.complete, files, folders)

    def edit(self, path: str, content: int | None) -> None:
        """Write a file (a number), remove the entry (None), or make a folder (0)."""
        above = path.rpartition("/")[0]
        if content is not None and above and self.here.get(above, 0) is not None:
            self.edit(above, 0)
        if content == 0 and self.here.get(path, 1) is None:
            return
        if content and self.here.get(path) is not None:
            self.here.place(path, content)
            return
        for one in self.here.below(path):
            self.here.remove(one)
        if content is not None:
            self.here.place(path, content or None)

    def rename(self, old: str, new: str) -> None:
        """Rename an entry, in an existing folder, to a free name."""
        folder = new.rpartition("/")[0]
        is_there = not folder or self.here.get(folder, 0) is None
        is_free = not self.here.below(new) and not new.startswith(f"{old}/")
        if old in self.here and is_there and is_free:
            self.here.move(old, new)

    def replace(self, old: str, new: str) -> None:
        """Rename a file over another one."""
        if old != new and self.here.get(old) is not None and self.here.get(new) is not None:
            self.here.remove(new)
            self.here.move(old, new)

    def exchange(self, one: str, other: str) -> None:
        """Let two files change places."""
        if one != other and self.here.get(one) is not None and self.here.get(other) is not None:
            for old, new in ((one, "t"), (other, one), ("t", other)):
                self.here.move(old, new)


class Steps:
    """Counts steps, and stops after some."""

    def __init__(self, most: int) -> None:
        self.most, self.done = most, 0

    def count(self) -> None:
        if self.done == self.most:
            raise Stopped
        self.done += 1


def remote(there: Side) -> dict[str, RemoteFile | None]:
    return {path: None if one is None else remote_file(one) for path, one in there.items()}


def known(content: int, inode: int, number: int) -> SyncedFile:
    root = remote_file(content).root
    return synced_file(local_facts(content, inode), root, node=node(number))


def is_folder(side: Side, path: str) -> bool:
    above = path.rpartition("/")[0]
    return not above or side.get(above, 0) is None


def in_order(found: Plan) -> list:
    """Return the steps in the order in which the sync does them: removals are last."""
    order = list(Do)
    return sorted(found.steps, key=lambda step: order.index(step.do))


PATHS = st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f", "f/a", "f/e"])
RENAMED = st.tuples(st.sampled_from(["to", "over", "with"]), PATHS).map(" ".join)
KINDS = st.one_of(st.sampled_from(["file", "folder", "gone"]), RENAMED)
EDITS = st.lists(st.tuples(st.booleans(), PATHS, KINDS), max_size=8)
Edits = list[tuple[bool, str, str]]


def edited(machine: Machine, path: str, what: str, number: int) -> None:
    how, _, other = what.partition(" ")
    if other:
        ways = {"to": machine.rename, "over": machine.replace, "with": machine.exchange}
        ways[how](path, other)
    else:
        machine.edit(path, {"file": number, "folder": 0, "gone": None}[what])


@given(
    st.lists(st.tuples(EDITS, st.integers(0, 12), st.booleans()), min_size=1, max_size=4), st.data()
)
def test_nothing_that_was_newest_is_lost_and_all_become_equal(
    episodes: list[tuple[Edits, int, bool]], data: st.DataObject
):
    machines, there, number = (Machine(), Machine()), Side(), 0
    may_go: set[int] = set()
    written: set[int] = set()
    for edits, stop_after, killed in episodes:
        for second, path, what in edits:
            machine, number = machines[second], number + 1
            before = set(machine.here.values())
            edited(machine, path, what, number)
            written |= {number} & set(machine.here.values())
            # A user who had it replaced or removed it.
            may_go |= {one for one in before - set(machine.here.values()) if one is not None}
        interrupted = machines[data.draw(st.booleans(), "interrupted")]
        interrupted.sync(there, stop_after=stop_after, killed=killed)
    for machine in (*machines, *machines):
        machine.sync(there)
        assert machine.here == there
        assert machine.sync(there) == 0
    assert machines[0].here == machines[1].here == there
    assert written - may_go <= set(there.values())


@given(EDITS, EDITS, st.sampled_from(list(Resolve)))
def test_two_sides_become_equal_however_conflicts_are_decided(
    first: Edits, then: Edits, resolve: Resolve
):
    machine, other, there = Machine(), Machine(), Side()
    for number, (edits, again) in enumerate(((first, False), (then, True))):
        for at, (second, path, what) in enumerate(edits, 1):
            changed = other if second else machine
            edited(changed, path, what, 1000 * number + at)
        there.clear()
        there.update(other.here)
        there.ids = dict(other.here.ids)
        machine.sync(there, resolve=resolve)
        assert machine.here == there
        assert machine.sync(there) == 0
        other.here = Side(there)
        other.here.ids = dict(there.ids)
        assert again or not machine.plan(there).steps


RENAMES = st.lists(st.tuples(PATHS, PATHS, st.booleans()), min_size=1, max_size=5)


@given(RENAMES, st.booleans())
def test_what_only_one_side_has_moved_is_never_sent_again(
    renames: list[tuple[str, str, bool]], over_there: bool
):
    machine, there = Machine(), Side()
    for path, number in (("a", 1), ("b", 5), ("d/a", 2), ("d/b", 6), ("d/e/a", 3), ("f/a", 4)):
        machine.edit(path.rpartition("/")[0] or "x", 0)
        machine.edit(path, number)
    machine.sync(there)
    machine.copied.clear()
    ids = there.ids if over_there else machine.here.ids
    mover = Machine()
    mover.here = there if over_there else machine.here
    used: set[str] = set(mover.here)
    for old, new, is_exchange in renames:
        if is_exchange:
            mover.exchange(old, new)
        elif new not in used:  # a name that was used before may mean either
            mover.rename(old, new)
            used |= set(mover.here)
    assert set(ids.values()) == set(mover.here.ids.values())
    machine.sync(there)
    assert machine.here == there
    assert machine.copied == []
    assert len({*there.values()} - {None}) == 6


@given(st.permutations(["a", "b", "d/a", "d/b"]), st.integers(0, 4), st.booleans())
def test_files_in_any_order_over_each_other_are_never_sent_again(
    order: list[str], over: int, over_there: bool
):
    machine, there = Machine(), Side()
    machine.edit("d", 0)
    names = ["a", "b", "d/a", "d/b"]
    for number, path in enumerate(names, 1):
        machine.edit(path, number)
    machine.sync(there)
    machine.copied.clear()
    mover = Machine()
    mover.here = there if over_there else machine.here
    for number, path in enumerate(names):
        mover.here.move(path, str(number))
    for number, path in enumerate(order):
        if number >= over:  # the others are gone
            mover.here.move(str(number), path)
        else:
            mover.here.remove(str(number))
    expected = dict(mover.here)
    machine.sync(there)
    assert machine.here == there == expected
    assert machine.copied == []
