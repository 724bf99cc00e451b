"""`sync` and changes on both sides: it replaces only what the last sync of the two folders left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.client_processes import CONFLICT, SECURITY, Client, Ran
from tests.support.fixed_keys import stretch

MIB = 1 << 20
FIRST, HERE, THERE = b"first", b"edited here", b"edited there, by another machine"


class Machine:
    """One of two local folders that are synchronised with the same remote one."""

    def __init__(self, client: Client, folder: str) -> None:
        self.client, self.folder, self.remote = client, folder, f"{client.room}/docs"

    def up(self, *options: str) -> Ran:
        return self.client.quick("sync", *options, self.folder, self.remote)

    def down(self, *options: str) -> Ran:
        return self.client.quick("sync", "--down", *options, self.folder, self.remote)

    def write(self, name: str, content: bytes) -> Path:
        return self.client.write(f"{self.folder}/{name}", content)

    def read(self, name: str) -> bytes:
        return (self.client.folder / self.folder / name).read_bytes()

    def there(self, name: str) -> bytes:
        return self.client.cat(f"{self.remote}/{name}")

    def remove(self, name: str) -> None:
        (self.client.folder / self.folder / name).unlink()

    def trash(self) -> dict[str, bytes]:
        """Return the files in the trash of this test, by their path from the top folder."""
        found = self.client.profile / "trash"
        return {
            "/".join(path.relative_to(found).parts[1:]): path.read_bytes()
            for path in found.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def one(client: Client) -> Machine:
    """The machine that has put three files."""
    shutil.rmtree(client.profile / "trash", ignore_errors=True)
    machine = Machine(client, "one")
    for name in ("a", "sub/b", "sub/c"):
        machine.write(name, FIRST)
    machine.up().ok()
    return machine


@pytest.fixture
def other(one: Machine) -> Machine:
    """Another machine, which has got them."""
    machine = Machine(one.client, "other")
    machine.down().ok()
    return machine


# --- up


@pytest.mark.cases(1)
@pytest.mark.parametrize("size", [len(THERE), MIB + 5], ids=["small", "large"])
def test_an_edit_that_this_machine_never_saw_is_not_replaced(one, other, size):
    edited = stretch("edited", size)
    other.write("sub/b", edited)
    other.up().ok()
    one.write("sub/b", HERE)
    one.write("a", HERE)
    ran = one.up().fails(CONFLICT, "docs/sub/b' has changed on both sides since the last sync")
    assert one.there("sub/b") == edited
    assert one.there("a") == HERE  # one file's conflict does not stop the others
    assert "--force" in ran.err
    assert one.up().status == CONFLICT  # as often as it is tried
    assert one.there("sub/b") == edited


def test_a_stale_copy_does_not_undo_an_edit(one, other):
    other.write("a", THERE)
    other.up().ok()
    ran = one.up().fails(CONFLICT, "docs/a' has changed since the last sync; it was not replaced.")
    assert "both sides" not in ran.err
    assert one.there("a") == THERE
    one.down().ok()
    assert one.read("a") == THERE
    one.write("a", HERE)
    one.up().ok()  # it has seen the edit now


def test_with_force_the_edit_is_replaced_and_stays_in_the_history(one, other):
    other.write("a", THERE)
    other.up().ok()
    one.write("a", HERE)
    one.up("--force").ok()
    assert one.there("a") == HERE
    old = one.client.quick("cat", "--version", "2", f"{one.remote}/a").ok().out
    assert old == THERE
    one.write("a", FIRST)
    one.up().ok()


def test_the_same_edit_on_both_sides_is_no_conflict(one, other):
    for machine in (one, other):
        os.utime(machine.write("a", HERE), ns=(0, 10**18))
    other.up().ok()
    one.up().ok()
    os.utime(machine.write("a", THERE), ns=(0, 10**18))
    other.up().ok()
    os.utime(one.write("a", THERE), ns=(0, 2 * 10**18))  # only the time differs
    one.up().ok()


def test_a_change_through_another_program_counts_too(one):
    one.client.write("a", THERE)
    one.client.quick("put", "a", f"{one.remote}/").ok()
    one.write("a", HERE)
    one.up().fails(CONFLICT, "on both sides")
    assert one.there("a") == THERE


@pytest.mark.cases(1)
@pytest.mark.parametrize("options", [(), ("--checksum",)])
def test_an_edit_that_keeps_size_and_time_is_seen(one, other, options):
    path = one.client.folder / "one/a"
    before = path.stat().st_mtime_ns
    os.utime(other.write("a", b"FIRST"), ns=(0, before))
    other.up("--checksum").ok()
    one.write("a", HERE)
    one.up(*options).fails(CONFLICT, "on both sides")
    assert one.there("a") == b"FIRST"


def test_the_first_sync_replaces_no_file_that_differs(client: Client):
    client.write("put/a", THERE)
    client.quick("put", "put/a", f"{client.room}/docs/").ok()
    one = Machine(client, "one")
    one.write("a", HERE)
    one.write("b", HERE)
    one.up().fails(CONFLICT, "docs/a' differs, and was not in the last sync from here")
    assert (one.there("a"), one.there("b")) == (THERE, HERE)
    one.up("--force").ok()
    assert one.there("a") == HERE


def test_the_first_sync_with_delete_makes_the_target_like_the_source(client: Client):
    client.write("put/a", THERE)
    client.write("put/b", THERE)
    client.quick("put", "put/a", "put/b", f"{client.room}/docs/").ok()
    shutil.rmtree(client.profile / "trash", ignore_errors=True)
    one = Machine(client, "one")
    one.write("a", HERE)
    one.write("c", HERE)
    one.down("--delete").ok()
    assert (one.read("a"), one.trash()) == (THERE, {"a": HERE, "c": HERE})
    other = Machine(client, "other")
    other.write("a", HERE)
    other.up("--delete").ok()
    assert client.names(other.remote) == ["a"]
    assert other.there("a") == HERE


# --- down


@pytest.mark.cases(1)
@pytest.mark.parametrize("size", [len(HERE), 5 * MIB], ids=["small", "large"])
def test_an_edit_that_was_not_sent_is_not_replaced(one, other, size):
    unsent = stretch("unsent", size)
    one.write("sub/b", unsent)
    other.write("sub/b", THERE)
    other.write("a", THERE)
    other.up().ok()
    one.down().fails(CONFLICT, "'one/sub/b' has changed on both sides since the last sync")
    assert (one.read("sub/b"), one.read("a")) == (unsent, THERE)
    ran = one.down("--force").ok()
    assert one.read("sub/b") == THERE
    assert one.trash() == {"sub/b": unsent}
    assert "moved 1 local file to " in ran.err
    one.down().ok()
    assert one.trash() == {"sub/b": unsent}


def test_an_edit_is_not_undone_where_the_server_has_nothing_new(one):
    one.write("a", HERE)
    one.down().fails(CONFLICT, "'one/a' has changed since the last sync; it was not replaced.")
    assert one.read("a") == HERE
    one.up().ok()
    assert one.there("a") == HERE


def test_the_trash_keeps_files_of_one_name_apart(one):
    for content in (HERE, THERE):
        one.write("a", content)
        one.down("--force").ok()
    kept = sorted((one.client.profile / "trash").rglob("a"))
    assert [path.read_bytes() for path in kept] == [HERE, THERE]
    assert (one.client.profile / "trash").stat().st_mode & 0o777 == 0o700


def test_a_link_that_was_changed_is_kept_as_a_link(one, other):
    (one.client.folder / "one/link").symlink_to("first")
    one.up().ok()
    other.down().ok()
    link = other.client.folder / "other/link"
    link.unlink()
    link.symlink_to("edited")
    other.down().fails(CONFLICT, "'other/link' has changed")
    other.down("--force").ok()
    assert link.readlink() == Path("first")
    trash = one.client.profile / "trash"
    (kept,) = (path for path in trash.rglob("*") if path.is_symlink())
    assert kept.readlink() == Path("edited")


def test_a_file_that_is_saved_while_the_new_one_arrives_is_not_replaced(one, other):
    """The edit comes after the comparison: between the lines of `--verbose` and the end."""
    large = stretch("large", 24 * MIB)
    for name in ("sub/b", "sub/c"):
        other.write(name, large)
    other.up().ok()
    client = one.client
    process = client.start("sync", "--down", "-v", "one", one.remote)
    assert process.stderr is not None
    while b"sub/c" not in process.stderr.readline():
        pass
    one.write("sub/c", HERE)
    err = process.communicate()[1].decode()
    assert process.returncode == CONFLICT, err
    assert "'one/sub/c' changed during the sync; it was not replaced." in err
    assert (one.read("sub/c"), one.read("sub/b")) == (HERE, large)


# --- removals


def test_a_file_that_changed_elsewhere_is_not_removed(one, other):
    other.write("a", THERE)
    other.write("sub/new", THERE)
    other.up().ok()
    one.remove("a")
    ran = one.up("--delete")
    ran.fails(
        CONFLICT,
        "docs/a' has changed on both sides",
        "docs/sub/new' is new since",
    )
    assert (one.there("a"), one.there("sub/new")) == (THERE, THERE)
    one.up("--delete", "--force").ok()
    assert one.client.names(one.remote) == ["sub/"]
    assert one.client.names(f"{one.remote}/sub") == ["b", "c"]


def test_a_folder_is_not_removed_with_a_change_inside(one, other):
    other.write("sub/deep/new", THERE)
    other.up().ok()
    shutil.rmtree(one.client.folder / "one/sub")
    one.up("--delete").fails(CONFLICT, "docs/sub/deep/new' is new since the last sync")
    one.write("sub", b"a file in place of the folder")
    one.up("--delete").fails(CONFLICT, "docs/sub/deep/new' is new since the last sync")
    assert one.there("sub/deep/new") == THERE
    one.up("--delete", "--force").ok()


def test_what_the_last_sync_left_is_removed_without_a_question(one, other):
    one.remove("a")
    shutil.rmtree(one.client.folder / "one/sub")
    one.up("--delete").ok()
    assert one.client.names(one.remote) == []
    other.down("--delete").ok()
    assert not list((other.client.folder / "other").iterdir())
    assert other.trash() == {}


def test_a_local_edit_is_not_removed_and_a_new_file_goes_to_the_trash(one, other):
    one.remove("a")
    one.up("--delete").ok()
    other.write("a", HERE)
    other.write("sub/new", HERE)
    other.down("--delete").fails(CONFLICT, "'other/a' has changed on both sides since")
    assert (other.read("a"), other.read("sub/new")) == (HERE, HERE)
    other.down("--delete", "--force").ok()
    assert other.trash() == {"a": HERE, "sub/new": HERE}
    other.write("sub/new", HERE)
    ran = other.down("--delete").ok()
    assert "moved 1 local file to " in ran.err


# --- what is remembered


def test_a_dry_run_shows_the_conflicts_and_remembers_nothing(one, other):
    other.write("a", THERE)
    other.up().ok()
    one.write("a", HERE)
    state = {path: path.read_bytes() for path in (one.client.profile / "sync").iterdir()}
    one.up("-n").fails(CONFLICT, "on both sides")
    one.up("-n", "--force").ok()
    assert state == {path: path.read_bytes() for path in (one.client.profile / "sync").iterdir()}
    one.up().fails(CONFLICT, "on both sides")


def test_what_an_interrupted_sync_has_sent_is_remembered(one):
    """A file is edited after the sync was stopped: the part that it sent is its own."""
    for number in range(40):
        one.write(f"many/{number:02}", b"first")
    one.write("many/zz", stretch("large", 64 * MIB))
    process = one.client.start("sync", "one", one.remote)
    while one.client.quick("ls", f"{one.remote}/many").status != 0 and process.poll() is None:
        pass
    process.terminate()
    process.communicate()
    one.write("many/00", HERE)
    one.remove("many/zz")
    one.up().ok()
    assert one.there("many/00") == HERE


def test_no_name_stands_in_the_clear_in_the_profile(one):
    name = "a name too long to stand in random bytes by chance"
    one.write(name, FIRST)
    one.up().ok()
    states = list((one.client.profile / "sync").iterdir())
    assert states
    for path in states:
        assert name.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_state_is_an_error_that_says_what_to_do(one):
    for path in (one.client.profile / "sync").iterdir():
        if not path.name.endswith(".lock"):
            *sealed, last = path.read_bytes()
            path.write_bytes(bytes([*sealed, last ^ 1]))
    one.write("a", HERE)
    one.up().fails(SECURITY, "is damaged", "Delete it")
    assert one.there("a") == FIRST


def test_two_syncs_of_one_pair_do_not_run_at_once(one):
    one.write("large", stretch("large", 64 * MIB))
    process = one.client.start("sync", "-v", "one", one.remote)
    assert process.stderr is not None
    while b"put" not in process.stderr.readline():
        pass
    one.up().fails(CONFLICT, "Another sync of these two folders is running.")
    process.terminate()
    process.communicate()


def test_the_state_survives_a_key_rotation(one, other):
    one.client.quick("keys", "rotate", "--otp", one.client.app.fresh()).ok()
    one.write("a", HERE)
    one.up().ok()
    assert one.there("a") == HERE


def test_the_json_result_names_conflicts_and_the_trash(one, other):
    one.write("a", HERE)
    found: Any = one.client.quick("--json", "sync", "--down", "one", one.remote).json()
    assert [failure["error"] for failure in found["failed"]] == ["conflict"]
    assert found["trash"] is None
    found = one.client.quick("--json", "sync", "--down", "--force", "one", one.remote).json()
    assert (Path(found["trash"]) / "a").read_bytes() == HERE
