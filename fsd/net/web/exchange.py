"""HTTP/1.1 on one connection: h11 around asyncio's streams. Requests in, answers out."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import h11

_HEAD = 8192
"""Most bytes of the head of a request."""
_BODY = 4096
"""Most bytes of the body of a request that needs none; it is ignored."""
_READ = 64 * 1024
SLOWEST = 8 * 1024
"""Bytes in a second that a body must have, besides the time of a stall."""

_SAFE = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)
SHARED = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Headers", "Authorization, Range"),
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS"),
    ("Access-Control-Expose-Headers", "Content-Range, Content-Length"),
    ("Access-Control-Max-Age", "86400"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)
"""Headers that let a page from another place open a link."""
TAKES = (
    *SHARED,
    ("Access-Control-Allow-Headers", "Authorization, Content-Type"),
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
)
"""Headers that let a page from another place send files."""
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
OCTETS = "application/octet-stream"


class BadRequest(Exception):
    """A request that cannot be read; the status says why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _check_head(request: h11.Request) -> None:
    """Raise `BadRequest` for a head that is too long, or that does not have one host."""
    size = len(request.target) + sum(len(name) + len(value) for name, value in request.headers)
    if size > _HEAD:
        raise BadRequest(431)
    if sum(name == b"host" for name, _ in request.headers) != 1:
        raise BadRequest(400)


class HttpExchange:
    """The server's side of one connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        request_s: float,
        stall_s: float,
    ) -> None:
        """Take the streams, and the time limits for a request's head and for a slow reader."""
        self._reader = reader
        self._writer = writer
        self._request_s = request_s
        self._stall_s = stall_s
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD)
        self._rest = memoryview(b"")
        """Received bytes of the body that `read_into` had no room for."""

    async def request(self) -> h11.Request | None:
        """Return the head of the next request; None at the end of the connection.

        `BadRequest` for what is no request, `TimeoutError` for a slow one. The body must be read
        before the next request.
        """
        async with asyncio.timeout(self._request_s):
            event = await self._event()
            if not isinstance(event, h11.Request):
                return None
            _check_head(event)
        return event

    async def body(self, most: int = _BODY) -> bytes:
        """Return the body; `BadRequest` if it is longer than `most`, `TimeoutError` if slow."""
        body = bytearray()
        async with asyncio.timeout(self._request_s):
            while (data := await self._data()) is not None:
                body += data
                if len(body) > most:
                    raise BadRequest(413)
        return bytes(body)

    async def read_into(self, room: memoryview) -> int:
        """Fill `room` with the next bytes of the body; return how many, less only at its end.

        `TimeoutError` if the client stalls, or is much slower than `SLOWEST` bytes in a second.
        """
        have = 0
        async with asyncio.timeout(self._stall_s + len(room) / SLOWEST):
            while have < len(room):
                if not self._rest:
                    async with asyncio.timeout(self._stall_s):
                        data = await self._data()
                    if data is None:
                        break
                    self._rest = memoryview(data)
                piece = self._rest[: len(room) - have]
                room[have : have + len(piece)] = piece
                self._rest = self._rest[len(piece) :]
                have += len(piece)
        return have

    async def skip(self, most: int) -> None:
        """Read and ignore the rest of a body; a longer one than `most` ends the connection."""
        self._rest = memoryview(b"")
        async with asyncio.timeout(self._stall_s + most / SLOWEST):
            while most > 0 and (data := await self._data()) is not None:
                most -= len(data)

    async def _data(self) -> bytes | None:
        """Return the next bytes of the body; None at its end."""
        if self._http.their_state is not h11.SEND_BODY:
            return None
        event = await self._event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            return None
        raise BadRequest(400)

    async def _event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    self._writer.write(self._http.send(go_on) or b"")
                self._http.receive_data(await self._reader.read(_READ))
        except h11.RemoteProtocolError as error:
            raise BadRequest(error.error_status_hint) from None
        return event

    async def answer(
        self,
        status: int,
        body: bytes,
        kind: str = TEXT,
        *more: tuple[str, str],
        head_only: bool = False,
    ) -> None:
        """Send a whole answer."""
        await self.start(status, len(body), kind, *more)
        if not head_only:
            await self.send(body)
        await self.end()

    async def start(self, status: int, length: int, kind: str, *more: tuple[str, str]) -> None:
        """Send the head of an answer whose body has `length` bytes; `more` replaces headers."""
        told = {"Content-Type": kind, "Content-Length": str(length)} | dict(_SAFE) | dict(more)
        phrase = HTTPStatus(status).phrase
        head = h11.Response(status_code=status, headers=list(told.items()), reason=phrase)
        self._writer.write(self._http.send(head) or b"")

    async def send(self, data: bytes | memoryview) -> None:
        """Send a part of the body; `TimeoutError` if the client does not read it."""
        if data:
            # Without a copy: h11 returns the data itself, which may be any buffer.
            part = h11.Data(data=data)  # type: ignore[arg-type]
            for piece in self._http.send_with_data_passthrough(part) or ():
                self._writer.write(piece)
        async with asyncio.timeout(self._stall_s):
            await self._writer.drain()

    async def end(self) -> None:
        """End the answer."""
        try:
            self._writer.write(self._http.send(h11.EndOfMessage()) or b"")
        except h11.LocalProtocolError:  # an answer to HEAD, or one cut short
            self._http.send_failed()
        async with asyncio.timeout(self._stall_s):
            await self._writer.drain()

    def next_one(self) -> bool:
        """Return whether the connection may have another request."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    @property
    def can_answer(self) -> bool:
        """Return whether an answer can still be sent."""
        return self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE)
