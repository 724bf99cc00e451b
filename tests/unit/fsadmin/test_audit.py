"""`fsadmin audit`: its output, its exit statuses, and the findings of `verify`."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fsadmin.cli import main
from tests.support.json_results import fields_of
from tests.support.programs import start_program
from tests.support.servers import ROOT, environment
from tests.support.sqlite_files import opened

Ran = tuple[int | str | None, str, str]


@pytest.fixture
def home(home_with_alice: Path, tmp_path: Path) -> Path:
    """The test's own data directory; its log has one entry: alice was added."""
    return Path(shutil.copytree(home_with_alice, tmp_path / "home"))


@pytest.fixture
def admin(home: Path, monkeypatch, capsys) -> Callable[..., Ran]:
    """Run fsadmin on that data directory; return its exit status, stdout and stderr."""

    def run(*args: object) -> Ran:
        words = ["fsadmin", "--home", str(home), *map(str, args)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())

    return run


def test_the_log_is_shown_a_line_an_entry(admin, monkeypatch):
    monkeypatch.delenv("SUDO_USER", raising=False)
    admin("disable-user", "alice")
    status, out, err = admin("audit")
    first, second = out.splitlines()
    assert (status, err) == (0, "")
    assert first.split()[-3:] == ["user-added", "fsadmin", "alice"]
    assert second.split()[-3:] == ["user-disabled", f"fsadmin:{getpass.getuser()}", "alice"]
    assert first.index("fsadmin") == second.index("fsadmin")


def test_the_person_who_ran_sudo_is_the_actor(admin, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "carla")
    admin("disable-user", "alice")
    assert json.loads(admin("audit", "--json")[1])[1]["actor"] == "fsadmin:carla"


def test_json_is_an_array_of_entries(admin):
    (entry,) = json.loads(admin("audit", "--json")[1])
    assert fields_of(entry) == {"seq", "at_ms", "event", "actor", "subject", "address", "detail"}
    assert (entry["seq"], entry["event"], entry["subject"]) == (1, "user-added", "alice")


def test_entries_are_chosen_by_user_and_time(admin):
    admin("add-user", "bob")
    admin("disable-user", "alice")

    def shown(*options: str) -> list[int]:
        return [entry["seq"] for entry in json.loads(admin("audit", "--json", *options)[1])]

    assert shown("--user", "alice") == [1, 3]
    assert shown("--user", "nobody") == []
    assert shown("--event", "user-added") == [1, 2]
    assert shown("--event", "user-added", "--event", "user-disabled") == [1, 2, 3]
    assert shown("--event", "login") == []
    assert shown("-n", "2") == [2, 3]
    assert shown("-n", "9") == [1, 2, 3]
    assert shown("-n", "1", "--event", "user-added") == [2]
    assert shown("-n", "1", "--user", "alice") == [3]
    assert shown("-n", "1", "--event", "login") == []
    assert shown("--since", "1h") == [1, 2, 3]
    assert shown("--since", "2020-01-01") == [1, 2, 3]
    assert shown("--since", "9999-01-01 12:00") == []
    assert shown("--since", "2020-01-01T00:00:00+02:00") == [1, 2, 3]


@pytest.mark.cases(2)
@pytest.mark.parametrize("when", ["", "soon", "1y", "2026-13-01", "-5m", "9999999d", "\x1b[31m"])
def test_a_time_that_is_none_is_a_sentence(admin, when):
    status, out, err = admin("audit", "--since", when)
    assert (status, out) == (2, "")
    assert "is no time" in err
    assert "\x1b" not in err


def test_verify_says_how_the_log_ends_and_exits_with_7_where_it_was_changed(admin, home):
    status, out, _ = admin("audit", "verify", "--json")
    right = json.loads(out)
    assert (status, right["right"], right["entries"]) == (0, True, 1)
    assert right["end"] in admin("audit", "verify")[1]
    with opened(home / "fsd.db") as db:
        db.execute("UPDATE audit_entries SET subject = 'bob'")
    status, out, err = admin("audit", "verify")
    assert status == 7
    assert out == "Entry 1 was altered, or put in another's place.\n"
    assert "1 finding" in err
    # The JSON of the findings comes first; the error follows, as with every failed command.
    wrong, _ = json.JSONDecoder().raw_decode(admin("audit", "verify", "--json")[1])
    assert (wrong["right"], len(wrong["findings"])) == (False, 1)


def test_a_changed_log_keeps_everything_else_from_being_done_until_it_is_put_aside(
    admin, home, tmp_path
):
    with opened(home / "fsd.db") as db:
        db.execute("UPDATE audit_head SET last = 0")
    status, out, err = admin("add-user", "bob")
    assert (status, out) == (7, "")
    assert "audit rotate --broken" in err
    assert admin("audit", "rotate", "--broken", tmp_path / "aside")[0] == 0
    assert admin("add-user", "bob")[0] == 0
    assert "audit-broken" in admin("audit")[1]


def test_the_log_is_rotated_exported_and_verified_with_its_archives(admin, tmp_path):
    assert admin("audit", "rotate", tmp_path / "one")[1].startswith("1 entry moved to ")
    admin("add-user", "bob")
    told = json.loads(admin("audit", "export", tmp_path / "two", "--json")[1])
    assert (told["first"], told["last"], told["entries"]) == (2, 3, 2)
    status, out, _ = admin("audit", "verify", tmp_path / "two", tmp_path / "one")
    assert status == 0
    assert "entries 2 to 3" in out.splitlines()[-2]
    assert admin("audit", "rotate", tmp_path / "one")[0] == 8
    assert admin("audit", "verify", tmp_path / "nowhere")[0] == 5
    (tmp_path / "noise").write_bytes(bytes(100))
    assert admin("audit", "verify", tmp_path / "noise")[0] == 7


def test_options_of_the_list_are_not_silently_ignored_by_the_commands_below(admin):
    assert admin("audit", "--user", "alice", "verify")[0] == 2
    assert admin("audit", "-n", "1", "verify")[0] == 2
    assert admin("audit", "--event", "login", "verify")[0] == 2


@pytest.mark.parametrize("options", [("-n", "0"), ("-n", "-1"), ("--event", "lunch")])
def test_a_filter_that_makes_no_sense_is_refused(admin, options):
    assert admin("audit", *options)[0] == 2


def test_following_gives_new_entries_as_they_come(admin, home):
    process = start_program(
        [sys.executable, "-m", "fsadmin", "--home", home, "audit", "-f", "-n", "1", "--json"],
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
        encoding="utf-8",
    )
    assert process.stdout is not None
    with process.stdout:
        assert json.loads(process.stdout.readline())["event"] == "user-added"
        admin("disable-user", "alice")
        assert json.loads(process.stdout.readline())["event"] == "user-disabled"
        process.terminate()
        process.wait()


def test_a_mistyped_user_without_entries_is_reported_with_a_near_name(admin):
    status, out, err = admin("audit", "--user", "alcie")
    assert (status, out) == (5, "")
    assert "There is no user alcie." in err
    assert "Did you mean 'alice'?" in err
    assert admin("remove-user", "alice", "--yes")[0] == 0
    status, out, _ = admin("audit", "--user", "alice")  # removed, but still in the log
    assert (status, "user-removed" in out) == (0, True)
