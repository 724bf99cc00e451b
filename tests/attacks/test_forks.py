"""The server forks a folder between people or devices, and tries to join the branches again.

Known from: Li, Krohn, Mazières, Shasha, "Secure Untrusted Data Repository (SUNDR)" (OSDI 2004): a
fork, once made, must stay a fork for ever. The server here is an honest one whose operator puts
another database in its place for a while.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsproto.errors import RollbackError
from fsproto.messages.base import Failure
from fsproto.messages.files import Found, Lookup
from fsproto.messages.history import Lineage
from fsproto.names import parse_path
from tests.support.hostile_server import HostileServer, Lie, Rewrites
from tests.support.world import Person, World

TWO = "TWO DIFFERENT HISTORIES"


class Branches:
    """The databases of a server, one for each branch; the server shows one at a time."""

    def __init__(self, world: World, folder: Path) -> None:
        """Start with the world as it is, on the branch `main`."""
        self._world, self._folder, self.now = world, folder, "main"

    def fork(self, name: str) -> None:
        """Copy the branch that is shown now to a new name; the current one stays shown."""
        for suffix in ("", "-wal"):
            there = self._database(suffix)
            if there.exists():
                shutil.copy(there, self._folder / f"{name}.db{suffix}")

    @contextmanager
    def shown(self, name: str = "main") -> Iterator[HostileServer]:
        """Run a server that shows a branch."""
        if name != self.now:
            self.fork(self.now)
            for suffix in ("", "-wal", "-shm"):
                self._database(suffix).unlink(missing_ok=True)
                if (self._folder / f"{name}.db{suffix}").exists():
                    shutil.copy(self._folder / f"{name}.db{suffix}", self._database(suffix))
            self.now = name
        with HostileServer(self._world.home) as server:
            self._world.meet(server.address)
            yield server

    def _database(self, suffix: str) -> Path:
        return self._world.home / f"fsd.db{suffix}"


@pytest.fixture
def branches(team: World, tmp_path: Path) -> Branches:
    return Branches(team, tmp_path)


def device(person: Person, to: Path) -> Person:
    """Return another device of a person, which has seen all that this device has seen."""
    return person.copy(to)


def writes(person: Person, *paths: str) -> None:
    for path in paths:
        person.run("put", person.write("new", path.encode()), path).succeeds()


@pytest.mark.cases(1)
@pytest.mark.parametrize("versions", [1, 2, 5])
def test_branches_of_two_people_are_never_joined(
    team: World, branches: Branches, versions: int
) -> None:
    """Alice removes a draft and puts a file; bob, on another branch, writes as often or more."""
    with branches.shown():
        team.alice.run("ls", "reports").succeeds()
        branches.fork("bob's")
        team.alice.run("rm", "reports/q2.txt").succeeds()
        writes(team.alice, "reports/signed.txt")
    with branches.shown("bob's"):
        writes(team.bob, *(f"alice:reports/bob{number}.txt" for number in range(1 + versions)))
        for args in (
            ("ls", "reports"),
            ("cat", "reports/q2.txt"),
            ("cat", "reports/signed.txt"),
            ("get", "reports", team.alice.folder / "all"),
            ("put", team.alice.write("x", b"x"), "reports/x.txt"),
            ("rm", "reports/q1.txt"),
            ("mv", "reports/q1.txt", "q1.txt"),
        ):
            assert TWO in team.alice.run(*args).fails(7), args
        with_all = team.alice.folder / "all"
        assert not list(with_all.rglob("*.txt"))
    with branches.shown("main"):
        assert team.alice.cat("reports/signed.txt") == b"reports/signed.txt"
        team.bob.run("ls", "alice:reports").fails(7)


def test_versions_of_a_file_are_never_joined(team: World, branches: Branches) -> None:
    with branches.shown():
        team.alice.cat("reports/q1.txt")
        branches.fork("bob's")
        writes(team.alice, "reports/q1.txt")
    with branches.shown("bob's"):
        for _ in range(3):
            writes(team.bob, "alice:reports/q1.txt")
        for args in (("cat", "reports/q1.txt"), ("history", "reports/q1.txt")):
            assert TWO in team.alice.run(*args).fails(7)


def test_a_removed_member_never_comes_back_by_another_device(
    team: World, branches: Branches, tmp_path: Path
) -> None:
    """The phone sees the older branch and changes the members; the laptop must not seal to bob."""
    with branches.shown():
        phone = device(team.alice, tmp_path / "phone")
        branches.fork("phone's")
        team.alice.run("unshare", "--now", "reports", "bob").succeeds()
    with branches.shown("phone's") as server:
        phone.meet(server.address)
        for change in ("unshare", "share") * 2:
            phone.run(change, "reports", "carol").succeeds()
        writes(phone, "reports/by-phone.txt")
        secret = team.alice.write("secret", b"not for bob")
        for path in ("reports/secret.txt", "reports/deep/secret.txt"):
            assert team.alice.run("put", secret, path).fails(7)
        assert TWO in team.alice.run("shares", "reports").fails(7)
        assert team.bob.run("cat", "alice:reports/secret.txt").fails(5)


def test_a_sync_deletes_nothing_on_another_branch(team: World, branches: Branches) -> None:
    with branches.shown():
        here = team.alice.folder / "here"
        team.alice.run("sync", "--down", here, "reports").succeeds()
        branches.fork("bob's")
        writes(team.alice, "reports/signed.txt")
        team.alice.run("sync", "--down", here, "reports").succeeds()
    with branches.shown("bob's"):
        writes(team.bob, "alice:reports/a.txt", "alice:reports/b.txt", "alice:reports/c.txt")
        team.alice.run("sync", "--down", "--delete", here, "reports").fails(7)
        assert (here / "signed.txt").read_bytes() == b"reports/signed.txt"
        team.alice.run("sync", "--delete", here, "reports").fails(7)
        assert team.bob.cat("alice:reports/a.txt") == b"alice:reports/a.txt"


def test_an_overtaken_answer_may_not_be_older_than_versions_seen_before_the_request(
    team: World, server: HostileServer
) -> None:
    """While a command waits, another command sees newer versions; then the server rolls back."""
    with team.bob.session() as session:
        tree = session.tree
        folder = tree.find(parse_path("alice:reports")).keyed
        tokens = folder.tokens("q1.txt")
        first = session.connection.call(Lookup(folder.node, tokens), Found)
        writes(team.alice, "reports/q1.txt")
        assert team.bob.cat("alice:reports/q1.txt") == b"reports/q1.txt"
        asked = session.memory.mark()
        second = session.connection.call(Lookup(folder.node, tokens), Found)
        writes(team.alice, "reports/q1.txt")
        assert team.bob.cat("alice:reports/q1.txt") == b"reports/q1.txt"
        with pytest.raises(RollbackError, match="OLDER STATE"):
            tree.verified_view(folder, tokens, first, asked)
        tree.verified_view(folder, tokens, second, asked)


# --- what a server can send as a proof


def _no_hash(answer: Lineage) -> Lineage:
    return replace(answer, hashes=b"")


def _one_less(answer: Lineage) -> Lineage:
    return replace(answer, hashes=answer.hashes[32:])


def _one_more(answer: Lineage) -> Lineage:
    return replace(answer, hashes=answer.hashes + bytes(32))


def _cut(answer: Lineage) -> Lineage:
    return replace(answer, hashes=answer.hashes[:-1])


def _another(answer: Lineage) -> Lineage:
    return replace(answer, hashes=answer.hashes[:-1] + bytes([answer.hashes[-1] ^ 1]))


def _turned(answer: Lineage) -> Lineage:
    return replace(answer, hashes=answer.hashes[32:] + answer.hashes[:32])


def _endless(answer: Lineage) -> Lineage:
    return replace(answer, more=True)


@pytest.mark.cases(3)
@pytest.mark.parametrize("lie", [_no_hash, _one_less, _one_more, _cut, _another, _turned, _endless])
def test_a_broken_absent_or_endless_proof_is_refused(
    team: World, server: HostileServer, lie: Callable[[Lineage], Lineage]
) -> None:
    team.alice.run("ls", "reports").succeeds()
    writes(team.bob, *(f"alice:reports/bob{number}.txt" for number in range(4)))
    server.lie = Rewrites(Lineage, lie)
    team.alice.run("ls", "reports").fails(7, 8)
    server.lie = Lie()
    assert b"bob3.txt" in team.alice.run("ls", "reports").succeeds()


def test_a_refused_proof_is_reported_in_one_sentence(team: World, server: HostileServer) -> None:
    team.alice.run("ls", "reports").succeeds()
    writes(team.bob, *(f"alice:reports/bob{number}.txt" for number in range(4)))
    server.lie = Rewrites(Lineage, lambda _: Failure("not-found", "There is nothing.", "", 0))
    team.alice.run("ls", "reports").fails(8)


# --- after an honest restore


def test_after_a_restored_backup_a_person_can_continue(team: World, branches: Branches) -> None:
    with branches.shown():
        branches.fork("backup")
        writes(team.alice, "reports/signed.txt")
        team.alice.run("rm", "reports/q2.txt").succeeds()
    with branches.shown("backup"):
        assert "OLDER STATE" in team.alice.run("ls", "reports").fails(7)
        shown = team.alice.run("doctor", "reports")
        assert shown.status == 7
        said = shown.out.decode()
        assert "reports: the folder's entries" in said
        assert "by alice" in said
        assert "reports/signed.txt: missing" in said
        assert "reports/q2.txt: comes back; this machine had removed it" in said
        team.alice.run("ls", "reports").fails(7)  # listing the folder does not accept the fork
        team.alice.run("doctor", "archive").succeeds()
        team.alice.run("doctor", "reports", "--accept", "--yes").succeeds()
        team.alice.run("doctor", "reports").succeeds()
        assert b"q2.txt" in team.alice.run("ls", "reports").succeeds()
        writes(team.alice, "reports/signed.txt")
        assert team.alice.cat("reports/signed.txt") == b"reports/signed.txt"
    with branches.shown("main"):
        assert TWO in team.alice.run("ls", "reports").fails(7)


def test_doctor_puts_back_what_a_local_folder_has(team: World, branches: Branches) -> None:
    alice = team.alice
    local = alice.folder / "copy"
    for name, content in (("new.txt", b"new"), ("deep/newer.txt", b"newer"), ("q1.txt", b"again")):
        alice.write(f"copy/{name}", content)
    with branches.shown():
        branches.fork("backup")
        alice.run("put", *sorted(local.iterdir()), "reports").succeeds()
        writes(alice, "reports/only there.txt")
        alice.run("rm", "reports/q2.txt").succeeds()
    with branches.shown("backup"):
        shown = alice.run("--json", "doctor", "reports", "--local", local)
        told = {
            (one["path"], one["effect"], one["local"])
            for one in json.loads(shown.out.splitlines()[0])
        }
        assert told == {
            ("reports", None, None),
            ("reports/deep", None, None),
            ("reports/deep/newer.txt", "lost", str(local / "deep/newer.txt")),
            ("reports/new.txt", "lost", str(local / "new.txt")),
            ("reports/only there.txt", "lost", None),
            ("reports/q1.txt", "replaced", str(local / "q1.txt")),
            ("reports/q2.txt", "back", None),
        }
        alice.run("doctor", "reports", "--local", local, "--accept", "--yes").succeeds()
        alice.run("doctor", "reports").succeeds()
        for name, content in (("new.txt", b"new"), ("deep/newer.txt", b"newer")):
            assert alice.cat(f"reports/{name}") == content
        assert alice.cat("reports/q1.txt") == b"again"
        alice.run("cat", "reports/only there.txt").fails(5)


def test_a_person_is_asked_before_another_branch_is_accepted(
    team: World, branches: Branches
) -> None:
    with branches.shown():
        branches.fork("backup")
        writes(team.alice, "reports/signed.txt")
    with branches.shown("backup"):
        refused = team.alice.run("doctor", "reports", "--accept")
        assert refused.status == 2
        assert "must be confirmed" in refused.err
        team.alice.run("ls", "reports").fails(7)


def test_after_a_restore_with_an_older_key_log_a_person_can_continue(
    team: World, branches: Branches
) -> None:
    with branches.shown():
        branches.fork("backup")
        team.carol.run("keys", "rotate", otp=team.carol.app.fresh()).succeeds()
        team.alice.run("ls").succeeds()
    with branches.shown("backup"):
        assert "OLDER KEY LOG" in team.alice.run("ls").fails(7)
        assert "OLDER KEY LOG" in team.alice.run("doctor").fails(7)
        team.alice.run("doctor", "--accept-key-log", "--accept", "--yes").succeeds()
        team.alice.run("ls").succeeds()


def test_a_lost_memory_is_reported_once(team: World, server: HostileServer) -> None:
    for path in team.alice.profile.glob("memory.db*"):
        path.unlink()
    ran = team.alice.run("ls", "reports")
    ran.succeeds()
    assert "has lost its memory of the versions that it has seen" in ran.err
    again = team.alice.run("ls", "reports")
    again.succeeds()
    assert again.err == ""


def test_an_older_copy_of_the_memory_is_reported_once(team: World, server: HostileServer) -> None:
    memory = team.alice.profile / "memory.db"
    team.alice.run("ls", "reports").succeeds()
    assert not list(team.alice.profile.glob("memory.db-*"))
    older = memory.read_bytes()
    team.alice.run("mkdir", "reports/new").succeeds()
    memory.write_bytes(older)
    ran = team.alice.run("ls", "reports")
    ran.succeeds()
    assert "is older than its last use" in ran.err
    again = team.alice.run("ls", "reports")
    again.succeeds()
    assert again.err == ""


def test_a_comparison_with_the_server_is_not_taken_for_the_memory(
    team: World, server: HostileServer
) -> None:
    """`doctor` reads the tree with a memory of its own, which knows more and is not kept."""
    team.alice.forget()
    team.alice.run("doctor").succeeds()
    team.alice.run("doctor").succeeds()
    ran = team.alice.run("ls", "/")
    ran.succeeds()
    assert "older" not in ran.err
