"""Administrative acts other than account changes: each is recorded in the audit log, or refused."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fsadmin.cli import main
from fsd.audit.admin import AuditAdmin
from fsd.backup import encrypt
from fsd.home.home import HOST_KEY, HOST_MOVES
from tests.support.sqlite_files import opened

Ran = tuple[int | str | None, str, str]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the cheapest Argon2id parameters; these tests do not depend on its cost."""
    for name, value in (("_PASSES", 1), ("_LANES", 1), ("_MEMORY_KIB", 8)):
        monkeypatch.setattr(encrypt, name, value)
    monkeypatch.delenv("SUDO_USER", raising=False)


@pytest.fixture
def home(home_with_alice: Path, tmp_path: Path) -> Path:
    """The test's own data directory; its log has one entry: alice was added."""
    return Path(shutil.copytree(home_with_alice, tmp_path / "home"))


@pytest.fixture
def admin(home: Path, monkeypatch, capsys) -> Callable[..., Ran]:
    """Run fsadmin on that or another data directory; return its exit status, stdout and stderr."""

    def run(*args: object, home: Path = home) -> Ran:
        words = ["fsadmin", "--home", str(home), *map(str, args)]
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.setenv(
            "FSADMIN_PASSPHRASE", "a phrase for tests"
        )  # fsadmin removes it at each run
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())

    return run


def entries(admin, **where: Path) -> list[tuple[str, str]]:
    """Verify the log and the actors of its entries; return their events and details."""
    assert admin("audit", "verify", **where)[0] == 0
    told = json.loads(admin("audit", "--json", **where)[1])
    assert {entry["actor"] for entry in told[1:]} <= {f"fsadmin:{getpass.getuser()}"}
    return [(entry["event"], entry["detail"]) for entry in told[1:]]


def break_log(home: Path) -> None:
    with opened(home / "fsd.db") as db:
        db.execute("UPDATE audit_head SET proof = ?", (bytes(32),))
        db.commit()


def test_a_backup_is_recorded_and_one_that_cannot_be_is_not_there(admin, home, tmp_path):
    assert admin("backup", tmp_path / "one")[0] == 0
    assert entries(admin) == [("backed-up", "people: 1, blobs: 0 with 0 bytes")]
    break_log(home)
    status, _, err = admin("backup", tmp_path / "two")
    assert (status, "Traceback" in err) == (7, False)
    assert [path.name for path in tmp_path.iterdir() if "two" in path.name] == []


def test_what_is_put_back_says_so_in_the_log_that_was_put_back(admin, tmp_path):
    admin("disable-user", "alice")
    admin("backup", tmp_path / "backup")
    new = tmp_path / "new"
    assert admin("restore", tmp_path / "backup", home=new)[0] == 0
    (disabled, _), (restored, detail) = entries(admin, home=new)
    assert (disabled, restored) == ("user-disabled", "restored")
    assert detail.startswith("as of 20")
    admin("enable-user", "alice", home=new)
    assert [event for event, _ in entries(admin, home=new)][-1] == "user-enabled"


def test_a_test_of_a_backup_is_no_act(admin, tmp_path):
    admin("backup", tmp_path / "backup")
    assert admin("restore", "--test", tmp_path / "backup")[0] == 0
    assert [event for event, _ in entries(admin)] == ["backed-up"]


def test_a_backup_with_an_altered_audit_log_is_restored_with_a_report(admin, home, tmp_path):
    with opened(home / "fsd.db") as db:  # change an entry and leave the head valid
        db.execute("UPDATE audit_entries SET actor = 'nobody'")
        db.commit()
    admin("backup", tmp_path / "backup")
    with opened(home / "fsd.db") as db:
        assert db.execute("SELECT count(*) FROM audit_entries").fetchone() == (2,)
    new = tmp_path / "new"
    status, out, _ = admin("restore", tmp_path / "backup", home=new)
    assert "is put back in" in out
    assert admin("audit", "verify", home=new)[0] == 7
    assert status == 0  # the head is valid, so the log continues; verify finds the change
    assert admin("show-user", "alice", home=new)[0] == 0


def test_a_backup_whose_audit_log_cannot_continue_is_still_restored(
    admin, home, tmp_path, monkeypatch
):
    break_log(home)
    with monkeypatch.context() as patch:  # like a version that did not record backups
        patch.setattr(AuditAdmin, "note", lambda *_: None)
        assert admin("backup", tmp_path / "backup")[0] == 0
    new = tmp_path / "new"
    status, out, err = admin("restore", tmp_path / "backup", home=new)
    assert status == 7
    assert "is put back in" in out
    assert "audit log in the backup was altered" in err
    assert admin("show-user", "alice", home=new)[0] == 0


@pytest.mark.parametrize("stolen", [False, True])
def test_another_host_key_is_recorded_with_both_fingerprints(admin, stolen):
    before = admin("host-key")[1].strip()
    admin("rotate-host-key", "--yes", *(["--stolen"] if stolen else []))
    after = admin("host-key")[1].strip()
    ((event, detail),) = entries(admin)
    assert event == "host-key-rotated"
    assert detail == f"{after} after {before}" + (", which may have been stolen" if stolen else "")


@pytest.mark.parametrize("options", [(), ("--stolen",)])
def test_a_host_key_that_cannot_be_recorded_is_not_changed(admin, home, options):
    admin("rotate-host-key", "--yes")
    kept = [(home / name).read_bytes() for name in (HOST_KEY, HOST_MOVES)]
    break_log(home)
    assert admin("rotate-host-key", "--yes", *options)[0] == 7
    assert [(home / name).read_bytes() for name in (HOST_KEY, HOST_MOVES)] == kept


def test_another_master_key_is_recorded(admin):
    assert admin("rotate-master-key")[0] == 0
    assert [event for event, _ in entries(admin)] == ["master-key-rotated"]


def orphan(home: Path) -> Path:
    path = home / "blobs" / "ab" / ("ab" * 32)
    path.parent.mkdir(mode=0o700, parents=True)
    path.write_bytes(b"of nobody")
    os.utime(path, (0, 0))
    return path


def test_each_repair_is_recorded_and_a_look_is_not(admin, home):
    stray = orphan(home)
    with opened(home / "fsd.db") as db:
        db.execute("UPDATE quotas SET used_files = 3")
        db.commit()
    assert admin("check")[0] == 7
    assert entries(admin) == []
    assert admin("check", "--repair")[0] == 0
    assert entries(admin) == [
        ("repaired", f"orphan: {stray.name}"),
        ("repaired", "miscounted: alice"),
    ]
    assert not stray.exists()


def test_a_repair_that_cannot_be_recorded_is_not_done(admin, home):
    stray = orphan(home)
    break_log(home)
    assert admin("check", "--repair")[0] == 7
    assert stray.exists()


def test_the_terms_of_an_account_are_recorded_without_the_note(admin):
    admin("change-user", "alice", "--quota-bytes", "10G", "--quota-files", "none", "--note", "x y")
    assert entries(admin) == [
        ("user-changed", "quota of bytes: 10.0 GiB, quota of files: none, note")
    ]
