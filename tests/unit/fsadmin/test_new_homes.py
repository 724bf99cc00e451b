"""Which data directory is the default, and that a second server is made only on request."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fsadmin.cli import main
from fsd.home import places
from fsd.home.home import Home, HomeError
from fsd.home.places import default_home, give_new_to_user, running_homes, unit
from tests.support.servers import RunningServer

Run = Callable[..., tuple[int | str | None, str]]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own default place, where nothing is."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "fsd"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a server: no unit, no running fsd, no data directory of the system."""
    root = tmp_path / "machine"
    monkeypatch.setattr(places, "SYSTEM_HOME", root / "var/lib/fsd")
    monkeypatch.setattr(places, "UNIT_FOLDERS", [root / "etc", root / "lib"])
    monkeypatch.setattr(places, "PROCESSES", root / "proc")
    return root


@pytest.fixture
def system(machine: Path, own: Path) -> Path:
    """The system's default place, which a package or an administrator has made."""
    folder = machine / "var/lib/fsd"
    folder.mkdir(mode=0o700, parents=True)
    return folder


@pytest.fixture
def fsadmin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run fsadmin; return its exit status and stderr."""

    def run(*args: str | Path) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, "argv", ["fsadmin", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A file of users."""
    file = tmp_path / "people.csv"
    file.write_text("name\nbob\n")
    return file


def test_the_default_is_the_place_of_the_system_where_it_exists(own: Path, system: Path) -> None:
    assert default_home() == system
    Home(own).prepare()
    assert default_home() == own


def test_without_a_system_server_the_default_is_the_users_own(own: Path) -> None:
    assert default_home() == own


@pytest.mark.parametrize("command", ["add-user alice", "add-users {} --json", "db upgrade"])
def test_without_home_the_server_of_the_system_is_used(
    fsadmin: Run, own: Path, system: Path, people: Path, command: str
) -> None:
    status, err = fsadmin(*command.format(people).split())
    assert (status, err) == (0, f"Created a NEW server in {system}.\n")
    assert fsadmin(*command.replace("alice", "carol").format(people).split())[1].count("NEW") == 0
    assert not own.exists()


@pytest.mark.parametrize("command", ["add-user alice", "add-users {} --json", "db upgrade"])
def test_a_second_server_is_made_only_with_new_home(
    fsadmin: Run, system: Path, tmp_path: Path, people: Path, command: str
) -> None:
    Home(system).prepare()
    typo = tmp_path / "typo"
    words = command.format(people).split()
    status, err = fsadmin("--home", typo, *words)
    assert status == 1
    assert f"There is no server in {typo}, but there is one in {system}." in err
    assert "--new-home" in err
    assert not typo.exists()
    status, err = fsadmin("--home", typo, *words, "--new-home")
    assert (status, err) == (0, f"Created a NEW server in {typo}.\n")


@pytest.mark.parametrize(
    "command",
    [
        "add-user a/b",
        "add-user alice --host x:y:z",
        "add-user alice --host files.example.org:0",
        "add-user alice --expires never-ever",
        "add-users {missing} --json",
        "add-users {invalid} --json",
        "add-users {empty} --json",
        "add-users {people} --json --host x:y:z",
        "add-users {people} --sheets {full}",
    ],
)
def test_what_is_refused_makes_no_data_directory(
    fsadmin: Run, own: Path, people: Path, tmp_path: Path, command: str
) -> None:
    files = {"people": people, "missing": tmp_path / "missing", "full": tmp_path}
    for name, text in (("invalid", "name,expires\nbob,soon\n"), ("empty", "name\n")):
        files[name] = tmp_path / name
        files[name].write_text(text)
    status, err = fsadmin(*command.format(**files).split())
    assert status not in (0, None)
    assert "NEW" not in err
    assert not own.exists()


# --- a server elsewhere than at a default place


