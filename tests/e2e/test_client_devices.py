"""Several devices of a person, and lost ones: export and import, backup and recovery."""

from __future__ import annotations

import copy
import json
import os
import shutil
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fsclient.trust.bip39 import phrase_of
from fsclient.trust.seen import SeenVersions
from fsproto.keys.export import open_export
from tests.support.client_processes import (
    CONFLICT,
    INTERRUPTED,
    LOGIN,
    NOT_FOUND,
    SECURITY,
    UNREACHABLE,
    USAGE,
    Client,
    Cutter,
    Ran,
    Terminal,
    fingerprint_at,
    finish,
)

EXPORT: dict[str, Any] = {"FSCLIENT_EXPORT_PASSPHRASE": "für die Reise"}
RECOVERY = 3
"""The server's messages on a connection: its hello, its confirmation, and the backup."""


@pytest.fixture
def alice(newcomer) -> Client:
    """A person for this test alone, with a file in their tree."""
    client: Client = newcomer().enrol()
    client.write("x", b"content")
    client.quick("put", "x").ok()
    return client


@pytest.fixture
def laptop(alice: Client, tmp_path: Path) -> Client:
    """The same person on another machine, where the client has no data yet."""
    other = copy.copy(alice)
    other.home = tmp_path / "laptop"
    return other


def nothing_is_kept(client: Client) -> bool:
    return not [path for path in client.home.rglob("*") if path.is_file()]


def exported(client: Client, name: str = "keys.export") -> Path:
    client.run("keys", "export", name, **EXPORT).ok()
    return client.folder / name


# --- export and import


def test_exported_keys_are_the_same_person_on_another_machine(alice, laptop):
    done = alice.run("keys", "export", "keys.export", **EXPORT).ok()
    assert "fsclient keys import" in done.err
    file = alice.folder / "keys.export"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    done = laptop.run("keys", "import", file, "--no-passphrase", **EXPORT).ok()
    assert done.lines == [f"fingerprint {fingerprint_at(alice.server, alice.name)}"]
    assert "fsclient login" in done.err
    laptop.run("ls").fails(LOGIN, "one-time password")
    laptop.quick("login", "--otp", alice.app.fresh()).ok()
    assert laptop.cat("x") == b"content"
    laptop.write("y", b"from the laptop")
    laptop.quick("put", "y").ok()
    assert alice.cat("y") == b"from the laptop"
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in laptop.profile.iterdir()}
    kept = ["identity.key", "memory.db", "people.db", "profile.json", "session"]
    assert files == dict.fromkeys([*kept, "login.lock", "use.lock"], 0o600)
    assert stat.S_IMODE(laptop.profile.stat().st_mode) == 0o700


def test_the_new_machine_knows_what_the_old_one_has_seen(alice, laptop):
    laptop.run("keys", "import", exported(alice), "--no-passphrase", **EXPORT).ok()
    known, new = (SeenVersions(each.profile / "memory.db") for each in (alice, laptop))
    with closing(known), closing(new):
        assert len(known.everything()) >= 2
        assert set(new.everything()) == set(known.everything())


def test_an_export_goes_through_a_pipe(alice, laptop):
    out = alice.run("keys", "export", "-", "--json", **EXPORT).ok().out
    assert open_export(out, EXPORT["FSCLIENT_EXPORT_PASSPHRASE"]).identity.user == alice.name
    laptop.run("keys", "import", "-", "--no-passphrase", given=out, **EXPORT).ok()
    assert laptop.quick("whoami").ok().lines[0].split() == ["user", alice.name]


def test_programs_get_json(alice, laptop):
    shown = fingerprint_at(alice.server, alice.name)
    told = alice.run("keys", "export", "k", "--json", **EXPORT).ok().json()
    assert told == {"user": alice.name, "file": "k", "fingerprint": shown}
    file = alice.folder / "k"
    told = laptop.run("keys", "import", file, "--json", "--no-passphrase", **EXPORT).ok().json()
    server = str(alice.server.address)
    assert told == {"user": alice.name, "server": server, "fingerprint": shown}


def test_an_existing_file_is_replaced_only_with_force(alice):
    there = alice.write("k", b"existing")
    alice.run("keys", "export", "k", **EXPORT).fails(CONFLICT, "exists already", "--force")
    (alice.folder / "dangling").symlink_to("nowhere")
    alice.run("keys", "export", "dangling", **EXPORT).fails(CONFLICT)
    assert there.read_bytes() == b"existing"
    alice.run("keys", "export", "k", "--force", **EXPORT).ok()
    assert there.read_bytes().startswith(b"FSEXP1\n")
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    alice.run("keys", "export", "no/k", **EXPORT).fails(NOT_FOUND)
    alice.run("keys", "export", ".", "--force", **EXPORT).fails(USAGE)


