"""The shell: one session for many commands, from a pipe and on a terminal."""

from __future__ import annotations

import contextlib
import signal

import pytest

from tests.support.client_processes import (
    CONFLICT,
    LOGIN,
    NOT_FOUND,
    UNREACHABLE,
    USAGE,
    Client,
    Terminal,
    admin,
)
from tests.support.fixed_keys import stretch
from tests.support.servers import RunningServer

RETURN, CTRL_C, CTRL_D, TAB, UP = "\r", "\x03", "\x04", "\t", "\x1b[A"


@pytest.fixture
def room(client: Client) -> str:
    """A remote folder with the file `a` and a folder named `two words`; `a` also exists locally."""
    client.write("start/a", b"a")
    client.write("start/two words/x y", b"xy\n")
    client.quick("put", "start", client.room).ok()
    client.write("a", b"a")
    return client.room


# --- from a pipe


def test_commands_from_a_pipe_share_one_session(client, room):
    client.write("out.txt", b"to be sent")
    done = client.run(
        "shell",
        given=f"""
ls {room}
PUT out.txt {room}/
Cat {room}/out.txt

get "{room}/two words/x y" 'here it is'
rm -r {room}/two\\ words
ls {room}
""".encode(),
    ).ok()
    assert done.text == "a\ntwo words/\nto be senta\nout.txt\n"
    assert done.err.startswith(f"Connected to {client.server.address} as {client.name}.")
    assert (client.folder / "here it is").read_bytes() == b"xy\n"


def test_the_old_commands_take_their_argument_from_the_next_line_or_behind_them(client, room):
    client.write("sent file", b"1")
    client.write("sent too", b"2")
    script = ["SEND_FILE", "sent file", "send_file 'sent too'", "REQUEST_FILE", "sent file"]
    (client.folder / "back").mkdir()
    client.script(*script).ok()
    assert client.cat("sent file") == b"1"
    assert client.cat("sent too") == b"2"
    client.script("rm 'sent file' 'sent too'").ok()


def test_paths_are_taken_from_the_current_remote_folder(client, room):
    done = client.script(
        f"cd {room}", "pwd", "ls", "cd 'two words'", "cat 'x y'", "ls ../*", "cd ..", "put a b",
        "ls", "rm b", "cd", "pwd", f"ls {room}",
    ).ok()  # fmt: skip
    assert done.text.splitlines() == [
        room, "a", "two words/", "xy", f"/{room}/a", "", ".:", "x y", "a", "b",
        "two words/", "/", "a", "two words/",
    ]  # fmt: skip


def test_listings_show_paths_that_can_be_typed_in_the_current_folder(client, room):
    done = client.script(
        f"cd {room}", "ls *", "find . --name x*", "du -s *", "tree 'two words'",
        "cd 'two words'", "find . --name x*", "find .. --name a", "du", "ls -d . ..",
    ).ok()  # fmt: skip
    assert done.text.splitlines() == [
        "a", "", "two words:", "x y",
        "two words/x y", "1  1 file   a", "3  1 file   two words",
        "two words/", "└── x y",
        "x y", f"/{room}/a", "3  1 file   .", f"/{room}/", "./",
    ]  # fmt: skip


def test_cd_goes_to_folders_alone(client, room):
    for line in (f"cd {room}/a", "cd no", f"cd {room} {room}", "pwd x"):
        assert client.script(line, "pwd").ok().text == "/\n"
        assert client.script(line).status in (NOT_FOUND, USAGE, CONFLICT)


def test_local_folders_and_programs(client):
    client.write("below/file", b"")
    done = client.script("lcd below", "lpwd", "lls -a", "!echo $((1 + 2))", "lcd ..", "lls").ok()
    below = client.folder / "below"
    assert done.text.splitlines()[:5] == [str(below), ".", "..", "file", "3"]
    assert "below" in done.text.splitlines()[5:]
    assert client.script("!exit 5").status == 5
    assert client.script("lcd no-such-folder").fails(NOT_FOUND, "no-such-folder")


@pytest.mark.cases(2)
@pytest.mark.parametrize("end", ["EXIT", "exit", "Quit", "bye", "exit 3"])
def test_exit_ends_it_in_any_case(client, end):
    assert client.script("ls --json nothing-there-1", end, "frobnicate").status == NOT_FOUND


def test_its_status_is_that_of_the_last_command(client, room):
    assert client.script("ls no", f"ls {room}").ok().complaints == ["There is no 'no'."]
    client.script(f"ls {room}", "ls no").fails(NOT_FOUND)
    client.script("ls no", "", "").fails(NOT_FOUND)


