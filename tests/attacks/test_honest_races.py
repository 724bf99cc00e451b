"""An honest server is not accused, whatever another device does between two questions.

`test_random_teams.py` has found these: the second device acts whole while a question of a command
waits. The command then succeeds, or asks to be given again; it never raises an alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fskit.clock import now_ms
from tests.support.forking_server import ForkingServer, Plan
from tests.support.team import DEEP
from tests.support.team_commands import Device
from tests.support.team_gateway import GatewayDevice
from tests.support.world import Person, Ran, World


@pytest.fixture
def honest(team: World, tmp_path: Path) -> Iterator[ForkingServer]:
    """An honest server that can hold a question back."""
    server = ForkingServer(team.home, tmp_path / "branches", lambda *_: None, now_ms)
    try:
        team.meet(server.branches["main"].server.address)
        yield server
    finally:
        server.close()


@pytest.fixture
def phone(team: World, honest: ForkingServer, tmp_path: Path) -> Person:
    """Alice's second device."""
    return team.alice.copy(tmp_path / "phone")


def between(server: ForkingServer, at: int, inner: Callable[[], Ran]) -> Plan:
    """Return the plan in which another command runs whole while question `at` waits."""

    def run() -> None:
        with server.planned(Plan()):
            inner().succeeds()

    return Plan(pauses={(at, False): run})


def runs(person: Person, *args: str | Path) -> Callable[[], Ran]:
    return lambda: person.run(*args)


def goes_on(
    server: ForkingServer, at: int, inner: Callable[[], Ran], outer: Callable[[], Ran]
) -> Ran:
    """Check that a command raises no alarm when another one runs while question `at` waits."""
    plan = between(server, at, inner)
    with server.planned(plan):
        done = outer()
    assert plan.asked > at, "the command asks less than that"
    assert done.status in (0, 8), done
    return done


STRIKE = ("unshare", "reports", "carol")
PUT = "alice:reports/deep/x.txt"


@pytest.mark.cases(2)
@pytest.mark.parametrize("at", [1, 2, 3, 6, 8, 14])
def test_two_devices_strike_two_people_out(
    team: World, honest: ForkingServer, phone: Person, at: int
) -> None:
    outer = runs(team.alice, "unshare", "--now", "reports", "bob")
    goes_on(honest, at, runs(phone, *STRIKE), outer)


def test_a_share_takes_a_new_key_while_its_owner_lists_the_members(
    team: World, honest: ForkingServer, phone: Person
) -> None:
    goes_on(honest, 2, runs(phone, *STRIKE), runs(team.alice, "shares", "reports"))


@pytest.mark.parametrize("at", [1, 2])
def test_a_share_takes_a_new_key_while_its_owner_makes_a_reader_a_writer(
    team: World, honest: ForkingServer, phone: Person, at: int
) -> None:
    outer = runs(team.alice, "share", "reports", "carol", "--write")
    goes_on(honest, at, runs(phone, "unshare", "reports", "bob"), outer)


@pytest.mark.parametrize("change", [STRIKE, ("rm", "-r", "reports"), ("mv", "reports", "archive/")])
def test_a_share_changes_while_its_owner_compares_it_with_the_memory(
    team: World, honest: ForkingServer, phone: Person, change: tuple[str, ...]
) -> None:
    goes_on(honest, 1, runs(phone, *change), runs(team.alice, "doctor", "reports"))


@pytest.mark.parametrize("change", [("mv", "reports", "archive/"), ("rm", "-r", "reports")])
def test_a_share_is_moved_or_removed_while_its_owner_lists_all_shares(
    team: World, honest: ForkingServer, phone: Person, change: tuple[str, ...]
) -> None:
    goes_on(honest, 1, runs(phone, *change), runs(team.alice, "shares"))


@pytest.mark.parametrize("at", [0, 3])
def test_the_owner_rotates_the_keys_while_a_member_writes(
    team: World, honest: ForkingServer, at: int
) -> None:
    inner = runs(team.alice, "--otp", team.alice.app.fresh(), "keys", "rotate")
    outer = runs(team.bob, "put", team.bob.write("x", b"x"), PUT)
    goes_on(honest, at, inner, outer)


@pytest.mark.cases(2)
@pytest.mark.parametrize(("command", "at"), [("doctor", 1), ("doctor", 4), ("sync", 3), ("mv", 3)])
def test_the_owner_rotates_the_keys_while_a_member_looks(
    team: World, honest: ForkingServer, command: str, at: int
) -> None:
    bob, reports = team.bob, "alice:reports"
    given: tuple[str | Path, ...] = {
        "doctor": ("doctor", reports),
        "sync": ("sync", "--down", "--delete", bob.home / "local", reports),
        "mv": ("mv", f"{reports}/q1.txt", f"{reports}/deep/"),
    }[command]
    inner = runs(team.alice, "--otp", team.alice.app.fresh(), "keys", "rotate")
    goes_on(honest, at, inner, runs(bob, *given))


