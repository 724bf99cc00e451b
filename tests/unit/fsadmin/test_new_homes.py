"""A second server is made only on request."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fsadmin.cli import main
from fsd.home import home as homes
from fsd.home.home import Home, default_home

Run = Callable[..., tuple[int | str | None, str]]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own default place, where nothing is."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "fsd"


@pytest.fixture
def system(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's default place, which a package or an administrator has made."""
    folder = tmp_path / "var" / "fsd"
    folder.mkdir(mode=0o700, parents=True)
    monkeypatch.setattr(homes, "SYSTEM_HOME", folder)
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


def test_without_a_place_of_the_system_the_default_is_ones_own(own: Path, tmp_path: Path) -> None:
    homes_before = homes.SYSTEM_HOME
    try:
        homes.SYSTEM_HOME = tmp_path / "nowhere"
        assert default_home() == own
    finally:
        homes.SYSTEM_HOME = homes_before


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
