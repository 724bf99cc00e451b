"""The server of a public link, asked over HTTP; without an account, a profile or a home.

Nothing that it answers is trusted: the caller opens and verifies everything with the secret.
"""

from __future__ import annotations

import http.client
from http import HTTPStatus

from fsclient.links.http_line import HttpLine, encoded
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


class LinkServer(HttpLine):
    """One connection to the server of a link, opened when it is needed."""

    def __init__(self, base: str, keys: LinkKeys, *, guarded: bool, timeout_s: float) -> None:
        """`base` is the URL before `/l`; `guarded`: the link has a password."""
        super().__init__(base, timeout_s=timeout_s)
        self._keys = keys
        self._guarded = guarded
        self.ticket = b""
        """The ticket of the download; empty: none was started."""

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
            answer = self._asked("GET", f"{self._path()}/{encoded(root)}", asked)
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
        return f"{self._parts.path}{PAGE}/1/{encoded(self._keys.link)}"

    def _asked(
        self, method: str, path: str, more: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        shown = f"FS-Proof {encoded(self._keys.shown)}"
        if self.ticket:
            shown = f"FS-Ticket {encoded(self.ticket)}"
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


def may_be_gone(error: FsError) -> ConflictError:
    """Return the error for a file of a link that the server no longer has."""
    return ConflictError(
        "The server no longer has this file of the link: its owner may have removed it.",
        hint=error.hint,
    )
