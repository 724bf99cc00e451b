"""Several profiles on one machine: which one a command uses; replacing and removing them."""

from __future__ import annotations

import copy
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client_processes import (
    CONFLICT,
    LOGIN,
    NOT_FOUND,
    SECURITY,
    USAGE,
    Client,
    Terminal,
    admin,
)
from tests.support.gateways import gateway


@pytest.fixture(scope="module")
def settled(newcomer: Callable[[], Client]) -> Client:
    """An enrolled person for this file alone."""
    return newcomer().enrol()


@pytest.fixture
def owner(settled: Client, tmp_path: Path) -> Client:
    """The same person with a copy of the client's folder, which the test may change."""
    own = copy.copy(settled)
    own.home, own.folder = tmp_path / "home", tmp_path / "work"
    own.folder.mkdir()
    shutil.copytree(settled.home, own.home)
    return own


def names(client: Client) -> list[str]:
    return [one["name"] for one in client.quick("--json", "profiles").ok().json()]


def second(client: Client, name: str = "work") -> None:
    """Give the person another profile, of the same account."""
    shutil.copytree(client.profile, client.home / "profiles" / name)


def test_the_list_shows_account_server_session_and_default(owner):
    second(owner)
    (owner.home / "profiles" / "work" / "session").unlink()
    first, other = owner.quick("--json", "profiles").ok().json()
    assert (first["name"], first["user"], first["default"]) == ("default", owner.name, True)
    assert (first["state"], first["in_use"]) == ("session", False)
    assert first["server"] == str(owner.server.address)
    assert (other["name"], other["default"], other["state"]) == ("work", False, "no session")
    lines = owner.quick("profiles", "list").ok().lines
    assert [line.split()[:2] for line in lines] == [["*", "default"], ["work", owner.name]]
    assert all(len(line) <= 80 for line in lines)


def test_damaged_profiles_and_unfinished_enrolments_are_listed_with_the_others(owner):
    second(owner, "broken")
    (owner.home / "profiles" / "broken" / "profile.json").write_text("{")
    (owner.home / "profiles" / ".half.enrolling").mkdir()
    states = {one["name"]: one["state"] for one in owner.quick("--json", "profiles").ok().json()}
    assert states == {"half": "enrolling", "broken": "damaged", "default": "session"}
    for name in ("half", "broken"):
        owner.quick("profiles", "remove", "--yes", name).ok()
    assert names(owner) == ["default"]


def test_the_chosen_default_is_used_unless_an_option_or_the_environment_names_one(owner):
    second(owner)

    def used(*args: str, **env: str) -> str:
        return str(owner.run("--json", *args, "whoami", **env).ok().json()["profile"])

    owner.quick("profiles", "default", "work").ok()
    assert used() == "work"
    assert used("--profile", "default") == "default"
    assert used(FSCLIENT_PROFILE="default") == "default"
    owner.quick("profiles", "default", "nobody").fails(NOT_FOUND, "nobody")
    assert used() == "work"


def test_a_damaged_choice_stops_commands_until_another_one_is_made(owner):
    (owner.home / "default-profile").write_bytes(b"\xff/..\n")
    owner.quick("ls").fails(SECURITY, "default-profile", "profiles default NAME")
    owner.quick("--profile", "default", "ls").ok()
    owner.quick("profiles", "default", "default").ok()
    owner.quick("ls").ok()


def test_a_renamed_profile_works_and_stays_the_default(owner):
    owner.quick("profiles", "default", "default").ok()
    owner.quick("profiles", "rename", "default", "home").ok()
    assert names(owner) == ["home"]
    owner.quick("ls").ok()
    second_name = owner.quick("profiles", "rename", "home", "../away")
    second_name.fails(USAGE, "cannot name a profile")
    shutil.copytree(owner.home / "profiles" / "home", owner.home / "profiles" / "other")
    owner.quick("profiles", "rename", "home", "other").fails(CONFLICT, "'other'")
    assert names(owner) == ["home", "other"]


def test_the_profile_of_a_running_gateway_is_neither_renamed_removed_nor_replaced(owner):
    with gateway(owner):
        for command in (
            ("profiles", "rename", "default", "other"),
            ("profiles", "remove", "--yes", "default"),
            ("enroll", "--replace", "--no-passphrase", owner.link),
        ):
            owner.quick(*command).fails(CONFLICT, "'default' is in use", "gateway")
        (shown,) = owner.quick("--json", "profiles").ok().json()
        assert shown["in_use"]
        owner.quick("ls").ok()
    owner.quick("profiles", "rename", "default", "other").ok()


def test_the_profile_of_an_open_shell_is_not_removed(owner):
    with Terminal(owner, "shell") as shell:
        shell.wait_for("EXIT ends.")
        owner.quick("profiles", "remove", "--yes", "default").fails(CONFLICT, "in use")
        shell.type("profiles remove --yes default\r")
        shell.wait_for("cannot be used inside the shell")
        shell.type("exit\r")
        assert shell.ends() == 0
    owner.quick("profiles", "remove", "--yes", "default").ok()


