"""The server of a public link, asked over HTTP; without an account, a profile or a home.

Nothing that it answers is trusted: the caller opens and verifies everything with the secret.
"""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

from fsproto.errors import (
    ConflictError,
    ConnectionLost,
    FsError,
    IntegrityError,
    NotFoundError,
    RemoteProtocolError,
    Unreachable,
)
from fsproto.limits import MAX_PUBLIC_LINK_DESCRIPTION, MAX_PUBLIC_LINK_TICKET
from fsproto.links.secret import LinkKeys
from fsproto.links.url import PAGE
from fsproto.types import Root

_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
_SAFE_HOSTS = ("localhost", "127.0.0.1", "::1")


class LinkServer:
    """One connection to the server of a link, opened when it is needed."""

    def __init__(self, base: str, keys: LinkKeys, *, guarded: bool, timeout_s: float) -> None:
        """`base` is the URL before `/l`; `guarded`: the link has a password."""
        self._parts = urlsplit(base)
        self._keys = keys
        self._guarded = guarded
        self._timeout_s = timeout_s
        self._line: http.client.HTTPConnection | None = None
        self._last: http.client.HTTPResponse | None = None
        self.ticket = b""
        """The ticket of the download; empty: none was started."""

    @property
    def host(self) -> str:
        """The name of the host, with the port if there is one in the URL."""
        return self._parts.netloc

    @property
    def is_protected(self) -> bool:
        """Whether others on the network can neither read nor change the traffic."""
        return self._parts.scheme.lower() == "https" or self._parts.hostname in _SAFE_HOSTS

    def reconnect(self) -> None:
        """Open a new connection; `Unreachable` if that fails."""
        self.close()
        with self._translated():
            self._connection().connect()

    def close(self) -> None:
        """Close the connection."""
        if self._line is not None:
            self._line.close()
            self._line = self._last = None

    def description(self) -> bytes:
        """Return the sealed description; `NotFoundError` if the link does not open."""
        with self._translated():
            answer = self._asked("GET", self._path())
            body = answer.read(MAX_PUBLIC_LINK_DESCRIPTION + 1)
            if len(body) > MAX_PUBLIC_LINK_DESCRIPTION:
                raise RemoteProtocolError("The server sent a description that is too long.")
            return body

    def start(self) -> bytes:
        """Start a download, which the server counts; keep and return its ticket."""
        self.ticket = b""
        with self._translated():
            answer = self._asked("POST", self._path())
            ticket = answer.read(MAX_PUBLIC_LINK_TICKET + 1)
        if not 0 < len(ticket) <= MAX_PUBLIC_LINK_TICKET:
            raise RemoteProtocolError("The server started the download with an invalid answer.")
        self.ticket = ticket
        return ticket

    def content(self, root: Root, first: int, size: int) -> Incoming:
        """Ask for a content of `size` bytes from byte `first` on, and return its bytes to come."""
        with self._translated():
            asked = {"Range": f"bytes={first}-"} if first else {}
            answer = self._asked("GET", f"{self._path()}/{_text(root)}", asked)
            length = answer.getheader("Content-Length")
            if answer.status != (HTTPStatus.PARTIAL_CONTENT if first else HTTPStatus.OK):
                raise RemoteProtocolError("The server sent another part of a file than requested.")
            if length != str(size - first):
                self.close()
                raise IntegrityError(
                    "The server sent a file whose size differs from that in the link."
                )
            return Incoming(self, answer)

    def _path(self) -> str:
        return f"{self._parts.path}{PAGE}/1/{_text(self._keys.link)}"

    def _asked(
        self, method: str, path: str, more: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        shown = f"FS-Proof {_text(self._keys.shown)}"
        if self.ticket:
            shown = f"FS-Ticket {_text(self.ticket)}"
        if self._last is not None and not self._last.isclosed():
            self.close()  # the rest of an answer that nobody needs is still to come
        line = self._connection()
        line.request(method, path, headers={"Authorization": shown, **(more or {})})
        self._last = answer = line.getresponse()
        if answer.status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return answer
        self.close()
        raise self._refused(answer)

    def _refused(self, answer: http.client.HTTPResponse) -> FsError:
        if answer.status == HTTPStatus.NOT_FOUND:
            why = "it was removed, has expired or was used up"
            also = ", or the password is wrong" if self._guarded else ""
            return NotFoundError(
                f"This link does not open: {why}{also}.",
                hint="Ask the person who sent it. After several refusals, the server refuses "
                "everything for some minutes.",
            )
        if answer.status in _BUSY:
            return Unreachable(f"The server at {self.host} is too busy at the moment.")
        if answer.getheader("Location"):
            return Unreachable(
                f"The server at {self.host} has moved links elsewhere.",
                hint="Ask the person who sent the link for the new one.",
            )
        return RemoteProtocolError(
            f"The server at {self.host} does not serve links: it answered {answer.status}."
        )

    def _connection(self) -> http.client.HTTPConnection:
        if self._line is None:
            host, port = self._parts.hostname or "", self._parts.port
            if self._parts.scheme.lower() == "https":
                self._line = http.client.HTTPSConnection(
                    host, port, timeout=self._timeout_s, context=ssl.create_default_context()
                )
            else:
                self._line = http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        return self._line

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise errors of sockets, TLS and HTTP as ours; the connection is then closed."""
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise Unreachable(
                f"The certificate of {self.host} is not valid: {error.verify_message}.",
                hint="Ask the operator of the server.",
            ) from None
        except (TimeoutError, http.client.IncompleteRead, http.client.RemoteDisconnected):
            self.close()
            raise ConnectionLost from None
        except OSError as error:
            self.close()
            raise Unreachable(
                f"The server at {self.host} cannot be reached: {error.strerror or error}."
            ) from None
        except (http.client.HTTPException, ValueError):
            self.close()
            raise RemoteProtocolError(
                f"The server at {self.host} does not speak HTTP as it should."
            ) from None
        except BaseException:
            self.close()
            raise


class Incoming:
    """The bytes of one content that arrive."""

    def __init__(self, server: LinkServer, answer: http.client.HTTPResponse) -> None:
        self._server = server
        self._answer = answer

    def read_into(self, room: memoryview) -> None:
        """Fill `room`; `ConnectionLost` if the bytes end before that."""
        have = 0
        with self._server._translated():  # noqa: SLF001 - a part of it
            while have < len(room):
                count = self._answer.readinto(room[have:])
                if not count:
                    raise ConnectionLost("The server ended the download.")
                have += count


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def may_be_gone(error: FsError) -> ConflictError:
    """Return the error for a file of a link that the server no longer has."""
    return ConflictError(
        "The server no longer has this file of the link: its owner may have removed it.",
        hint=error.hint,
    )