@pytest.mark.parametrize("env", [{}, {"FSCLIENT_EXPORT_PASSPHRASE": ""}], ids=["none", "empty"])
def test_there_is_no_export_without_a_passphrase(alice, env):
    alice.run("keys", "export", "k", **env).fails(USAGE, "passphrase")
    assert not (alice.folder / "k").exists()


def test_a_wrong_passphrase_leaves_nothing(alice, laptop):
    line = "keys", "import", exported(alice), "--no-passphrase"
    laptop.run(*line, FSCLIENT_EXPORT_PASSPHRASE="another").fails(LOGIN, "Wrong passphrase")
    laptop.run(*line).fails(LOGIN, "FSCLIENT_EXPORT_PASSPHRASE")
    assert nothing_is_kept(laptop)
    laptop.run(*line, **EXPORT).ok()


def test_a_damaged_file_leaves_nothing(alice, laptop):
    whole = exported(alice).read_bytes()
    at = len(whole) // 2
    for damaged in (
        b"",
        whole[:-1],
        whole[:at],
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        whole + b"\n",
        b"something else",
    ):
        file = alice.write("damaged", damaged)
        laptop.run("keys", "import", file, "--no-passphrase", **EXPORT).fails(SECURITY, "exported")
    assert nothing_is_kept(laptop)
    laptop.run("keys", "import", "no", "--no-passphrase", **EXPORT).fails(NOT_FOUND)


def test_a_profile_that_is_there_is_never_replaced(alice, newcomer):
    bob = newcomer().enrol()
    file = exported(alice)
    before = {path: path.read_bytes() for path in bob.profile.rglob("*") if path.is_file()}
    line = "keys", "import", file, "--no-passphrase"
    bob.run(*line, **EXPORT).fails(CONFLICT, bob.name, "--profile")
    assert {path: path.read_bytes() for path in bob.profile.rglob("*")} == before
    bob.run(*line, "--profile", "alice", **EXPORT).ok()
    assert bob.quick("whoami", "--profile", "alice", "--json").json()["user"] == alice.name
    assert bob.quick("whoami", "--json").json()["user"] == bob.name
    left = {path.name for path in (bob.home / "profiles").iterdir()}
    assert left == {"default", "alice"}


def test_each_machine_has_a_passphrase_of_its_own(alice, laptop):
    file = exported(alice)
    line = "keys", "import", file
    laptop.run(*line, **EXPORT).fails(USAGE, "FSCLIENT_PASSPHRASE", "--no-passphrase")
    assert nothing_is_kept(laptop)
    laptop.run(*line, FSCLIENT_PASSPHRASE="of the laptop", **EXPORT).ok()
    laptop.run("whoami").fails(LOGIN, "FSCLIENT_PASSPHRASE")
    laptop.run("whoami", FSCLIENT_PASSPHRASE="of the laptop").ok()
    again = laptop.folder / "again"
    sealed = {"FSCLIENT_PASSPHRASE": "of the laptop", **EXPORT}
    laptop.run("keys", "export", again, **EXPORT).fails(LOGIN, "passphrase")
    assert not again.exists()
    laptop.run("keys", "export", again, **sealed).ok()


def test_without_an_enrolment_there_is_nothing_to_export(laptop):
    laptop.run("keys", "export", "k", **EXPORT).fails(NOT_FOUND, "enroll")
    assert nothing_is_kept(laptop)


def test_on_a_terminal_the_passphrase_is_asked_for_twice_and_not_shown(alice, laptop):
    with Terminal(alice, "keys", "export", "k") as terminal:
        terminal.wait_for("Passphrase for the file: ")
        terminal.type("secret one\r")
        terminal.wait_for("The same again: ")
        terminal.type("secret two\r")
        assert terminal.ends() == USAGE
        assert "differ" in terminal.shown
        assert "secret" not in terminal.shown
    assert not (alice.folder / "k").exists()
    with Terminal(alice, "keys", "export", "k") as terminal:
        for question in ("Passphrase for the file: ", "The same again: "):
            terminal.wait_for(question)
            terminal.type("secret one\r")
        assert terminal.ends() == 0
    with Terminal(laptop, "keys", "import", str(alice.folder / "k")) as terminal:
        terminal.wait_for("Passphrase of the file: ")
        terminal.type("secret one\r")
        terminal.wait_for("New passphrase (empty for none): ")
        terminal.type("\r")
        assert terminal.ends() == 0
    laptop.quick("whoami").ok()


