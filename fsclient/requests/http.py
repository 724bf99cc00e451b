"""The server of a request link, asked over HTTP; without an account, a profile or a home."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable
from http import HTTPStatus

from fsclient.links.http_line import HttpLine, encoded
from fsproto.errors import (
    ConflictError,
    FsError,
    IntegrityError,
    NotFoundError,
    OutOfSpaceError,
    QuotaError,
    RemoteProtocolError,
    Unreachable,
)
from fsproto.limits import MAX_REQUEST_DESCRIPTION
from fsproto.packing import Record, pack, unpack
from fsproto.requests.secret import RequestKeys
from fsproto.requests.upload import (
    BUSY,
    DAMAGED,
    FULL,
    NO_ROOM,
    ORDER,
    TAKEN,
    TOO_LARGE,
    FinishUpload,
    StartUpload,
    UploadState,
)
from fsproto.requests.url import PAGE
from fsproto.types import DropId

_WORD = 32
"""Most bytes of the word in a refusal."""
_STATE = 256
"""Most bytes of an `UploadState`."""


class NeedsAnotherSegment(FsError):
    """The server needs another segment than this one."""


class RequestServer(HttpLine):
    """One connection to the server of a request link."""

    def __init__(self, base: str, keys: RequestKeys, *, guarded: bool, timeout_s: float) -> None:
        """`base` is the URL before `/r`; `guarded`: the request link has a password."""
        super().__init__(base, timeout_s=timeout_s)
        self._keys = keys
        self._guarded = guarded

    def description(self) -> bytes:
        """Return the sealed description; `NotFoundError` if the request link takes no files."""
        with self._translated():
            answer = self._asked("GET", "", self._proof())
            return _read(answer, MAX_REQUEST_DESCRIPTION)

    def start(self, ask: StartUpload) -> UploadState:
        """Start an upload, or ask how much of it the server has."""
        return self._sent("POST", "", self._proof(), ask)

    def put(
        self, drop: DropId, ticket: bytes, first: int, body: Iterable[memoryview], size: int
    ) -> UploadState:
        """Send whole segments, `size` bytes together, from segment `first` on."""
        with self._translated():
            path = f"/{encoded(drop)}/{first}"
            answer = self._asked("PUT", path, _shown(ticket), body, size)
            return unpack(_read(answer, _STATE), UploadState)

    def finish(self, drop: DropId, ticket: bytes, ask: FinishUpload) -> UploadState:
        """Make a drop of the sent segments."""
        return self._sent("POST", f"/{encoded(drop)}", _shown(ticket), ask)

    def abandon(self, drop: DropId, ticket: bytes) -> None:
        """Have the server forget an upload."""
        with self._translated():
            _read(self._asked("DELETE", f"/{encoded(drop)}", _shown(ticket)), 0)

    def _proof(self) -> str:
        return f"FS-Proof {encoded(self._keys.shown)}"

    def _sent(self, method: str, path: str, shown: str, ask: Record) -> UploadState:
        body = pack(ask)
        with self._translated():
            answer = self._asked(method, path, shown, [memoryview(body)], len(body))
            return unpack(_read(answer, _STATE), UploadState)

    def _asked(
        self,
        method: str,
        path: str,
        shown: str,
        body: Iterable[memoryview] = (),
        size: int | None = None,
    ) -> http.client.HTTPResponse:
        line = self._connection()
        line.putrequest(method, f"{self._parts.path}{PAGE}/1/{encoded(self._keys.id)}{path}")
        line.putheader("Authorization", shown)
        if size is not None:
            line.putheader("Content-Length", str(size))
            line.putheader("Content-Type", "application/octet-stream")
        line.endheaders()
        try:
            for piece in body:
                line.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server may have refused and closed; its answer says why
        answer = line.getresponse()
        if answer.status == HTTPStatus.OK:
            return answer
        word = answer.read(_WORD).decode("ascii", "replace").strip()
        if not answer.isclosed():
            self.close()
        raise self._refused(answer, word)

    def _refused(self, answer: http.client.HTTPResponse, word: str) -> FsError:
        if answer.status == HTTPStatus.NOT_FOUND:
            also = ", or the password is wrong" if self._guarded else ""
            return NotFoundError(
                f"This request link takes no files: it was ended or has expired{also}.",
                hint="Ask the person who sent it. After several refusals, the server refuses "
                "everything for some minutes.",
            )
        found = _REFUSALS.get((answer.status, word))
        if found is not None:
            return found()
        if answer.status in _LATER:
            return Unreachable(f"The server at {self.host} is too busy at the moment.")
        if answer.getheader("Location"):
            return Unreachable(
                f"The server at {self.host} has moved request links elsewhere.",
                hint="Ask the person who sent the link for the new one.",
            )
        return RemoteProtocolError(
            f"The server at {self.host} takes no files: it answered {answer.status}."
        )


_LATER = (
    *(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE),
    *(HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.REQUEST_TIMEOUT),
)
_REFUSALS: dict[tuple[int, str], Callable[[], FsError]] = {
    (409, FULL): lambda: QuotaError(
        "This request link is full: all files that it permits were sent.",
        hint="Ask the person who sent it for another one.",
    ),
    (413, TOO_LARGE): lambda: QuotaError(
        "The file is larger than what this request link still permits.",
        hint="Ask the person who sent it for another one.",
    ),
    (507, NO_ROOM): lambda: OutOfSpaceError(
        "The recipient has no room for more files at the moment.",
        hint="Try again later, or ask the recipient to accept the waiting files.",
    ),
    (503, BUSY): lambda: Unreachable("Too many files are being sent to the recipient just now."),
    (409, TAKEN): lambda: ConflictError("The server has another file under this id; try again."),
    (409, ORDER): lambda: NeedsAnotherSegment("The server needs another segment."),
    (422, DAMAGED): lambda: IntegrityError(
        "What arrived at the server is damaged; it kept nothing of the file.", hint="Try again."
    ),
}


def _shown(ticket: bytes) -> str:
    return f"FS-Ticket {encoded(ticket)}"


def _read(answer: http.client.HTTPResponse, most: int) -> bytes:
    body = answer.read(most + 1)
    if len(body) > most:
        raise RemoteProtocolError("The server sent an answer that is too long.")
    answer.read()
    return body
