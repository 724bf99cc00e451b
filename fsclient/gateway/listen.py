"""Where the gateway listens: an address of this machine, or a Unix socket of its user alone."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from fsclient.local_errors import local_errors
from fskit.user_folders import expanded
from fsproto.errors import ExistsError, NotAllowedError, UsageError
from fsproto.link import Address, parse_address
from fsproto.names import for_terminal

UNIX = "unix:"
_FAMILY = getattr(socket, "AF_UNIX", None)
"""The family of Unix sockets; None where there are none."""


@dataclass(frozen=True)
class SocketPath:
    """The path of a Unix socket."""

    path: Path

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"


Place = Address | SocketPath


def parse_place(text: str) -> Place:
    """Read `HOST:PORT` or `unix:PATH`; `UsageError` otherwise."""
    if not text.startswith(UNIX):
        return parse_address(text)
    path = text.removeprefix(UNIX)
    if not path or path != for_terminal(path):
        raise UsageError(f"'{for_terminal(text)}' names no socket; write unix:PATH.")
    if _FAMILY is None:
        raise UsageError("This system has no Unix sockets; use --listen HOST:PORT.")
    return SocketPath(expanded(Path(path), "--listen").absolute())


def listen(place: Place, *, allow_remote: bool) -> socket.socket:
    """Return a listening socket; raise `NotAllowedError` if other machines could connect.

    `allow_remote` permits that. A Unix socket has the mode 0600; `ExistsError` if something else is
    at its path, or if another gateway listens there.
    """
    if isinstance(place, SocketPath):
        return _listen_at(place.path)
    try:
        found = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError):
        raise UsageError(f"'{place.host}' is not an address of this machine.") from None
    family, _, _, _, where = found[0]
    if not allow_remote and not _is_loopback(str(where[0])):
        raise NotAllowedError(
            f"OTHER MACHINES COULD CONNECT to {place}; the gateway listens on 127.0.0.1 alone.",
            hint="Its key file is enough to read all your files. To allow it: --allow-remote.",
        )
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise ExistsError(
            f"The gateway cannot listen on {place}: {error.strerror or error}.",
            hint="Another gateway may run already; --listen 127.0.0.1:PORT takes another port.",
        ) from None
    return listener


def _listen_at(path: Path) -> socket.socket:
    _make_way(path)
    listener = socket.socket(_FAMILY or 0, socket.SOCK_STREAM)
    before = os.umask(0o177)  # the socket has its mode from its first moment
    try:
        listener.bind(str(path))
        listener.listen(64)
    except OSError as error:  # a path that is too long has a text and no error number
        listener.close()
        raise UsageError(
            f"The gateway cannot listen on '{path}': {error.strerror or error}.",
            hint="Choose another path, of at most some 100 characters.",
        ) from None
    finally:
        os.umask(before)
    return listener


def _make_way(path: Path) -> None:
    """Delete the socket of a gateway that has ended; `ExistsError` for anything else."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing is there, or `bind` says what is wrong
    if not stat.S_ISSOCK(mode):
        raise ExistsError(f"'{path}' exists and is no socket.", hint="Choose another path.")
    with socket.socket(_FAMILY or 0, socket.SOCK_STREAM) as other:
        try:
            other.connect(str(path))
        except OSError:
            with local_errors(path):
                path.unlink(missing_ok=True)
            return
    raise ExistsError(f"Another program listens on '{path}'.", hint="Choose another path.")


def remove(place: Place) -> None:
    """Delete a Unix socket whose listener was closed; do nothing for an address."""
    if isinstance(place, SocketPath):
        with contextlib.suppress(OSError):
            place.path.unlink()


def place_of(listener: socket.socket) -> Place:
    """Return where a socket listens, with the actual port."""
    if listener.family == _FAMILY:
        return SocketPath(Path(listener.getsockname()))
    host, port, *_ = listener.getsockname()
    return Address(host, port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
