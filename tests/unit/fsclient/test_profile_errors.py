"""Errors for unusable files of a profile: the reason, and what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fsclient.profile import Profile
from fsclient.session.one_login import one_login
from fsclient.trust.pins import PinStore
from fsclient.trust.seen import SeenVersions
from fsproto.errors import FsError
from tests.support.confined import (
    STRANGER,
    become_stranger,
    in_child,
    lose_locks,
    only_root,
    only_with_seccomp,
    open_place,
)

Said = tuple[int, str, str]
"""Exit status, sentence, hint."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """The folder of a profile that every user can reach, with the databases in it."""
    with open_place() as home:
        folder = home / "profiles" / "default"
        folder.mkdir(parents=True)
        for path in (home / "profiles", folder):
            path.chmod(0o755)
        databases(folder)
        (folder / "session").write_text("00 1\n")
        yield folder


def databases(folder: Path) -> None:
    SeenVersions(folder / "memory.db").close()
    PinStore(folder / "people.db").close()


def logging_in(folder: Path) -> None:
    with one_login(folder / "login.lock", b"source"):
        pass


def said(act: Callable[[], object]) -> Said:
    try:
        act()
    except FsError as error:
        return error.exit_status, error.sentence, error.hint or ""
    return 0, "", ""


def of_profile(folder: Path) -> Profile:
    return Profile(folder.parent.parent, folder.name)


ACTS: dict[str, Callable[[Path], object]] = {
    "memory.db": lambda folder: SeenVersions(folder / "memory.db"),
    "people.db": lambda folder: PinStore(folder / "people.db"),
    "session": lambda folder: of_profile(folder).keep_ticket(bytes(32), 1),
    "end": lambda folder: of_profile(folder).drop_ticket(),
    "login.lock": logging_in,
}


@only_root
@pytest.mark.parametrize("act", ACTS)
def test_a_profile_of_another_user_is_named_with_its_owner(folder, act):
    status, sentence, hint = in_child(become_stranger, lambda: said(lambda: ACTS[act](folder)))
    assert (status, str(folder) in sentence) == (6, True), sentence
    assert "belongs to the user root" in hint
    assert "--home or FSCLIENT_HOME" in hint


@only_root
@pytest.mark.parametrize("left", ["memory.db", "memory.db-shm", "memory.db-wal"])
def test_a_file_that_root_has_left_in_a_profile_is_named(folder, left):
    for path in (folder, *folder.iterdir()):
        os.chown(path, STRANGER, STRANGER)
    (folder / left).touch()
    (folder / left).chmod(0o600)
    os.chown(folder / left, 0, 0)
    status, _, hint = in_child(
        become_stranger, lambda: said(lambda: SeenVersions(folder / "memory.db"))
    )
    assert status == 6
    assert hint.startswith(f"'{folder / left}' belongs to the user root")


@only_root
@pytest.mark.parametrize("act", ACTS)
def test_a_profile_without_the_right_to_write_is_the_users_own_to_mend(folder, act):
    for path in (folder, *folder.iterdir()):
        os.chown(path, STRANGER, STRANGER)
    folder.chmod(0o500)
    status, _, hint = in_child(become_stranger, lambda: said(lambda: ACTS[act](folder)))
    assert status == 6
    assert hint.endswith(f"chmod -R u+rwX '{folder}'")


@only_root
@pytest.mark.parametrize("act", ACTS)
def test_a_profile_on_a_read_only_file_system_can_be_copied(folder, act):
    bound = ["mount", "--bind", "-o", "ro", str(folder), str(folder)]
    if subprocess.run(bound, capture_output=True, check=False).returncode:
        pytest.skip("A READ-ONLY PROFILE IS NOT TESTED: mounting is not allowed here")
    try:
        status, sentence, hint = said(lambda: ACTS[act](folder))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    assert status == 6
    assert "is on a file system that cannot be written" in sentence
    assert "copy its folder" in hint
    assert "--home or FSCLIENT_HOME" in hint


@only_root
@pytest.mark.parametrize("act", sorted(ACTS.keys() - {"end"}))
def test_a_profile_on_a_full_disk_needs_space(tmp_path, act):
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("A FULL DISK IS NOT TESTED: mounting is not allowed here")
    try:
        folder = tmp_path / "profiles" / "default"
        folder.mkdir(parents=True)
        filler = tmp_path / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(tmp_path).free))
        status, sentence, hint = said(lambda: ACTS[act](folder))
        if act == "login.lock":  # an empty file
            assert status == 0
            return
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
    assert status == 9, sentence
    assert "no space left" in sentence
    assert "Free some space" in hint


@only_with_seccomp
@pytest.mark.parametrize("is_new", [False, True], ids=["there", "new"])
@pytest.mark.parametrize("act", ["memory.db", "people.db", "login.lock"])
def test_a_profile_on_a_file_system_without_locks_must_move(folder, act, is_new):
    if is_new:
        (folder / act).unlink(missing_ok=True)
    started = time.monotonic()
    status, sentence, hint = in_child(lose_locks, lambda: said(lambda: ACTS[act](folder)))
    assert status == 6
    assert "cannot lock files" in sentence
    assert "local disk" in hint
    assert "--home or FSCLIENT_HOME" in hint
    assert time.monotonic() - started < 10  # a lock of another command is waited for longer


def test_a_lock_of_another_command_is_waited_for(folder):
    path = folder / "memory.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        freed = threading.Timer(0.5, other.close)
        freed.start()
        SeenVersions(path).close()
        freed.join()


@pytest.mark.parametrize("store", [SeenVersions, PinStore])
def test_a_database_of_a_newer_version_asks_for_an_update(tmp_path, store):
    path = tmp_path / "x.db"
    store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {store.format + 1}")
    status, sentence, hint = said(lambda: store(path))
    assert status == 1
    assert "newer version" in sentence
    assert "Update fsclient" in hint


@pytest.mark.parametrize("store", [SeenVersions, PinStore])
def test_a_folder_that_is_missing_or_in_the_way_is_named(tmp_path, store):
    assert said(lambda: store(tmp_path / "no" / "x.db"))[:2] == (
        5,
        f"The local '{tmp_path / 'no' / 'x.db'}' does not exist.",
    )
    (tmp_path / "x.db").mkdir()
    assert said(lambda: store(tmp_path / "x.db"))[:2] == (
        2,
        f"The local '{tmp_path / 'x.db'}' is a folder.",
    )
    assert "move away" in said(lambda: store(tmp_path / "x.db"))[2]
    (tmp_path / "file").touch()
    assert said(lambda: store(tmp_path / "file" / "x.db"))[0] == 5


@pytest.mark.parametrize("store", [SeenVersions, PinStore])
def test_a_command_that_holds_a_database_for_long_is_told_apart(tmp_path, store, monkeypatch):
    monkeypatch.setattr("fsclient.trust.sqlite._BUSY_S", 0.05)
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        status, sentence, hint = said(lambda: store(path))
    assert status == 8
    assert "Another command" in sentence
    assert "Wait for its end" in hint
