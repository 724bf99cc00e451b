"""fsadmin run by root, and without `--home` on a machine that has a server."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import ROOT, RunningServer, is_open_to_all, run

pytestmark = [
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root acts as another user"
    ),
    pytest.mark.skipif(
        not is_open_to_all(ROOT), reason=f"other users cannot read the programs in {ROOT}"
    ),
]

OWNER = pwd.getpwnam("nobody")
PASSPHRASE = {"FSADMIN_PASSPHRASE": "correct horse"}


@contextlib.contextmanager
def new_place() -> Iterator[Path]:
    """Yield a folder that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="fs-owners-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for one test that every user can reach."""
    with new_place() as folder:
        yield folder


@pytest.fixture(scope="module")
def first_home() -> Iterator[Path]:
    """The data directory that the others are copied from."""
    with new_place() as place:
        home = place / "fsd"
        home.mkdir(mode=0o700)
        shutil.chown(home, OWNER.pw_uid, OWNER.pw_gid)
        added = admin(home, "add-user", "alice")
        assert added.returncode == 0, added.stderr
        yield home


@pytest.fixture
def home(first_home: Path, place: Path) -> Path:
    """A data directory that belongs to another user, with one account."""
    subprocess.run(["cp", "-a", first_home, place / "fsd"], check=True)
    return place / "fsd"


def admin(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return run("fsadmin", "--home", str(home), *args, env=PASSPHRASE)


def foreign(home: Path) -> list[Path]:
    """Return what does not belong to the owner of the data directory."""
    return [path for path in (home, *home.rglob("*")) if path.lstat().st_uid != OWNER.pw_uid]


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "command",
    [
        "list-users",
        "add-user bob",
        "rotate-secret alice",
        "rotate-host-key --yes",
        "rotate-master-key",
        "audit verify",
        "check",
        "db upgrade",
        "backup {place}/for-all/backup",
        "doctor",
    ],
)
def test_root_leaves_no_file_of_its_own_in_the_home_of_another_user(home, place, command):
    (place / "for-all").mkdir()
    (place / "for-all").chmod(0o777)
    done = admin(home, *command.format(place=place).split())
    assert done.returncode == 0 or command == "doctor", done.stderr
    assert f"Working as nobody, the owner of {home}." in done.stderr
    assert foreign(home) == []


def test_fsd_started_by_root_leaves_no_file_of_root_in_the_home_of_another_user(home):
    with RunningServer.start(home) as server:
        assert foreign(home) == []
        assert f"working as nobody, the owner of {home}" in server.log
    assert foreign(home) == []


def test_the_audit_log_names_root_as_the_actor(home):
    log = admin(home, "audit")
    assert "fsadmin:root" in log.stdout
    assert "fsadmin:nobody" not in log.stdout


def test_a_backup_to_a_folder_of_root_is_refused_by_name(home, place):
    (place / "of-root").mkdir(mode=0o700)
    done = admin(home, "backup", str(place / "of-root" / "backup"))
    assert done.returncode == 6
    assert "of-root/backup cannot be written: Permission denied." in done.stderr


def test_a_restore_into_an_empty_folder_of_another_user_is_theirs(home, place):
    (place / "for-all").mkdir()
    (place / "for-all").chmod(0o777)
    file = str(place / "for-all" / "backup")
    assert admin(home, "backup", file).returncode == 0
    again = place / "again"
    again.mkdir(mode=0o700)
    shutil.chown(again, OWNER.pw_uid, OWNER.pw_gid)
    assert admin(again, "restore", file).returncode == 0
    assert foreign(again) == []


def test_another_user_gets_the_name_of_the_owner_of_the_data_directory(home):
    done = subprocess.run(
        ["setpriv", "--reuid=12345", "--clear-groups", "--regid=12345", *_command(home)],
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert done.returncode == 6
    assert "Permission denied." in done.stderr
    assert f"Run it as the owner of {home}: sudo -u nobody …" in done.stderr


def _command(home: Path) -> list[str]:
    import sys

    return [sys.executable, "-m", "fsadmin", "--home", str(home), "list-users"]


def test_a_file_of_root_in_the_home_is_named_with_the_command_against_it(home):
    lock = home / "keys.lock"
    os.chown(lock, 0, 0)
    lock.chmod(0o600)
    done = admin(home, "list-users")
    assert done.returncode == 6
    assert f"{lock} cannot be used: Permission denied." in done.stderr
    assert f"chown -R --reference={home} {home}" in done.stderr
    assert os.system(f"chown -R --reference={home} {home}") == 0
    assert admin(home, "list-users").returncode == 0


# --- doctor on the documented installation


def doctor(home: Path) -> str:
    """Return what doctor says about permissions."""
    said = admin(home, "doctor").stdout
    lines = said.splitlines()
    return "\n".join(
        line
        for n, line in enumerate(lines)
        if "permissions" in line or (n and "permissions" in lines[n - 1] and "→" in line)
    )


@pytest.mark.parametrize(("mode", "owner"), [(0o644, "root"), (0o600, "nobody"), (0o640, "nobody")])
def test_doctor_has_nothing_against_a_configuration_file_that_fsd_can_read(home, mode, owner):
    config = home / "fsd.toml"
    config.write_text('listen = "127.0.0.1:0"\n')
    config.chmod(mode)
    shutil.chown(config, owner)
    assert "No other user can access" in doctor(home)


def test_the_advice_of_doctor_leaves_a_server_that_starts(home):
    config = home / "fsd.toml"
    config.write_text('listen = "127.0.0.1:0"\n')
    config.chmod(0o600)
    os.chown(home / "blobs", 0, 0)
    home.chmod(0o755)
    (home / "fsd.db").chmod(0o644)
    advice = doctor(home).split("→ ")[1].splitlines()[0]
    assert os.system(advice) == 0
    assert foreign(home) == []
    assert "No other user can access" in doctor(home)
    assert config.stat().st_uid == OWNER.pw_uid