@pytest.mark.cases(2)
@pytest.mark.parametrize("at", [5, 8, 9, 10])
def test_a_member_writes_while_the_owner_rotates_the_keys(
    team: World, honest: ForkingServer, at: int
) -> None:
    """The renewal of the share is signed again on top of what the member has written."""
    inner = runs(team.bob, "put", team.bob.write("x", b"x"), "alice:reports/x")
    outer = runs(team.alice, "--otp", team.alice.app.fresh(), "keys", "rotate")
    assert goes_on(honest, at, inner, outer).status == 0
    assert team.carol.cat("alice:reports/x") == b"x"


@pytest.mark.parametrize("at", [0, 1])
def test_a_member_rotates_the_keys_and_writes_while_another_one_reads(
    team: World, honest: ForkingServer, at: int
) -> None:
    code, local = team.bob.app.fresh(), team.bob.write("x", b"x")

    def inner() -> Ran:
        team.bob.run("--otp", code, "keys", "rotate").succeeds()
        team.bob.run("put", local, PUT).succeeds()
        return team.bob.run("put", local, "alice:reports/x.txt")

    goes_on(honest, at, inner, runs(team.carol, "cat", "alice:reports/deep/d.txt"))


@pytest.fixture
def nested(team: World, honest: ForkingServer) -> World:
    """A team that also shares a folder in the shared folder."""
    team.alice.run("share", "reports/deep", "bob", "--write").succeeds()
    team.alice.run("share", "reports/deep", "carol").succeeds()
    for one in (team.bob, team.carol):
        one.run("ls", "alice:deep").succeeds()
        one.run("ls", "alice:reports/deep").succeeds()
    return team


@pytest.mark.cases(2)
@pytest.mark.parametrize("rotates", [False, True])
@pytest.mark.parametrize(
    ("path", "at"), [("reports/deep", 8), ("reports/deep", 9), ("reports", 13), ("reports", 14)]
)
def test_a_writer_writes_while_the_owner_removes_another_member_of_a_share_in_a_share(
    nested: World, honest: ForkingServer, path: str, at: int, *, rotates: bool
) -> None:
    """The owner's client reads what the writer has signed after it has drawn a new key itself."""
    bob, local = nested.bob, nested.bob.write("x", b"x")
    code = bob.app.fresh()

    def inner() -> Ran:
        if rotates:
            bob.run("--otp", code, "keys", "rotate").succeeds()
        return bob.run("put", local, "alice:deep/x")

    unshare = runs(nested.alice, "unshare", path, "carol")
    done = goes_on(honest, at, inner, unshare)
    if rotates and done.status:  # the new key was sealed to the writer's former keys
        assert "bob has other keys now" in done.err
        done = unshare()
    assert done.status == 0
    assert nested.alice.cat("reports/deep/x") == b"x"


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("command", "at"), [("doctor", 2), ("doctor", 3), ("ls", 1), ("put", 3), ("mv", 3), ("mv", 4)]
)
@pytest.mark.parametrize("change", [("unshare", "reports", "bob"), ("rm", "-r", "reports")])
def test_a_member_gives_a_command_while_the_access_of_this_member_ends(
    nested: World, honest: ForkingServer, change: tuple[str, ...], command: str, at: int
) -> None:
    bob, path = nested.bob, "alice:reports/q1.txt"
    commands: dict[str, tuple[str | Path, ...]] = {
        "put": ("put", bob.write("x", b"x"), path),
        "mv": ("mv", path, "alice:reports/deep/"),
    }
    given = commands.get(command, (command, "alice:reports"))
    plan = between(honest, at, runs(nested.alice, *change))
    with honest.planned(plan):
        done = bob.run(*given)
    assert plan.asked > at, "the command asks less than that"
    assert done.status in (0, 5, 8), done
    bob.run(*given).fails(5, 6)


