"""A running gateway whose server shows it another branch from one question to the next.

The gateway stays connected, and its sessions, its cache and its open files stay in use. Programs
write, remove and list through it; nothing of that may happen on a branch that does not descend
from what the gateway has seen.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsclient.app import App
from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.gateway import Gateway, running
from fsclient.gateway.keys import ALIAS
from fskit.clock import now_ms
from fskit.sftp.codes import OpenFlag
from fsproto.errors import SecurityError
from fsproto.link import Address
from tests.support.forking_server import ForkingServer
from tests.support.gateways import at, needed
from tests.support.world import World

NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
OLDER, TWO = "THE SERVER SHOWED AN OLDER STATE", "THE SERVER SHOWED TWO DIFFERENT HISTORIES"
HERE, THERE = "main", "branch"
SIGNED = b"signed by alice\n"


@pytest.fixture
def server(team: World, tmp_path: Path) -> Iterator[ForkingServer]:
    """A server with a second branch, which lacks what alice's gateway writes."""
    server = ForkingServer(team.home, tmp_path / "branches", lambda *_: None, now_ms)
    try:
        team.meet(server.branches[HERE].server.address)
        server.fork(HERE, THERE)
        yield server
    finally:
        server.close()


@pytest.fixture
def gateway(team: World, server: ForkingServer) -> Iterator[Gateway]:
    """Alice's gateway, which has written a file and a folder, and has listed them."""
    app = App(team.alice.patience)
    app.options.home, app.options.quiet = team.alice.client, True
    with running(app, Address("127.0.0.1", 0), read_only=False, aside=True) as parts:
        threading.Thread(target=parts.server.serve, daemon=True).start()
        files = Filesystem(parts.backend)
        write(files, "reports/signed.txt", SIGNED)
        write(files, "notes.txt", SIGNED)
        assert "signed.txt" in names(files, "reports")
        yield parts


def write(files: Filesystem, path: str, content: bytes) -> None:
    """Write a file and close it, which makes a version."""
    handle = files.opened.open(at(path), NEW)
    files.opened.write(handle, 0, content)
    files.opened.close(handle)


def names(files: Filesystem, path: str) -> set[str]:
    return {name for name, _ in files.listing(at(path))}


def stays_as_it_is(world: World, server: ForkingServer, branch: str, *there: str) -> None:
    """Check with other clients what `reports` holds on a branch."""
    world.bob.meet(server.branches[branch].server.address)
    assert set(world.bob.run("ls", "alice:reports").succeeds().decode().split()) == set(there)


@pytest.mark.parametrize("versions", [0, 3])
def test_a_running_gateway_changes_nothing_on_a_branch_that_it_is_shown(
    team: World, server: ForkingServer, gateway: Gateway, versions: int
) -> None:
    """The branch is older, or bob writes on it as often as alice or more."""
    bob, files = team.bob, Filesystem(gateway.backend)
    bob.meet(server.branches[THERE].server.address)
    added = [f"bob{number}.txt" for number in range(versions)]
    for name in added:
        bob.run("put", bob.write(name, b"from bob"), "alice:reports/").succeeds()
    open_file = files.opened.open(at("reports/draft.txt"), NEW)
    files.opened.write(open_file, 0, b"half of it")
    server.plans[-1].usual = THERE
    words = f"{TWO}|{OLDER}"
    with pytest.raises(SecurityError, match=words):
        files.opened.close(open_file)
    with pytest.raises(SecurityError, match=words):
        write(files, "reports/more.txt", b"more")
    with pytest.raises(SecurityError, match=words):
        write(files, "reports/signed.txt", b"signed again")
    for name in ("signed.txt", "q1.txt"):
        with pytest.raises(SecurityError, match=words):
            files.remove(at(f"reports/{name}"))
    with pytest.raises(SecurityError, match=words):
        files.rename(at("reports/q1.txt"), at("reports/q3.txt"), replacing=False)
    with pytest.raises(SecurityError, match=words):
        files.rename(at("reports/q1.txt"), at("reports/signed.txt"), replacing=True)
    with pytest.raises(SecurityError, match=words):
        files.make_folder(at("reports/later"))
    with pytest.raises(SecurityError, match=words):
        files.listing(at("reports"))
    stays_as_it_is(team, server, THERE, "deep/", "q1.txt", "q2.txt", *added)
    server.plans[-1].usual = HERE
    assert names(files, "reports") >= {"signed.txt", "q1.txt", "q2.txt", "deep"}
    write(files, "reports/more.txt", b"more")
    team.carol.meet(server.branches[HERE].server.address)
    assert team.carol.cat("alice:reports/signed.txt") == SIGNED
    assert team.carol.cat("alice:reports/more.txt") == b"more"


def test_a_stock_program_fails_on_a_branch_and_the_gateway_says_why(
    team: World,
    server: ForkingServer,
    gateway: Gateway,
    capsys: pytest.CaptureFixture[str],
) -> None:
    needed("sftp")
    server.plans[-1].usual = THERE
    local = team.alice.write("local.txt", b"new")
    for line in (
        f"put {local} reports/local.txt",
        f"put {local} reports/signed.txt",
        "rm reports/q1.txt",
        "rename reports/q1.txt reports/q3.txt",
        "mkdir reports/later",
        "ls reports",
    ):
        fails(gateway, line)
        assert OLDER in capsys.readouterr().err, line
    stays_as_it_is(team, server, THERE, "deep/", "q1.txt", "q2.txt")
    server.plans[-1].usual = HERE
    stays_as_it_is(team, server, HERE, "deep/", "q1.txt", "q2.txt", "signed.txt")


def fails(gateway: Gateway, line: str) -> None:
    """Run OpenSSH's sftp with one command, which must fail."""
    done = subprocess.run(
        ["sftp", "-q", "-F", gateway.files.ssh_config, "-b", "-", ALIAS],
        input=f"{line}\n",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode != 0, (line, done)