def test_errors_do_not_end_it(client, room):
    lines = [
        "ls no",
        "frobnicate",
        "ls 'open",
        "put",
        "shell",
        "enroll x",
        "--profile x ls",
        "ls -x",
    ]
    done = client.script(*lines, f"ls {room}/a").ok()
    assert done.text == f"{room}/a\n"
    assert len(done.complaints) == len(lines)


def test_what_is_wrong_with_a_line_is_json_too(client):
    done = client.run("--json", "shell", given=b"ls 'open\nls no\nshell\n")
    assert done.status == USAGE
    told = [line for line in done.lines if line]
    assert [line.count('"error"') for line in told] == [1, 1, 1]


def test_its_commands_cannot_be_put_as_a_file(client, room):
    done = client.script(f"put - {room}/x", f"ls {room}/x").fails(NOT_FOUND)
    assert done.complaints[0].startswith("Standard input holds the commands here")


def test_help_is_at_hand(client):
    done = client.run("shell", given=b"help\n?\nhelp put\n").ok()
    assert done.err.count("SEND_FILE and REQUEST_FILE ask") == 2
    assert done.text.startswith("Usage: fsclient put")


def test_a_command_that_there_is_not_leads_to_those_of_the_shell(client):
    told = client.run("shell", given=b"zzzz\nlsit\nfrobnicate\n").fails(USAGE).err
    assert "Did you mean 'ls'?" in told
    assert "'shell'" not in told
    assert "fsclient --help" not in told
    assert told.count("'help' lists the commands.") == 2


def test_an_option_of_one_line_is_not_one_of_the_next(client, room):
    done = client.script(f"ls --json {room}/a", f"ls {room}/a").ok()
    assert done.text.startswith("[{")
    assert done.text.endswith(f"}}]\n{room}/a\n")


def test_without_a_session_and_a_terminal_it_does_not_begin(newcomer):
    client = newcomer()
    client.run("shell", given=b"ls\n").fails(NOT_FOUND, "enroll")
    client.enrol().run("logout").ok()
    client.run("shell", given=b"ls\n").fails(LOGIN, "--otp")
    client.run("shell", "--otp", client.app.fresh(), given=b"ls\nlogout\n").ok()


def test_a_code_is_used_for_one_login_and_not_tried_again(newcomer):
    client = newcomer().enrol()
    client.run("logout").ok()
    done = client.run("--otp", client.app.fresh(), "shell", given=b"ls\nlogout\nls\n")
    assert done.fails(LOGIN).complaints == [
        "A one-time password is needed, and there is no terminal to ask for it."
    ]


# --- on a terminal


@pytest.fixture
def prompt(client: Client) -> str:
    return prompt_of(client)


def prompt_of(client: Client) -> str:
    """Return the text of a new prompt; a prompt that is redrawn does not follow a newline."""
    return f"\n{client.name}>"


def test_a_person_works_in_it(client, room, prompt):
    with Terminal(client, "shell") as screen:
        screen.wait_for(prompt)
        screen.type(f"ls {room}{RETURN}")
        screen.wait_for("two words/\n")
        screen.wait_for(prompt)
        screen.type(f"SEND_FILE{RETURN}")
        screen.wait_for("Path of the file to send: ")
        screen.type(f"a{RETURN}")
        screen.wait_for("put 1 file, 1 B")
        screen.wait_for(prompt)
        screen.type(f"request_file{RETURN}")
        screen.wait_for("Name of the file to get: ")
        screen.type(f"{room}/a{RETURN}")
        screen.wait_for("got 1 file, 1 B")
        screen.wait_for(prompt)
        screen.type(f"ls no{RETURN}")
        screen.wait_for("There is no 'no'.")
        screen.wait_for(prompt)
        screen.type(f"Exit{RETURN}")
        assert screen.ends() == 0
    client.quick("rm", "a").ok()


def test_ctrl_c_and_ctrl_d_give_up_a_question_a_line_and_the_shell(client, prompt):
    with Terminal(client, "shell") as screen:
        screen.wait_for(prompt)
        for key in (CTRL_C, CTRL_D):
            screen.type(f"SEND_FILE{RETURN}")
            screen.wait_for("Path of the file to send: ")
            screen.insist(key, prompt)
        screen.type(f"half a line{CTRL_C}")
        screen.wait_for(prompt)
        screen.type(f"put - {client.room}/typed{RETURN}")
        screen.wait_for("Reading what is typed")
        screen.type(f"one line{RETURN}{CTRL_D}")
        screen.wait_for("put 1 file and 1 folder, 9 B")
        screen.wait_for(prompt)
        screen.type(f"put - {client.room}/other{RETURN}")
        screen.wait_for("Reading what is typed")
        screen.type("one line")
        screen.insist(CTRL_C, "Interrupted")
        screen.wait_for(prompt)
        screen.type(f"cat {client.room}/typed{RETURN}")
        screen.wait_for("one line\n")
        screen.wait_for(prompt)
        screen.type(CTRL_D)
        assert screen.ends() == 0


