"""The data directory: private, one daemon at a time, and clear errors if it is unusable."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import text

from fsd.home.home import Home, HomeBusyError, HomeError
from fsd.store.engine import Database, DatabaseError
from fsproto.errors import FsError, IntegrityError, NotAllowedError
from tests.support.confined import in_child, lose_locks, only_root, only_with_seccomp
from tests.support.servers import environment

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory to copy: generating a host key is slow."""
    path = tmp_path_factory.mktemp("prepared") / "home"
    Home(path).prepare()
    return path


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Home:
    return Home(shutil.copytree(prepared, tmp_path / "home"))


def use(home: Home) -> None:
    home.prepare()
    home.host_key()
    home.master_key()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_everything_in_it_is_the_owners_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        home = Home(tmp_path / "deep" / "home")
        home.prepare()
        home.note_run("127.0.0.1:1", None)
        with home.lock():
            pass
    finally:
        os.umask(before)
    assert mode(home.path) == mode(home.blobs) == 0o700
    secrets = {path.name: mode(path) for path in home.path.iterdir() if path.is_file()}
    assert {"host.key", "master.key", "run.json", "log.key"} <= set(secrets)
    assert {name: bits for name, bits in secrets.items() if name != "fsd.lock"} == {
        "host.key": 0o600,
        "log.key": 0o600,
        "master.key": 0o600,
        "run.json": 0o600,
    }


@posix
def test_an_empty_folder_or_a_home_that_is_open_to_others_is_closed(tmp_path, home):
    empty = tmp_path / "empty"
    empty.mkdir()
    empty.chmod(0o755)
    Home(empty).prepare()
    home.path.chmod(0o777)
    home.prepare()
    assert mode(empty) == mode(home.path) == 0o700


