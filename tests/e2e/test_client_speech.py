"""The client's output, its exit statuses, and how few modules it loads for them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fsclient.cli import COMMANDS
from fsproto import __version__
from tests.support.client_processes import NOT_FOUND, READER_GONE, USAGE, Client


@pytest.fixture
def room(client: Client) -> str:
    """A remote folder with the file `a`; another local file exists too."""
    client.write("a", b"a")
    client.quick("put", "a", f"{client.room}/").ok()
    return client.room


# --- help


def help_pages() -> list[list[str]]:
    keys = ["backup", "export", "file", "import", "recover"]
    agent = ["start", "status", "lock", "stop"]
    below = [*(["keys", name] for name in keys), *(["agent", name] for name in agent)]
    return [[], *([name] for name in COMMANDS), *below]


@pytest.mark.parametrize("command", help_pages(), ids=" ".join)
def test_help_fits_a_terminal_and_is_whole(client, command):
    done = client.quick(*command, "--help").ok()
    assert done.err == ""
    assert done.lines[0].startswith(" ".join(["Usage: fsclient", *command]))
    assert all(len(line) <= 80 for line in done.lines)
    assert "\b" not in done.text
    assert "..." not in done.text.replace("[ARGS]...", "")
    assert not [line for line in done.lines if line.rstrip().endswith("-")]


def test_help_lists_every_command_and_every_exit_status(client):
    text = client.run("--help", COLUMNS="80").ok().text
    for name, what in COMMANDS.items():
        assert f"  {name} " in text
        assert what in text
    for status in (*range(10), 130):
        assert f" {status}  " in text
    assert client.run("help", COLUMNS="80").ok().text == text
    put = client.run("put", "--help", COLUMNS="80").ok().text
    assert client.run("help", "put", COLUMNS="80").ok().text == put


def test_a_process_says_and_ends_as_the_tests_that_run_inside_this_one_do(client, room):
    for line in (
        ["ls", room],
        ["--json", "ls", room],
        ["ls", "no"],
        ["frob"],
        ["put"],
        ["ls", "-h"],
    ):
        assert client.run(*line, COLUMNS="80") == client.quick(*line)


def test_a_process_does_what_the_tests_do_inside_this_one(client, newcomer):
    """Most tests run the client inside this process; here both ways have the same effects."""
    other = newcomer().enrol().name
    client.quick("mkdir", client.room).ok()
    client.quick("share", client.room, other).ok()  # the first use of their keys is a warning
    client.write("a", b"a")
    lines = (
        *("mkdir {}", "mkdir {}/d", "--quiet put a {}/d/", "cat {}/d/a", "mv {}/d/a {}/b"),
        *("ls {}", "tree {}", "find {}", "du {}", "share {} @", "shares {}", "unshare {} @"),
        *("rm {}/b", "--quiet restore {}/b", "--quiet get {}/b", "rm -r {}", "verify @", "whoami"),
        *("ls {}", "--json ls {}", "rm {}"),
    )
    told = list[list[tuple[str, str]]]()
    for way in (client.run, client.quick):
        room = f"way{len(told)}"
        (client.folder / "b").unlink(missing_ok=True)
        ran = [way(*line.replace("@", other).format(room, room).split()) for line in lines]
        assert [one.status for one in ran] == [0] * (len(lines) - 3) + [NOT_FOUND] * 3
        assert (client.folder / "b").read_bytes() == b"a"
        told.append([(one.text.replace(room, ""), one.err.replace(room, "")) for one in ran])
    assert told[0] == told[1]


def test_without_a_command_it_says_what_there_is(client):
    done = client.run(COLUMNS="80")
    assert (done.status, done.out) == (USAGE, b"")
    assert "enroll" in done.err
    assert client.run("keys").status == USAGE


def test_the_version_is_printed(client):
    assert client.run("--version").ok().text == f"fsclient {__version__}\n"


# --- usage errors


@pytest.mark.cases(5)
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lss", "ls"),
        ("LS", "ls"),
        ("enrol", "enroll"),
        ("upload", "put"),
        ("uplod", "put"),
        ("download", "get"),
        ("dir", "ls"),
        ("delete", "rm"),
        ("rename", "mv"),
        ("frobnicate", "--help"),
    ],
)
def test_an_unknown_command_is_met_with_the_nearest_one(client, typed, meant):
    done = client.quick(typed, "x").fails(USAGE, f"There is no command '{typed}'.", meant)
    assert done.out == b""


@pytest.mark.cases(6)
@pytest.mark.parametrize(
    "line",
    [
        ["put"],
        ["get"],
        ["mkdir"],
        ["enroll"],
        ["enroll", "a", "b"],
        ["whoami", "x"],
        ["ls", "--frob"],
        ["--frob", "ls"],
        ["ls", "--profile"],
        ["rm", "-x", "a"],
        ["keys", "frob"],
        ["put", "-dash"],
    ],
)
def test_a_malformed_line_is_reported_in_plain_words_and_as_json(client, line):
    told = client.quick(*line).fails(USAGE)
    assert told.out == b""
    as_json = (
        client.run(*line, "--json") if "--profile" not in line else client.run("--json", *line)
    )
    failure = as_json.fails(USAGE).json()
    assert set(failure) == {"error", "message", "hint"}
    assert failure["error"] == "usage"
    assert failure["message"] in told.err


# --- json, quiet, debug


def commands(room: str) -> dict[str, list[str]]:
    return {
        "whoami": ["whoami"],
        "status": ["status"],
        "ls": ["ls", room],
        "put": ["put", "a", f"{room}/"],
        "get": ["get", f"{room}/a"],
        "mkdir": ["mkdir", f"{room}/new"],
        "mv": ["mv", f"{room}/a", f"{room}/b"],
        "rm": ["rm", f"{room}/a"],
        "keys": ["keys", "file", f"{room}/a"],
    }


@pytest.mark.cases(5)
@pytest.mark.parametrize("name", commands(""))
def test_json_is_all_that_is_on_stdout_and_nothing_else_is_said(client, room, name):
    done = client.quick(*commands(room)[name], "--json").ok()
    assert isinstance(done.json(), dict | list)
    assert (done.err != "") == (name == "keys")  # `keys` warns that it shows a key


@pytest.mark.cases(5)
@pytest.mark.parametrize("name", commands(""))
def test_quietly_only_results_are_left(client, room, name):
    done = client.quick("--quiet", *commands(room)[name]).ok()
    assert (done.out != b"") == (name in ("whoami", "status", "ls", "keys"))
    assert (done.err != "") == (name == "keys")


@pytest.mark.cases(4)
@pytest.mark.parametrize("command", ["get", "ls", "rm", "mv", "keys file", "put", "mkdir"])
def test_a_failure_is_json_as_well(client, room, command):
    paths = {"mv": ["no", "way"], "put": ["no"], "mkdir": [room]}.get(command, ["no"])
    done = client.quick("--json", *command.split(), *paths)
    told = done.json()
    failures = told.get("failed") or [told]
    assert done.status != 0
    assert failures[0]["error"] in ("not-found", "exists")
    assert failures[0]["message"] in done.err


def test_debug_shows_where_an_error_came_from(client):
    process = client.start("--debug", "ls", "no")
    out, err = process.communicate()
    assert (process.returncode, out) == (NOT_FOUND, b"")
    assert b"Traceback (most recent call last)" in err
    assert err.endswith(b"fsclient: There is no 'no'.\n")


def test_options_are_taken_before_and_behind_the_command(client, room):
    for line in (["--json", "ls", room], ["ls", "--json", room], ["ls", room, "--json"]):
        assert client.run(*line).ok().json()[0]["name"] == "a"
    elsewhere = str(client.home)
    for line in (["--home", elsewhere, "ls", room], ["ls", room, "--home", elsewhere]):
        assert client.run(*line, FSCLIENT_HOME="/nowhere").ok().lines == ["a"]


# --- closed output


def test_what_cannot_be_said_is_not_said_and_the_status_stays(client):
    assert client.shell_line("fsclient ls no 2>&-").status == NOT_FOUND
    assert client.shell_line("fsclient ls no 2>/dev/full").status == NOT_FOUND


def test_the_first_lines_of_help_are_enough_for_some(client):
    done = client.shell_line("(fsclient --help; echo $? >&2) | head -n 1").ok()
    assert done.text.startswith("Usage")
    assert done.err in ("0\n", f"{READER_GONE}\n")


def test_names_from_elsewhere_cannot_move_the_cursor(client):
    client.write("in/exe\u202etxt.x", b"x")
    client.quick("put", "in", client.room).ok()
    assert client.names(client.room) == ["exe\\u202etxt.x"]
    done = client.run("get", f"{client.room}/\u009b31m").fails(USAGE)
    assert "\u009b" not in done.err


def test_an_encoding_that_lacks_a_letter_is_no_reason_to_fail(client):
    client.write("日本語", b"x")
    client.quick("put", "日本語", f"{client.room}/").ok()
    done = client.run("ls", client.room, PYTHONIOENCODING="ascii").ok()
    assert done.text == "\\u65e5\\u672c\\u8a9e\n"


# --- loaded modules


HEAVY = ("asyncio", "cryptography", "fsd", "fsadmin", "msgspec", "paramiko", "prompt_toolkit")
HEAVY_EVER = ("asyncio", "fsd", "fsadmin", "sqlalchemy", "alembic", "paramiko")
PICKY = ("rich", "prompt_toolkit", "pyotp", "getpass", "logging", "tempfile", "difflib")


LOADED = """
import sys
from fsclient.app import App
from fsclient.cli import run
status = run(App(), sys.argv[1:])
print(*sys.modules, file=sys.stderr)
sys.exit(status)
"""


def loaded(client: Client, *args: str) -> set[str]:
    """Return the modules that are loaded after a run of the client."""
    process = subprocess.run(
        [sys.executable, "-c", LOADED, *args],
        env=client.environment(),
        cwd=client.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(process.stderr.splitlines()[-1].split())


def packages(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


def test_the_version_is_printed_without_loading_much(client):
    modules = loaded(client, "--version")
    assert not packages(modules) & {*HEAVY, *HEAVY_EVER, *PICKY, "sqlite3", "socket", "hashlib"}
    assert not [name for name in modules if name.startswith("fsclient.commands.")]


def test_ls_loads_nothing_of_the_server_and_nothing_for_other_commands(client):
    modules = loaded(client, "ls")
    assert not packages(modules) & {*HEAVY_EVER, *PICKY}
    assert not [name for name in modules if name.startswith("fsclient.agent")]
    assert "concurrent.futures" not in modules
    assert {name for name in modules if name.startswith("fsclient.commands.")} == {
        "fsclient.commands.ls",
        "fsclient.commands.filtering",
    }


@pytest.mark.cases(1)
@pytest.mark.parametrize("line", [["put", "a", "{}/"], ["get", "{}/a", "b"], ["cat", "{}/a"]])
def test_small_files_are_moved_without_loading_much(client, room, line):
    modules = loaded(client, *(part.format(room) for part in line))
    assert not packages(modules) & {*HEAVY_EVER, *PICKY}
    assert "concurrent.futures" not in modules


def test_the_tool_for_other_programs_says_nothing_secret_where_it_does_not_belong(client, room):
    done = client.run("--json", "keys", "file", f"{room}/a").ok()
    key = json.loads(done.text)["file_key"]
    assert key not in done.err