def test_the_tab_key_completes_commands_and_paths(client, room, prompt):
    with Terminal(client, "shell") as screen:
        screen.wait_for(prompt)
        screen.type(f"stat{TAB}")
        screen.wait_for("status")
        screen.type(RETURN)
        screen.wait_for("stored")
        screen.wait_for(prompt)
        screen.type(f"cat {room}/tw{TAB}")
        screen.wait_for("o\\ words/")
        screen.type(f"x{TAB}")
        screen.wait_for("\\ y")
        screen.type(RETURN)
        screen.wait_for("\nxy\n")
        screen.wait_for(prompt)
        screen.type(f'ls "{room}/tw{TAB}')
        screen.wait_for("o words/")
        screen.type(f'"{RETURN}')
        screen.wait_for("\nx y\n")
        screen.wait_for(prompt)
        screen.type(f"put start/two\\ w{TAB}")
        screen.wait_for("ords/")
        screen.type(f"x{TAB}")
        screen.wait_for("\\ y")
        screen.type(f" {room}/sent{RETURN}")
        screen.wait_for("put 1 file, 3 B")
        screen.wait_for(prompt)
        screen.type(f"exit{RETURN}")
        assert screen.ends() == 0


def test_it_remembers_what_was_typed_from_one_time_to_the_next(newcomer):
    client = newcomer().enrol()
    for typed in ("mkdir -p remembered", UP):
        with Terminal(client, "shell") as screen:
            screen.wait_for(prompt_of(client))
            screen.type(typed)
            screen.wait_for("mkdir -p remembered")
            screen.type(RETURN)
            screen.wait_for(prompt_of(client))
            screen.type(CTRL_D)
            assert screen.ends() == 0


def test_it_reconnects_after_a_restart_of_the_server(tmp_path):
    with RunningServer.start(tmp_path / "fsd-home") as server:
        client = Client(server, "stayer", tmp_path).enrol()
        client.write("large", stretch("large", 2_000_000))
        with Terminal(client, "shell") as screen:
            screen.wait_for(prompt_of(client))
            server.kill()
            screen.type(f"ls{RETURN}")
            screen.wait_for("cannot be reached")
            screen.wait_for(prompt_of(client))
            with server.restart():
                screen.type(f"put large{RETURN}")
                screen.wait_for("put 1 file, 2.0 MB")
                screen.wait_for(prompt_of(client))
                screen.type(f"exit{RETURN}")
                assert screen.ends() == 0


def test_it_asks_for_a_code_when_the_session_has_ended(newcomer):
    client = newcomer().enrol()
    with Terminal(client, "shell") as screen:
        screen.wait_for(prompt_of(client))
        screen.type(f"logout{RETURN}")
        screen.wait_for("Logged out.")
        screen.wait_for(prompt_of(client))
        screen.type(f"whoami{RETURN}")
        screen.wait_for("fingerprint")
        screen.wait_for(prompt_of(client))
        screen.type(f"mkdir new{RETURN}")
        screen.wait_for("One-time password: ")
        screen.type(f"{client.app.fresh()}{RETURN}")
        screen.wait_for("made new/")
        screen.wait_for(prompt_of(client))
        screen.type(f"EXIT{RETURN}")
        assert screen.ends() == 0


def test_a_session_ended_on_another_machine_is_started_again(newcomer):
    client = newcomer().enrol()
    with Terminal(client, "shell") as screen:
        screen.wait_for(prompt_of(client))
        admin(client.server, "disable-user", client.name)
        admin(client.server, "enable-user", client.name)
        (client.profile / "session").write_text(f"{'00' * 32} 1\n")
        screen.type(f"ls{RETURN}")
        screen.wait_for("One-time password: ")
        screen.type(f"{client.app.fresh()}{RETURN}")
        screen.wait_for(prompt_of(client))
        screen.type(f"exit{RETURN}")
        assert screen.ends() == 0


# --- questions on a terminal


