"""The page "Restore" of docs/operations.md, followed to the letter on a real server.

The test takes the commands from the page. It fails if the page has a command that it does not run.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support.client_processes import LOGIN, SECURITY, Client, Terminal, admin
from tests.support.relay import relayed
from tests.support.servers import ROOT, Authenticator, RunningServer, environment

PAGE = (ROOT / "docs" / "operations.md").read_text()
SECTION = PAGE[PAGE.index("## Restore\n") : PAGE.index("## Check the stored data\n")]
MESSAGE = re.sub(r"\n> ?", " ", SECTION[SECTION.index("> We restored") :].split("\n\nThe last")[0])
CODE = "One-time password: "
YES = "[y/N] "


def blocks() -> list[str]:
    """Return the code blocks of the section."""
    return re.findall(r"```\n(.*?)```", SECTION, re.DOTALL)


class Machine:
    """The server's machine: the page's commands, in folders of the test."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        self.folder, self.server = folder, server
        tools = folder / "bin"
        tools.mkdir()
        self._script(tools / "fsadmin", f'exec {shlex.join(relayed("fsadmin"))} "$@"')
        # In place of systemd: `stop` ends the process that serves, `start` is left to the test.
        os.mkfifo(folder / "stopped")
        self._script(
            tools / "systemctl",
            f'echo "$@" >> {folder}/systemctl; '
            f'[ "$1" != stop ] || {{ kill {server.process.pid}; cat {folder}/stopped; }}',
        )
        self.path = f"{tools}:{os.environ['PATH']}"

    def _script(self, path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run the root commands of the page, as the user of the test."""
        here = script.replace("/var/lib/fsd", str(self.server.home))
        here = here.replace("/backups/fsd-20260131T020000Z.backup", str(self.folder / "backup"))
        here = here.replace("chown -R fsd:", f"chown -R {pwd.getpwuid(os.geteuid()).pw_name}:")
        env = environment({"FSADMIN_PASSPHRASE": "a phrase for tests", "PATH": self.path})
        return subprocess.run(
            ["sh", "-e", "-c", here], env=env, capture_output=True, text=True, check=False
        )

    def stopped(self) -> None:
        """Wait for the end of the server, as its parent process; `stop` then ends too."""
        self.server.process.wait()
        (self.folder / "stopped").write_bytes(b"")


def add(server: RunningServer, name: str) -> dict[str, object]:
    found: dict[str, object] = admin(server, "add-user", name, "--period", "15")
    return found


def follow(client: Client, command: str, *questions: str) -> tuple[int, str]:
    """Run a command of the page on a terminal; answer each question with yes or a fresh code."""
    words = shlex.split(command)
    assert words[0] == "fsclient"
    with Terminal(client, *words[1:]) as terminal:
        for question in questions:
            terminal.wait_for(question)
            terminal.type(f"{'y' if question == YES else client.app.fresh()}\r")
        status = terminal.ends()
        return status, " ".join(terminal.shown.split())


@pytest.mark.long
def test_everybody_goes_on_after_a_restore_as_the_page_says(tmp_path: Path):
    ran: set[str] = set()

    def step(client: Client, command: str, *questions: str) -> tuple[int, str]:
        written = command.replace("carol:", "OWNER:")
        assert f"`{written}`" in MESSAGE
        ran.add(written)
        status, said = follow(client, command, *questions)
        print(client.name, command, status, said, sep="\n", end="\n\n")  # shown if the test fails
        return status, said

    with RunningServer.start(tmp_path / "fsd") as server:
        anna, carol = (
            Client(server, name, tmp_path / name, add(server, name)).enrol()
            for name in ("anna", "carol")
        )
        for one in (anna, carol):
            one.write("notes", b"old")
            one.write("early", b"early")
            one.run("put", "notes", "early", "/").ok()
        carol.write("plans/a", b"a")
        carol.run("put", "plans").ok()
        carol.run("share", "plans", "anna", "--write").ok()
        machine = Machine(tmp_path, server)
        made = machine.run(f"fsadmin --home {server.home} backup {tmp_path}/backup")
        assert made.returncode == 0, made.stderr

        # After the backup: carol replaces her keys, bob enrols, and files change.
        carol.run("keys", "rotate", "--otp", carol.app.fresh()).ok()
        bob = Client(server, "bob", tmp_path / "bob", add(server, "bob")).enrol()
        bob.write("notes", b"new")
        bob.run("put", "notes").ok()
        for one in (anna, carol):
            one.write("notes", b"new")
            one.run("put", "notes").ok()
        anna.run("ls", "carol:plans").ok()
        for name in ("bob", "carol"):
            anna.run("verify", name).ok()
            anna.run("verify", name, "--confirm").ok()

        restoring, starting = blocks()
        threading.Thread(target=machine.stopped, daemon=True).start()
        done = machine.run(restoring)
        assert done.returncode == 0, done.stdout + done.stderr
        for one in (anna, carol):
            one.app.skip_past()
    # Step 2: the account that is newer than the backup is added again.
    for command in ("list-users", "list-drop-keys", "add-user NAME --host HOST"):
        assert f"`fsadmin {command}`" in SECTION
    assert "bob" not in machine.run(f"fsadmin --home {server.home} list-users").stdout
    assert machine.run(f"fsadmin --home {server.home} list-drop-keys").returncode == 0
    added = admin(server, "add-user", "bob", "--host", server.address.host, "--period", "15")
    assert machine.run(starting).returncode == 0
    assert (tmp_path / "systemctl").read_text() == "stop fsd\nstart fsd\n"

    with RunningServer.start(server.home, listen=str(server.address)):
        carol.run("ls", "--otp", carol.app.fresh()).fails(LOGIN)

        # Step 1: keys that are newer than the backup.
        bob.app = Authenticator(added)
        status, said = step(bob, "fsclient keys republish --enroll", YES, CODE)
        assert status == 0, said
        status, said = step(carol, "fsclient keys republish", YES, CODE, CODE)
        assert status == 0, said
        assert "Next: fsclient doctor /" in said

        # Step 2: what differs; anna's device accepts the key log.
        status, said = step(anna, "fsclient doctor /", CODE)
        assert status == SECURITY
        assert "KEY LOG" in said
        accept_log = "fsclient doctor / --accept-key-log"
        status, said = step(anna, accept_log, YES)
        assert (status, "notes: the file" in said, "early" in said) == (SECURITY, True, False), said
        status, said = step(anna, "fsclient doctor carol:")
        assert status == 0, said  # carol has not signed the share again yet
        status, said = step(carol, "fsclient doctor /")
        assert (status, "notes: the file" in said) == (SECURITY, True), said
        status, said = step(bob, "fsclient doctor /")
        assert status == 0, said

        # Step 4: both accept, by name.
        for one in (anna, carol):
            status, said = step(one, "fsclient doctor / --accept", YES)
            assert status == 0, said
            assert one.run("cat", "notes").ok().out == b"old"
        status, said = step(carol, "fsclient shares")
        assert status == 0, said
        status, said = step(anna, "fsclient doctor carol: --accept", YES)
        assert status == 0, said

        # Everybody works, with the keys that anna compared before.
        for one in (anna, bob, carol):
            one.write("notes", b"again")
            one.run("put", "notes").ok()
            assert one.run("cat", "notes").ok().out == b"again"
        assert anna.run("cat", "carol:plans/a").ok().out == b"a"
        anna.run("mkdir", "team").ok()
        anna.run("share", "team", "bob").ok()
        anna.run("share", "team", "carol").ok()
        for one in (bob, carol):
            one.run("ls", "anna:team").ok()
            shown = anna.run("--json", "verify", one.name).ok().json()
            assert shown["compared"] is True
        whoami = carol.run("--json", "whoami").ok().json()
        assert whoami["fingerprint"] == admin(server, "show-user", "carol")["fingerprint"]
    assert set(re.findall(r"`(fsclient [^`]*)`", MESSAGE)) == ran
