"""Several commits are in flight concurrently, and the first of them fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from fsclient.connection.retry import Timeouts
from fsclient.transfer.up import batch
from fsclient.tree import commit
from fsproto.errors import ConnectionLost, OutOfSpaceError
from fsproto.messages import Message
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, Lookup
from tests.support.hostile_server import HostileServer, Lie, Said
from tests.support.world import Person, World, finish, until

BATCH = 3
"""Changes in each commit of these tests."""
COUNT = BATCH * (batch.COMMITS_AHEAD + 3) + 1
"""Total number of changes: more commits than can be in flight concurrently."""
AT_ONCE = Timeouts(silence_s=20, give_up_s=30, first_pause_s=0.001, longest_pause_s=0.01)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCH_CHANGES", BATCH)


class First(Lie):
    """A server that does something when the first commit arrives, before it checks the commit."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act: Callable[[], object] | None = act

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        if isinstance(ask, Commit) and self._act is not None:
            act, self._act = self._act, None
            act()
        return honestly(ask)


class Forgets(Lie):
    """A server that confirms the first commit and does not make it."""

    def __init__(self) -> None:
        self.commits = 0

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        self.commits += isinstance(ask, Commit)
        return Done() if isinstance(ask, Commit) and self.commits == 1 else honestly(ask)


def many(alice: Person, folder: str = "many") -> list[str]:
    """Write as many files as take several commits; return their names."""
    names = [f"{n:03}" for n in range(COUNT)]
    for name in names:
        alice.write(f"{folder}/{name}", name.encode())
    return names


def named(person: Person, folder: str) -> list[str]:
    return person.run("ls", folder).succeeds().decode().split()


def test_a_new_folder_is_put_while_another_person_changes_its_parent(
    world: World, liar: HostileServer
) -> None:
    alice = world.alice
    names, other = many(alice), alice.write("other", b"other")
    liar.lie = First(lambda: finish(alice.start("put", other, "other")).succeeds())
    alice.run("put", alice.folder / "many", "/").succeeds()
    assert named(alice, "many") == names
    assert alice.cat("other") == b"other"


@pytest.mark.parametrize("folders", [True, False])
def test_what_was_sent_beside_a_commit_that_is_refused_is_seen_to(
    world: World, liar: HostileServer, folders: bool
) -> None:
    def refuse() -> None:
        raise OutOfSpaceError("No room.")

    alice = world.alice
    for n in range(COUNT):
        alice.write(f"many/{n // BATCH}/{n}" if folders else f"many/{n}", b"x")
    made = [f"many/{n}" for n in range(COUNT // BATCH + 1)] if folders else []
    alice.run("mkdir", "many", *made).succeeds()
    liar.lie = First(refuse)
    told = alice.run("put", alice.folder / "many", "/")
    assert told.status == 9
    assert f"None of {BATCH} files that went with it was put." in told.err
    inside = [name for folder in made or ["many"] for name in named(alice, folder)]
    assert len(inside) == BATCH * batch.COMMITS_AHEAD


def test_a_server_that_forgets_what_it_has_said_is_made_is_caught_by_its_next_answer(
    world: World, liar: HostileServer
) -> None:
    alice = world.alice
    many(alice, "reports")
    liar.lie = lie = Forgets()
    told = alice.run("put", alice.folder / "reports", "/").fails(7)
    assert "OLDER STATE" in told
    # The client signs nothing on top of the older state.
    # The commits ahead of the answer, and one commit from before the client read the answer.
    assert lie.commits <= batch.COMMITS_AHEAD + 2


class Mute(Lie):
    """A server that makes the first removals, confirms none, and then ends the connection."""

    def __init__(self) -> None:
        self._left = batch.COMMITS_AHEAD
        self._mute = False

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        self._mute = isinstance(ask, Commit) and bool(ask.removals) and self._left > 0
        return honestly(ask)

    def says(self, said: Said) -> Iterable[Said]:
        if not self._mute:
            yield said
            return
        self._mute, self._left = False, self._left - 1
        if not self._left:
            raise ConnectionLost


def test_removals_of_which_nobody_has_told_are_not_taken_for_somebody_elses(
    world: World, liar: HostileServer
) -> None:
    alice = world.alice
    names = many(alice)
    alice.run("put", alice.folder / "many", "/").succeeds()
    for name in names[1:]:
        (alice.folder / "many" / name).unlink()
    alice.patience = AT_ONCE
    liar.lie = Mute()
    alice.run("sync", "--delete", alice.folder / "many", "many").succeeds()
    assert named(alice, "many") == names[:1]


class MadeLate(Lie):
    """A server that makes the first commit only after it was asked over the next connection."""

    def __init__(self) -> None:
        self._make: Callable[[], object] | None = None
        self.made = 0

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        if isinstance(ask, Commit) and not self.made and self._make is None:
            self._make = lambda: honestly(ask)
            raise ConnectionLost
        answer = honestly(ask)
        if isinstance(ask, Lookup) and self._make is not None:
            make, self._make = self._make, None
            make()
            self.made += 1
        return answer


@pytest.mark.usefixtures("_whole_folder")
def test_a_folder_that_an_earlier_send_makes_late_is_no_attack(
    world: World, liar: HostileServer
) -> None:
    alice = world.alice
    alice.patience = AT_ONCE
    names = many(alice)[:BATCH]
    for name in many(alice)[BATCH:]:
        (alice.folder / "many" / name).unlink()
    liar.lie = late = MadeLate()
    alice.run("put", alice.folder / "many", "many").succeeds()
    assert late.made == 1
    assert named(alice, "many") == names


@pytest.fixture
def _whole_folder(_small_batches: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCH_CHANGES", BATCH + 2)


class LosesCommits(Lie):
    """A server that ends the connection at each commit, and makes none."""

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        if isinstance(ask, Commit):
            raise ConnectionLost
        return honestly(ask)


def test_commits_that_are_lost_each_time_are_no_conflict_with_others(
    world: World, liar: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "_TRIES", 10)
    world.alice.patience = AT_ONCE
    liar.lie = LosesCommits()
    told = world.alice.run("put", world.alice.write("new", b"new"), "new")
    assert (told.status, "others" in told.err) == (3, False)
    # The server may not have read the last commit yet; after an honest answer it would be made.
    until(lambda: not liar.connections, "the server has ended every connection")
    liar.lie = Lie()
    assert b"new" not in world.alice.run("ls").succeeds()