def test_a_file_that_comes_while_the_passphrase_is_typed_is_not_replaced(alice):
    with Terminal(alice, "keys", "export", "k") as terminal:
        terminal.wait_for("Passphrase for the file: ")
        there = alice.write("k", b"what has come")
        terminal.type("secret\r")
        terminal.wait_for("The same again: ")
        terminal.type("secret\r")
        assert terminal.ends() == CONFLICT
    assert there.read_bytes() == b"what has come"


# --- backup and recovery


def back_up(client: Client) -> str:
    told = client.quick("--otp", client.app.fresh(), "keys", "backup", "--json").ok().json()
    assert told["user"] == client.name
    assert len(told["phrase"].split()) == 12
    return str(told["phrase"])


def recover(client: Client, phrase: str, *more: str, **env: Any) -> Ran:
    line = "keys", "recover", client.link, "--no-passphrase", *more
    return client.run(*line, FSCLIENT_RECOVERY_PHRASE=phrase, **env)


def test_the_phrase_and_one_code_give_everything_back(alice, laptop):
    phrase = back_up(alice)
    shutil.rmtree(alice.home)
    done = recover(laptop, phrase, "--otp", alice.app.fresh()).ok()
    assert done.lines == [f"fingerprint {fingerprint_at(alice.server, alice.name)}"]
    assert laptop.quick("cat", "x").ok().out == b"content"  # the recovery has also logged in
    laptop.write("y", b"new")
    laptop.quick("put", "y").ok()
    names = {path.name for path in laptop.profile.iterdir()} - {"use.lock"}
    assert names == {"identity.key", "memory.db", "people.db", "profile.json", "session"}
    assert {path.name for path in (laptop.home / "profiles").iterdir()} == {"default"}


def test_a_code_recovers_once(alice, laptop, tmp_path):
    alice.new_secret()
    phrase, otp = back_up(alice), alice.app.fresh()
    recover(laptop, phrase, "--otp", otp).ok()
    third = copy.copy(alice)
    third.home = tmp_path / "third"
    recover(third, phrase, "--otp", otp).fails(LOGIN, "used one-time password")
    assert nothing_is_kept(third)
    recover(third, phrase, "--otp", alice.app.fresh()).ok()  # the phrase is still valid


def test_of_several_recoveries_with_one_code_exactly_one_succeeds(alice, tmp_path):
    phrase, otp = back_up(alice), alice.app.fresh()
    machines = []
    for number in range(4):
        machine = copy.copy(alice)
        machine.home = tmp_path / str(number)
        machines.append(machine)
    line = "keys", "recover", alice.link, "--no-passphrase", "--otp", otp
    running = [one.start(*line, FSCLIENT_RECOVERY_PHRASE=phrase) for one in machines]
    ended = [finish(process).status for process in running]
    assert sorted(ended) == [0, LOGIN, LOGIN, LOGIN]
    for machine, status in zip(machines, ended, strict=True):
        assert nothing_is_kept(machine) == (status != 0)


def test_the_phrase_of_an_older_backup_opens_nothing_and_costs_no_code(alice, laptop):
    alice.new_secret()
    older, newer, otp = back_up(alice), back_up(alice), alice.app.fresh()
    recover(laptop, older, "--otp", otp).fails(LOGIN, "another phrase")
    assert nothing_is_kept(laptop)
    recover(laptop, newer, "--otp", otp).ok()


def test_without_a_backup_it_is_refused_like_all_else(alice, laptop):
    recover(laptop, phrase_of(os.urandom(16)), "--otp", alice.app.fresh()).fails(LOGIN, "no backup")
    assert nothing_is_kept(laptop)


def test_typing_errors_in_the_phrase_are_reported_before_anything_is_sent(alice, laptop):
    phrase = back_up(alice)
    words = phrase.split()
    server = alice.server.log
    for wrong, told in (
        (" ".join([*words[:4], "wurd", *words[5:]]), "Word 5 "),
        (" ".join(words[:-1]), "12 words, not 11"),
        ("zoo " * 12, "do not belong together"),
    ):
        done = recover(laptop, wrong, "--otp", "123456").fails(USAGE, told)
        assert "wurd" not in done.err
    recover(laptop, phrase).fails(LOGIN, "--otp")
    laptop.run("keys", "recover", alice.link, "--no-passphrase").fails(
        USAGE, "FSCLIENT_RECOVERY_PHRASE"
    )
    assert alice.server.log == server
    assert nothing_is_kept(laptop)