def test_a_removal_says_what_is_lost_and_asks(owner):
    trash = owner.profile / "trash" / "2026-11-29T100000Z"
    trash.mkdir(parents=True)
    (trash / "draft.txt").write_bytes(bytes(2000))
    (owner.profile / "transfers").mkdir()
    (owner.profile / "transfers" / ("ab" * 32)).write_bytes(b"")
    refused = owner.quick("profiles", "remove", "default").fails(USAGE, "--yes")
    for word in (owner.name, "1 local file", "2.0 kB", "1 unfinished upload", "logout"):
        assert word in refused.err
    with Terminal(owner, "profiles", "remove", "default") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("n\r")
        assert terminal.ends() != 0
    owner.quick("ls").ok()
    done = owner.quick("--json", "profiles", "remove", "--yes", "default").ok().json()
    assert (done["removed"], done["trashed_files"], done["unfinished_uploads"]) == ("default", 1, 1)
    assert [path.name for path in (owner.home / "profiles").iterdir()] == []
    owner.quick("ls").fails(NOT_FOUND, "enroll")


def test_recovered_keys_replace_a_forgotten_passphrase_and_leave_the_rest(newcomer):
    owner = newcomer().enrol()
    words = owner.run("--json", "--otp", owner.app.fresh(), "keys", "backup").ok().json()["phrase"]
    before = (owner.profile / "identity.key").read_bytes()
    (owner.profile / "trash").mkdir()
    (owner.profile / "trash" / "mark").write_bytes(b"stays")
    recover = ["keys", "recover", owner.link]
    told = {"FSCLIENT_RECOVERY_PHRASE": words, "FSCLIENT_PASSPHRASE": "new"}
    owner.run(*recover, **told).fails(CONFLICT, "--replace")
    owner.new_secret()
    owner.run(*recover, "--replace", "--otp", owner.app.fresh(), **told).ok()
    assert names(owner) == ["default"]
    assert (owner.profile / "trash" / "mark").read_bytes() == b"stays"
    assert (owner.profile / "identity.key").read_bytes() != before
    owner.run("ls", FSCLIENT_PASSPHRASE="new").ok()


def test_an_enrolment_that_replaces_keeps_the_former_profile_under_another_name(owner, newcomer):
    other = newcomer()
    enroll = ["enroll", "--no-passphrase", "--replace", other.link, "--otp"]
    owner.quick(*enroll, "0").fails(USAGE, "6 to 8 digits")
    assert owner.quick("--json", "whoami").ok().json()["user"] == owner.name  # refused: unchanged
    done = owner.run(*enroll, other.app.fresh()).ok()
    assert "'default-old'" in done.err
    assert owner.quick("--json", "whoami").ok().json()["user"] == other.name
    owner.quick("--profile", "default-old", "ls").ok()


# --- devices and their sessions


def test_a_session_bears_the_name_of_its_device_which_can_be_changed(newcomer):
    client = newcomer()
    code = client.app.fresh()
    enroll = ("enroll", "--no-passphrase", client.link, "--device")
    client.run(*enroll, "x" * 65, "--otp", code).fails(USAGE, "64")
    client.run(*enroll, "two\nlines", "--otp", code).fails(USAGE, "control")
    client.run(*enroll, "Büro 2", "--otp", code).ok()
    client.run("login", "--device", "", "--otp", client.app.fresh()).ok()
    client.run("login", "--otp", client.app.fresh()).ok()
    client.run("login", "--device", "laptop", "--otp", client.app.fresh()).ok()
    running = client.quick("--json", "sessions").ok().json()
    assert [one["device"] for one in running] == ["Büro 2", "", "", "laptop"]
    lines = client.quick("sessions").ok().lines
    assert all(len(line) <= 80 for line in lines)
    assert lines[-3].split() == ["*", str(running[-1]["session"]), "laptop"]
    assert admin(client.server, "show-user", client.name)["devices"] == ["Büro 2", "laptop"]
    listed = admin(client.server, "sessions", "--user", client.name)
    assert [one["device"] for one in listed] == ["Büro 2", "", "", "laptop"]


def test_without_a_name_the_device_has_that_of_its_host(settled):
    (first, *_) = settled.quick("--json", "sessions").ok().json()
    assert first["device"] == platform.node().partition(".")[0][:64]


def test_one_session_is_ended_by_its_number_and_only_an_own_one(newcomer, settled):
    client = newcomer().enrol()
    shutil.copytree(client.profile, client.home / "profiles" / "lost")
    client.run("login", "--device", "new", "--otp", client.app.fresh()).ok()
    (lost, here) = client.quick("--json", "sessions").ok().json()
    (foreign, *_) = settled.quick("--json", "sessions").ok().json()
    client.quick("logout", "--session", str(foreign["session"])).fails(NOT_FOUND, "sessions")
    settled.quick("ls").ok()
    client.quick("logout", "--session", str(lost["session"])).ok()
    client.quick("--profile", "lost", "ls").fails(LOGIN)
    client.quick("ls").ok()
    client.quick("logout", "--everywhere", "--session", "1").fails(USAGE, "not both")
    done = client.quick("--json", "logout", "--session", str(here["session"])).ok().json()
    assert done == {"logged_out": True, "ended": here["session"]}
    client.quick("ls").fails(LOGIN)