def install(folder: Path, text: str, name: str = "fsd.service") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"[Service]\n{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "ExecStart=/opt/fsd/bin/fsd --home {}",
        "ExecStart=/opt/fsd/bin/fsd --listen 0.0.0.0:1 --home={} --log-format json",
        "ExecStart=/opt/fsd/bin/fsd \\\n  --home {}",
        'ExecStart = /opt/fsd/bin/fsd\nEnvironment="FSD_HOME={}" FSD_LISTEN=0.0.0.0:1',
        "# ExecStart=/opt/fsd/bin/fsd --home /elsewhere\nExecStart=\nExecStart=fsd --home '{}'",
    ],
)
def test_the_default_is_the_data_directory_of_the_systemd_unit(
    machine: Path, tmp_path: Path, text: str
) -> None:
    srv = tmp_path / "srv"
    install(machine / "lib", text.format(srv))
    assert default_home() == srv


@pytest.mark.parametrize(
    "text", ["", "ExecStart=fsd --home", "ExecStart=fsd --home x", "ExecStart=fsd '", "ExecStart"]
)
def test_a_unit_that_names_no_data_directory_changes_nothing(
    machine: Path, own: Path, text: str
) -> None:
    install(machine / "etc", text)
    assert default_home() == own


def test_units_and_their_changes_count_as_systemd_counts_them(machine: Path) -> None:
    install(machine / "lib", "ExecStart=fsd --home /of/the/package\nUser=fsd")
    install(machine / "etc", "ExecStart=fsd --home /of/the/machine\nUser=fsd")
    assert unit() == (Path("/of/the/machine"), "fsd")
    install(machine / "lib", "ExecStart=fsd --home /changed", "fsd.service.d/20-home.conf")
    install(machine / "etc", "User=files", "fsd.service.d/10-user.conf")
    assert unit() == (Path("/changed"), "files")
    install(machine / "etc", "User=", "fsd.service.d/30-root.conf")
    assert unit() == (Path("/changed"), None)


@pytest.mark.parametrize("command", ["add-user alice", "add-users {} --json", "db upgrade"])
def test_the_server_of_the_unit_is_used_and_no_second_one_is_made(
    fsadmin: Run, machine: Path, own: Path, tmp_path: Path, people: Path, command: str
) -> None:
    srv, typo = tmp_path / "srv", tmp_path / "typo"
    Home(srv).prepare()
    install(machine / "etc", f"ExecStart=fsd --home {srv}")
    words = command.format(people).split()
    assert fsadmin(*words) == (0, "")
    assert not own.exists()
    status, err = fsadmin("--home", typo, *words)
    assert (status, f"but there is one in {srv}." in err) == (1, True)
    assert not typo.exists()


def test_a_running_server_elsewhere_is_found_and_no_second_one_is_made(
    fsadmin: Run, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srv = tmp_path / "srv"
    with RunningServer.start(srv):
        monkeypatch.setattr(places, "PROCESSES", Path("/proc"))
        assert srv in set(running_homes())
        status, err = fsadmin("add-user", "alice")
        assert status == 1
        assert f"There is no server in {own}, but there is one in " in err
        status, err = fsadmin("list-users")
        assert (status, "There is a server in " in err) == (1, True)
        assert not own.exists()
        assert fsadmin("--home", tmp_path / "second", "add-user", "alice")[0] == 0
    assert srv not in set(running_homes())


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root acts as another user"
)
def test_root_makes_the_data_directory_of_the_unit_for_its_user(
    machine: Path, tmp_path: Path
) -> None:
    srv = tmp_path / "deep" / "srv"
    install(machine / "etc", f"ExecStart=fsd --home {srv}\nUser=nobody")
    give_new_to_user(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    give_new_to_user(srv)
    assert srv.owner() == "nobody"
    assert srv.stat().st_mode & 0o777 == 0o700
    (srv / "host.key").touch()
    os.chown(srv, 0, 0)
    give_new_to_user(srv)
    assert srv.owner() == "root"
    install(machine / "etc", f"ExecStart=fsd --home {tmp_path / 'new'}\nUser=no-such-user")
    with pytest.raises(HomeError, match="there is no user no-such-user"):
        give_new_to_user(tmp_path / "new")