def test_a_profile_that_is_there_is_not_recovered_over(alice):
    phrase, otp = back_up(alice), alice.app.fresh()
    recover(alice, phrase, "--otp", otp).fails(CONFLICT, "--profile")
    recover(alice, phrase, "--otp", otp, "--profile", "again").ok()  # the code was not consumed


def test_the_recovered_identity_is_kept_under_a_new_passphrase(alice, laptop):
    phrase, sealed = back_up(alice), {"FSCLIENT_PASSPHRASE": "of the laptop"}
    line = "keys", "recover", laptop.link, "--otp", alice.app.fresh()
    laptop.run(*line, FSCLIENT_RECOVERY_PHRASE=phrase, **sealed).ok()
    laptop.run("ls").fails(LOGIN, "FSCLIENT_PASSPHRASE")
    laptop.run("ls", **sealed).ok()


def test_a_connection_cut_behind_the_backup_leaves_nothing_and_a_new_code_works(alice, laptop):
    alice.new_secret()
    phrase = back_up(alice)
    with Cutter(alice.server.address, RECOVERY + 1, bool) as cutter:
        address = str(alice.server.address)
        laptop.added = dict(
            alice.added, enroll_link=alice.link.replace(address, str(cutter.address))
        )
        recover(laptop, phrase, "--otp", alice.app.fresh()).fails(UNREACHABLE)
        assert cutter.reached.is_set()
        assert nothing_is_kept(laptop)
        recover(laptop, phrase, "--otp", alice.app.fresh()).ok()
        assert laptop.cat("x") == b"content"


def test_a_backup_whose_answer_is_lost_says_that_it_is_not_known(alice):
    facts = alice.profile / "profile.json"
    honest = facts.read_text()
    # The server's messages: the hello, the confirmation, the welcome for the ticket, and the
    # answer.
    with Cutter(alice.server.address, 4, bool) as cutter:
        where = {"host": cutter.address.host, "port": cutter.address.port}
        facts.write_text(json.dumps(json.loads(honest) | where))
        done = alice.quick("--otp", alice.app.fresh(), "keys", "backup")
        done.fails(UNREACHABLE, "make another one")
        assert done.out == b""
    facts.write_text(honest)
    back_up(alice)


def test_a_backup_needs_a_session_and_a_code_of_its_own(alice):
    alice.quick("logout").ok()
    alice.run("keys", "backup").fails(LOGIN)
    alice.run("keys", "backup", "--otp", alice.app.fresh()).fails(LOGIN)  # it started the session
    alice.quick("keys", "backup", "--otp", alice.app.fresh()).ok()


def test_keys_that_were_reset_are_not_recovered(alice, laptop):
    phrase = back_up(alice)
    assert alice.server.admin("reset-keys", alice.name, "--yes").returncode == 0
    recover(laptop, phrase, "--otp", alice.app.fresh()).fails(LOGIN)
    assert nothing_is_kept(laptop)


def test_on_a_terminal_the_words_are_shown_once_and_typed_with_slips(alice, laptop):
    done = alice.quick("--otp", alice.app.fresh(), "keys", "backup").ok()
    assert "not shown again" in done.err
    numbered = done.text.split()
    assert numbered[::2] == [str(number) for number in range(1, 13)]
    words = numbered[1::2]
    with Terminal(laptop, "keys", "recover", alice.link, "--no-passphrase") as terminal:
        terminal.wait_for("Recovery phrase (12 words): ")
        terminal.type(" ".join(["qqqq", *words[1:]]) + "\r")
        terminal.wait_for("Word 1 of the recovery phrase, 'qqqq', is not in the list")
        terminal.wait_for("Recovery phrase (12 words): ")
        terminal.type("  ".join(words).upper() + "\r")
        terminal.wait_for("One-time password: ")
        terminal.type(f"{alice.app.fresh()}\r")
        assert terminal.ends() == 0
    assert laptop.cat("x") == b"content"


def test_an_interrupted_recovery_leaves_nothing(alice, laptop):
    with Terminal(laptop, "keys", "recover", alice.link, "--no-passphrase") as terminal:
        terminal.wait_for("Recovery phrase (12 words): ")
        terminal.insist("\x03", "Interrupted")
        assert terminal.ends() == INTERRUPTED
    assert nothing_is_kept(laptop)


def test_the_server_logs_neither_phrase_nor_code(alice, laptop):
    before = len(alice.server.log)  # a line of another test's log may contain a word of the phrase
    phrase, otp = back_up(alice), alice.app.fresh()
    recover(laptop, phrase, "--otp", otp).ok()
    log = alice.server.log[before:]
    assert "kept a backup of keys" in log
    assert "handed out a backup" in log
    assert otp not in log
    assert not [word for word in phrase.split() if f" {word} " in log]