def test_enrolling_asks_for_a_passphrase_twice_and_for_a_code(newcomer):
    client = newcomer()
    with Terminal(client, "enroll", client.link) as screen:
        screen.wait_for("New passphrase (empty for none): ")
        screen.type(f"one{RETURN}")
        screen.wait_for("The same again: ")
        screen.type(f"two{RETURN}")
        screen.wait_for("differ")
        assert screen.ends() == USAGE
    with Terminal(client, "enroll", client.link) as screen:
        screen.wait_for("New passphrase (empty for none): ")
        screen.insist(CTRL_C, "Interrupted")
        assert screen.ends() == 130
    assert not client.home.exists()
    with Terminal(client, "enroll", client.link) as screen:
        screen.wait_for("New passphrase (empty for none): ")
        screen.type(f"secret words{RETURN}")
        screen.wait_for("The same again: ")
        screen.type(f"secret words{RETURN}")
        screen.wait_for("One-time password: ")
        screen.type(RETURN)
        screen.wait_for("6 to 8 digits")
        screen.wait_for("One-time password: ")
        screen.type(f"000000{RETURN}")
        screen.wait_for("The login was refused")
        screen.wait_for("One-time password: ")
        code = client.app.fresh()
        screen.type(f"{code[:3]} {code[3:]}{RETURN}")
        screen.wait_for("is enrolled at")
        assert screen.ends() == 0
        assert "secret words" not in screen.shown
    client.run("ls").fails(LOGIN, "FSCLIENT_PASSPHRASE")
    with Terminal(client, "ls") as screen:
        screen.wait_for("Passphrase of your identity: ")
        screen.type(f"secret words{RETURN}")
        assert screen.ends() == 0


def test_ctrl_c_over_and_over_ends_without_a_traceback(newcomer):
    client = newcomer()
    with Terminal(client, "enroll", client.link) as screen:
        screen.wait_for("New passphrase (empty for none): ")
        # The client may have ended before all answers were typed.
        with contextlib.suppress(OSError):
            for _ in range(5):
                screen.type(CTRL_C * 100)
        assert screen.ends() in (130, -signal.SIGINT)
    assert not client.home.exists()


def test_an_empty_passphrase_is_none_and_three_wrong_codes_are_enough(newcomer):
    client = newcomer()
    with Terminal(client, "enroll", client.link) as screen:
        screen.wait_for("New passphrase (empty for none): ")
        screen.type(RETURN)
        for code in ("000000", "111111", "222222"):
            screen.wait_for("One-time password: ")
            screen.type(f"{code}{RETURN}")
        assert screen.ends() == LOGIN
        assert screen.shown.count("The login was refused") == 3
    assert not list(client.home.rglob("*.key"))
    # The server throttles the person who guessed that often. Another person can still enrol,
    # and is asked for a passphrase again.
    other = newcomer()
    with Terminal(other, "enroll", other.link) as screen:
        screen.wait_for("New passphrase (empty for none): ")
        screen.type(RETURN)
        screen.wait_for("One-time password: ")
        screen.type(f"{other.app.fresh()}{RETURN}")
        assert screen.ends() == 0
    other.run("ls").ok()


def test_ctrl_d_at_a_question_ends_the_program(newcomer):
    client = newcomer()
    with Terminal(client, "enroll", client.link, "--no-passphrase") as screen:
        screen.wait_for("One-time password: ")
        screen.type(CTRL_D)
        screen.wait_for("There was no answer")
        assert screen.ends() == 130


def test_a_question_is_asked_on_the_terminal_even_if_output_goes_elsewhere(newcomer):
    client = newcomer().enrol()
    client.run("logout").ok()
    with Terminal(client, "ls", "--json") as screen:
        screen.wait_for("One-time password: ")
        screen.type(f"{client.app.fresh()}{RETURN}")
        screen.wait_for("[]\n")
        assert screen.ends() == 0


def test_long_sentences_are_broken_between_words(newcomer):
    client = newcomer()
    with Terminal(client, "enroll", client.link, "--otp", "000000", "--no-passphrase") as screen:
        assert screen.ends() == LOGIN
        lines = screen.shown.splitlines()
    assert all(len(line) < 80 for line in lines)
    assert len(lines) > 2
    assert all(line.startswith(" " * 10) for line in lines[1:])


def test_where_nothing_answers_the_shell_does_not_begin(client, tmp_path):
    import json
    import shutil

    home = tmp_path / "home"
    shutil.copytree(client.home, home)
    facts = home / "profiles/default/profile.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"port": 1}))
    client.run("shell", given=b"ls\n", FSCLIENT_HOME=str(home)).fails(UNREACHABLE)
