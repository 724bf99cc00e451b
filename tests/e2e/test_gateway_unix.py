"""The gateway on a Unix socket: stock programs through it, and no access for other users."""

from __future__ import annotations

import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsclient.app import App
from fsclient.gateway.gateway import Gateway, running
from fsclient.gateway.keys import ALIAS
from fsclient.gateway.listen import SocketPath, listen, parse_place
from fsproto.errors import ExistsError, UsageError
from fsproto.link import Address
from tests.support.client_processes import Client
from tests.support.gateways import needed

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are none here")


@pytest.fixture
def place(tmp_path: Path) -> SocketPath:
    return SocketPath(tmp_path / "a 100% odd 'name'")


@pytest.fixture
def gateway(client: Client, place: SocketPath) -> Iterator[Gateway]:
    app = App()
    app.options.home, app.options.quiet = client.home, True
    with running(app, place, read_only=False, aside=True) as parts:
        threading.Thread(target=parts.server.serve, daemon=True).start()
        yield parts


def test_sftp_puts_and_gets_through_a_socket_of_its_user_alone(
    client: Client, gateway: Gateway, place: SocketPath
) -> None:
    needed("sftp")
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
    content = b"sealed behind a socket" * 100_000
    client.write("here", content)
    room = client.room
    done = subprocess.run(
        ["sftp", "-q", "-F", str(gateway.files.ssh_config), "-b", "-", ALIAS],
        input=f"put here /{room}.bin\nget /{room}.bin back\n",
        cwd=client.folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (client.folder / "back").read_bytes() == content
    assert client.quick("cat", f"{room}.bin").ok().out == content


def test_a_gateway_that_has_ended_leaves_no_socket(client: Client, place: SocketPath) -> None:
    app = App()
    app.options.home, app.options.quiet = client.home, True
    with running(app, place, read_only=True, aside=True):
        assert place.path.is_socket()
    assert not place.path.exists()


def test_the_socket_of_a_killed_gateway_is_replaced_and_that_of_a_running_one_is_not(
    place: SocketPath,
) -> None:
    with listen(place, allow_remote=False), pytest.raises(ExistsError, match="Another program"):
        listen(place, allow_remote=False)
    assert place.path.is_socket()  # closed without a word, as a kill leaves it
    listen(place, allow_remote=False).close()


def test_nothing_but_a_socket_is_replaced(place: SocketPath) -> None:
    place.path.write_bytes(b"a file")
    with pytest.raises(ExistsError, match="no socket"):
        listen(place, allow_remote=False)
    assert place.path.read_bytes() == b"a file"


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot listen"):
        listen(SocketPath(tmp_path / ("x" * 120)), allow_remote=False)


def test_places_are_read_as_addresses_or_paths(tmp_path: Path) -> None:
    assert parse_place(f"unix:{tmp_path}/s") == SocketPath(tmp_path / "s")
    assert parse_place("unix:~/s") == SocketPath(Path.home() / "s")
    assert parse_place("127.0.0.1:2022") == Address("127.0.0.1", 2022)
    for wrong in ("unix:", "unix:a\nb", "unix x"):
        with pytest.raises(UsageError):
            parse_place(wrong)