@posix
def test_a_folder_of_somebody_elses_things_is_neither_taken_nor_closed(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    (tmp_path / "shared" / "file").write_text("of others")
    with pytest.raises(HomeError, match="holds other things"):
        Home(tmp_path / "shared").prepare()
    assert mode(tmp_path / "shared") == 0o755
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["file"]
    (tmp_path / "shared").chmod(0o700)
    Home(tmp_path / "shared").prepare()


def test_keys_are_made_once_and_stay(home):
    host, master = home.host_key().public, home.master_key()
    again = Home(home.path)
    again.prepare()
    assert (again.host_key().public, again.master_key()) == (host, master)
    assert len(master) == 32


def test_two_homes_have_nothing_in_common(tmp_path, home):
    other = Home(tmp_path / "other")
    other.prepare()
    assert other.master_key() != home.master_key()
    assert other.host_key().public != home.host_key().public


def test_nothing_half_written_stays(home):
    assert not [path for path in home.path.iterdir() if path.name.startswith(".")]


_HOLDER = """
import sys
from pathlib import Path
from fsd.home.home import Home
with Home(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_home_in_use_by_another_process_is_refused_and_free_when_that_dies(home):
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HomeBusyError, match="Another fsd") as refusal, home.lock():
            pass
        assert refusal.value.hint
        holder.kill()
    with home.lock():
        pass


def test_a_file_in_place_of_the_folder_is_one_clean_error(tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(HomeError, match="cannot be used as a home") as refusal:
        Home(tmp_path / "home").prepare()
    assert refusal.value.hint
    with pytest.raises(HomeError):
        Home(tmp_path / "home" / "below").prepare()


@pytest.mark.parametrize("name", ["blobs", "host.key", "master.key"])
def test_something_else_in_place_of_a_part_is_one_clean_error(home, name):
    part = home.path / name
    if part.is_dir():
        part.rmdir()
        part.write_text("a file")
    else:
        part.unlink()
        part.mkdir()
    with pytest.raises((HomeError, IntegrityError)):
        use(home)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Drop root's rights for a block, because permission bits do not restrict root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@only_with_seccomp
@pytest.mark.parametrize("lock", ["lock", "maintenance", "keys"])
def test_a_file_system_without_locks_is_not_taken_for_another_process(home, lock):
    def act() -> tuple[type[HomeError], str, str]:
        try:
            with getattr(home, lock)():
                raise AssertionError
        except HomeError as error:
            return type(error), error.sentence, error.hint or ""

    kind, sentence, hint = in_child(lose_locks, act)
    assert kind is HomeError
    assert "cannot lock files" in sentence
    assert "local disk" in hint


@only_with_seccomp
def test_a_database_that_cannot_be_locked_is_not_waited_for(tmp_path):
    def act() -> tuple[str, str]:
        with (
            pytest.raises(DatabaseError) as refused,
            closing(Database(f"sqlite:///{tmp_path}/fsd.db")) as database,
            database.read() as db,
        ):
            db.execute(text("SELECT 1"))
        return refused.value.sentence, refused.value.hint or ""

    started = time.monotonic()
    sentence, hint = in_child(lose_locks, act)
    assert "cannot lock files" in sentence
    assert "local disk" in hint
    assert time.monotonic() - started < 10


@only_root
def test_a_home_on_a_read_only_or_full_disk_has_a_status_and_a_remedy(tmp_path):
    for options, status, remedy in (("ro", 6, "for writing"), ("size=4k", 9, "Free some space")):
        mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(tmp_path)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("A READ-ONLY HOME IS NOT TESTED: mounting is not allowed here")
        try:
            with pytest.raises(FsError) as refused:
                Home(tmp_path / "home").prepare()
        finally:
            subprocess.run(["umount", "-l", str(tmp_path)], check=True)
        assert refused.value.exit_status == status, refused.value.sentence
        assert remedy in (refused.value.hint or "")


@posix
def test_a_home_that_may_not_be_written_is_one_clean_error():
    with TemporaryDirectory() as folder:  # pytest's own folder is closed to other users
        Path(folder).chmod(0o555)
        with as_nobody(), pytest.raises(HomeError, match="Permission denied") as refusal:
            Home(Path(folder) / "home").prepare()
        with as_nobody(), pytest.raises(HomeError, match=r"permitted|denied"):
            Home(Path(folder)).prepare()
    assert refusal.value.hint
    assert refusal.value.exit_status == NotAllowedError.exit_status


@posix
def test_a_data_directory_of_another_user_is_one_clean_error():
    with TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.prepare()
        Path(folder).chmod(0o755)
        home.path.chmod(0o000)
        with as_nobody():
            for act in (home.prepare, home.host_key, home.master_key):
                with pytest.raises(HomeError, match="Permission denied"):
                    act()
        home.path.chmod(0o700)


@pytest.mark.parametrize("damage", [b"", b"nonsense", bytes(2000)])
def test_a_damaged_host_key_is_reported_and_not_replaced(home, damage):
    (home.path / "host.key").write_bytes(damage)
    home.prepare()
    with pytest.raises(IntegrityError, match="not a host key"):
        home.host_key()
    assert (home.path / "host.key").read_bytes() == damage


@pytest.mark.parametrize("damage", [b"", b"short", bytes(31), bytes(33)])
def test_a_damaged_master_key_is_reported_and_not_replaced(home, damage):
    (home.path / "master.key").write_bytes(damage)
    home.prepare()
    with pytest.raises(IntegrityError, match="not a master key"):
        home.master_key()
    assert (home.path / "master.key").read_bytes() == damage


def test_a_host_key_cut_short_anywhere_is_damage(home):
    whole = (home.path / "host.key").read_bytes()
    for length in range(0, len(whole), 97):
        (home.path / "host.key").write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            home.host_key()


@pytest.mark.parametrize("left", [b"", b"{", b"[]", b"null", b'"text"', b'{"address": 1}', b"\xff"])
def test_a_damaged_note_of_the_last_run_is_no_note(home, left):
    (home.path / "run.json").write_bytes(left)
    assert home.last_run() == {}


def test_the_last_run_is_remembered(home):
    assert home.last_run() == {}
    home.note_run("[::1]:65432", None)
    assert home.last_run() == {"address": "[::1]:65432"}


def test_a_host_key_that_has_gone_missing_is_not_replaced(tmp_path: Path):
    home = Home(tmp_path / "home")
    home.prepare()
    (home.path / "host.key").unlink()
    with pytest.raises(HomeError, match="host key is missing"):
        home.prepare()
    assert not (home.path / "host.key").exists()