@pytest.mark.cases(3)
@pytest.mark.parametrize("at", [2, 5, 6])
@pytest.mark.parametrize("verb", ["mv", "put", "ls", "sync"])
def test_a_share_is_taken_away_while_a_member_uses_it(
    team: World, honest: ForkingServer, verb: str, at: int
) -> None:
    folder, bob = "alice:reports", team.bob
    team.alice.run("share", "reports/deep", "bob").succeeds()
    commands: dict[str, tuple[str | Path, ...]] = {
        "mv": ("mv", f"{folder}/deep/d.txt", f"{folder}/moved"),
        "put": ("put", bob.write("x", b"x"), f"{folder}/deep/x"),
        "ls": ("ls", f"{folder}/deep", folder),
        "sync": ("sync", "--two-way", bob.home / "local", folder),
    }
    bob.run("ls", f"{folder}/deep", "alice:deep").succeeds()
    with honest.planned(between(honest, at, runs(team.alice, "unshare", "reports", "bob"))):
        done = bob.run(*commands[verb])
    assert done.status in (0, 5, 6, 8), done


@pytest.mark.cases(2)
@pytest.mark.parametrize("at", [3, 6, 9])
@pytest.mark.parametrize("verb", ["mv", "unshare", "share"])
def test_a_member_writes_while_the_owner_moves_or_re_keys_the_folder(
    team: World, honest: ForkingServer, verb: str, at: int
) -> None:
    """The owner's change is signed again, on top of a state that a writer has signed.

    The writer may be refused: only the owner can give a new key to a folder with a share in it.
    """
    alice, deep = team.alice, "alice:reports/deep"
    alice.run("share", "reports/deep", "carol").succeeds()
    commands = {
        "mv": ("mv", "reports/deep", "archive/"),
        "unshare": ("unshare", "--now", "reports", "carol"),
        "share": ("share", "reports/deep", "carol", "--write"),
    }
    local, written = team.bob.write("x", b"x"), list[Ran]()

    def write() -> None:
        with honest.planned(Plan()):
            written.append(team.bob.run("put", local, f"{deep}/d.txt"))

    with honest.planned(Plan(pauses={(at, False): write})):
        done = alice.run(*commands[verb])
    assert done.status in (0, 8), done
    assert {one.status for one in written} <= {0, 6, 8}, written
    assert alice.run("ls", "reports").status == 0


@pytest.mark.cases(2)
@pytest.mark.parametrize("at", [2, 3, 4])
@pytest.mark.parametrize("verb", ["find", "du", "sync"])
def test_two_folders_change_places_while_they_are_listed(
    team: World, honest: ForkingServer, phone: Person, verb: str, at: int
) -> None:
    """A folder is in another one first, and above it later."""
    team.alice.run("mkdir", "-p", "outer/inner").succeeds()
    commands = {
        "find": ("find", "/"),
        "du": ("du", "/"),
        "sync": ("sync", "--down", phone.home / "local", "/"),
    }

    def exchange() -> Ran:
        phone.run("mv", "outer/inner", "/").succeeds()
        return phone.run("mv", "outer", "inner/")

    with honest.planned(between(honest, at, exchange)):
        done = team.alice.run(*commands[verb])
    assert done.status in (0, 5, 8), done


@pytest.fixture
def writers(team: World, honest: ForkingServer) -> World:
    """A team that also shares `archive`, in which bob and carol may write."""
    for name in ("bob", "carol"):
        team.alice.run("share", "archive", name, "--write").succeeds()
    for one in (team.bob, team.carol):
        one.run("find", "alice:").succeeds()
    return team


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("verb", "at"),
    [
        *[("ls", 2), ("cat", 2), ("cat", 3), ("get", 2), ("get", 3), ("sync", 2), ("sync", 3)],
        *[("find", 2), ("find", 3), ("history", 3), ("history", 5), ("put", 3), ("put", 4)],
        *[("put", 5), ("mv", 3), ("mv", 4), ("mv", 5), ("mv", 7)],
    ],
)
def test_a_folder_is_moved_to_other_writers_who_write_there_while_it_is_used(
    writers: World, honest: ForkingServer, verb: str, at: int
) -> None:
    """Carol may write in `archive` only: in the place where alice has found it, she may not."""
    alice, bob, carol, deep = writers.alice, writers.bob, writers.carol, "reports/deep"
    local, there = carol.write("x", b"x"), alice.folder / "got"
    commands: dict[str, tuple[str | Path, ...]] = {
        "put": ("put", local, f"{deep}/x"),
        "mv": ("mv", f"{deep}/d.txt", "notes.txt", "archive/"),
        "get": ("get", "reports", there),
        "sync": ("sync", "--down", there, "reports"),
        "find": ("find", "/"),
    }
    given = commands.get(verb, (verb, f"{deep}/d.txt"))

    def inner() -> Ran:
        bob.run("mv", f"alice:{deep}", "alice:archive/").succeeds()
        return carol.run("put", local, "alice:archive/deep/d.txt")

    plan = between(honest, at, inner)
    with honest.planned(plan):
        done = alice.run(*given)
    assert plan.asked > at, "the command asks less than that"
    assert done.status in (0, 5, 8), done
    assert alice.cat("archive/deep/d.txt") == b"x" or verb == "mv"
    alice.run("find", "/").succeeds()


