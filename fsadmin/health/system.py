"""Checks of the machine's clock and of the running server."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fsadmin.health.report import CheckResult, bad, fine, note
from fsproto import crypto
from fsproto.errors import FsError, HostKeyError
from fsproto.link import Address, parse_address
from fsproto.wire.connection import NEED_DATA, Connection
from fsproto.wire.handshake import ClientHandshake

if TYPE_CHECKING:
    from fsd.home.home import Home

_WITHIN_S = 5.0
_GREETING = 255
"""Bytes of the first line of SSH at most (RFC 4253, 4.2)."""
_TIME_ERROR = 5
"""The return value of adjtimex(2) while the clock is not synchronised."""
_TIMEX_BYTES = 256
"""More bytes than `struct timex` has."""
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - this is where it is looked up


def clock() -> Iterator[CheckResult]:
    """Check whether the system clock is synchronised, where the system reports it."""
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        state = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # all zero: only asks
        if state == _TIME_ERROR:
            yield note(
                "clock",
                "This machine's clock is not synchronised.",
                "let chrony or systemd-timesyncd set it: one-time passwords depend on it",
            )
        elif state >= 0:
            yield fine("clock", "This machine's clock is synchronised.")


def port(home: Home) -> Iterator[CheckResult]:
    """Connect as a client does, up to the host key."""
    last = home.last_run().get("address")
    if not last:
        yield note("port", "fsd has not run in this home yet.", "start fsd")
        return
    address = parse_address(last)
    try:
        expected = crypto.fingerprint(home.host_key().public)
        _shake_hands(address, expected)
    except HostKeyError:
        yield bad(
            "port",
            f"fsd at {address} shows another host key than the one in the home.",
            "systemctl reload fsd (or SIGHUP) has it take the new key over",
        )
    except FsError as error:
        yield bad(
            "port", f"The server at {address} failed the check: {error.sentence}", "see its log"
        )
    except OSError as error:
        yield bad(
            "port",
            f"No server answers at {address}: {error.strerror or 'it takes too long'}.",
            "start fsd (systemctl start fsd), or look into its log for why it ended",
        )
    else:
        yield fine("port", f"fsd answers at {address} with the right host key.")


def ssh(home: Home) -> Iterator[CheckResult]:
    """Check that fsd's SSH listener answers, if SSH access is enabled."""
    last = home.last_run().get("ssh")
    if last is None:
        return
    address = parse_address(last)
    host = _ANYWHERE.get(address.host, address.host)
    try:
        with socket.create_connection((host, address.port), _WITHIN_S) as sock:
            greeting = sock.makefile("rb").readline(_GREETING)
    except OSError as error:
        yield bad(
            "ssh",
            f"Nothing speaks SSH at {address}: {error.strerror or 'it takes too long'}.",
            "start fsd (systemctl start fsd), or look into its log for why it ended",
        )
        return
    if greeting.startswith(b"SSH-2.0-fsd"):
        yield fine("ssh", f"fsd speaks SSH at {address}.")
    else:
        yield bad(
            "ssh", f"The server at {address} is not an fsd.", "give fsd an address of its own"
        )


def _shake_hands(address: Address, expected: str) -> None:
    connection = Connection(ClientHandshake(expected, os.urandom))
    host = _ANYWHERE.get(address.host, address.host)
    with socket.create_connection((host, address.port), _WITHIN_S) as sock:
        sock.sendall(connection.start())
        while connection.next_event() is NEED_DATA:
            connection.receive_data(sock.recv(1 << 16))