@pytest.mark.cases(2)
@pytest.mark.parametrize("at", [1, 3, 5, 6])
@pytest.mark.parametrize("outer", ["share", "mv"])
def test_a_folder_is_shared_and_moved_to_other_writers_at_once(
    writers: World, honest: ForkingServer, phone: Person, outer: str, at: int
) -> None:
    """Each command looks at the shares before the other one is done; the list names all writers."""
    alice, carol, local = writers.alice, writers.carol, writers.carol.write("x", b"x")
    alice.run("mkdir", "reports/deep/new").succeeds()
    share = runs(alice, "share", "reports/deep/new", "carol")
    move = runs(phone, "mv", "reports/deep", "archive/")
    first, second = (share, move) if outer == "share" else (move, share)
    statuses = set[int]()

    def inner() -> None:
        with honest.planned(Plan()):
            statuses.add(second().status)

    plan = Plan(pauses={(at, False): inner})
    with honest.planned(plan):
        statuses.add(first().status)
    assert plan.asked > at, "the command asks less than that"
    assert statuses <= {0, 5, 8}
    carol.run("put", local, "alice:archive/deep/new/x")
    carol.run("find", "alice:").succeeds()


@pytest.mark.cases(3)
@pytest.mark.parametrize("at", [9, 10, 12, 19])
@pytest.mark.parametrize("there", ["outer/a", "outer/b"])
def test_a_folder_is_shared_while_another_device_moves_something_out_of_it_or_into_it(
    team: World, honest: ForkingServer, phone: Person, there: str, at: int
) -> None:
    """The move sees no list; the one who writes by the other device's list is no forger."""
    alice, bob, carol = team.everybody
    alice.run("mkdir", "-p", "outer/a/x/y", "outer/b").succeeds()
    alice.run("share", "outer/a/x", "carol").succeeds()
    carol.run("find", "alice:").succeeds()
    local = bob.write("x", b"x")

    def inner() -> Ran:
        shared = phone.run("share", there, "bob", "--write")
        if there == "outer/a":
            bob.run("put", local, "alice:a/x/y/early").succeeds()
        return shared

    plan = between(honest, at, inner)
    with honest.planned(plan):
        done = alice.run("mv", "outer/a/x", "outer/b/")
    assert plan.asked > at, "the command asks less than that"
    assert done.status in (0, 8), done
    if there == "outer/b":
        bob.run("put", local, "alice:b/x/y/late").succeeds()
    for one in (alice, phone, bob, carol):
        one.run("find", "alice:").succeeds()


@pytest.mark.parametrize("at", [2, 4])
def test_a_member_writes_while_another_program_of_the_profile_compares(
    writers: World, honest: ForkingServer, at: int
) -> None:
    carol = writers.carol
    local = carol.write("x", b"x")
    inner = runs(carol, "put", local, "alice:archive/old.txt")
    assert goes_on(honest, at, inner, runs(carol, "doctor", "alice:")).status == 0


@pytest.mark.cases(2)
@pytest.mark.parametrize("at", [10, 11, 12, 13])
def test_a_folder_is_moved_while_the_folders_around_it_take_new_keys(
    team: World, honest: ForkingServer, phone: Person, at: int
) -> None:
    """Each answer to requests sent together is read, even if the first is a refusal."""
    outer = runs(team.alice, "unshare", "--now", "reports", "carol")
    goes_on(honest, at, runs(phone, "mv", "reports/deep", "archive/"), outer)


def test_a_folder_was_moved_since_a_running_shell_and_a_gateway_saw_it(
    team: World, honest: ForkingServer, phone: Person
) -> None:
    """Nothing happens at the same time: their next request succeeds."""
    shell, gateway = Device("alice 1", team.alice), GatewayDevice(team.alice, "alice 1")
    deep = {"reports": "archive", "archive": "reports"}
    for here, there in deep.items():
        assert shell.run("cat", f"{here}/deep/d.txt", quickly=True).succeeds() == DEEP
        assert gateway.run("cat", f"/{here}/deep/d.txt", quickly=False).succeeds() == DEEP
        phone.run("mv", f"{here}/deep", f"{there}/").succeeds()
        shell.run("put", phone.write("x", b"x"), f"{there}/deep/{here}", quickly=True).succeeds()
        gateway.run("mv", f"/{there}/deep/{here}", f"/{here}/x", quickly=False).succeeds()
        assert team.alice.cat(f"{here}/x") == b"x"
    shell.close()
    gateway.close()
