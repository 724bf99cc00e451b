"""A small HTTP listener for monitoring, without any login: a few pages, one request a connection.

`/metrics` is served on the loopback only. A name that leads to the loopback is no way in for pages
in a browser: there, the Host must be this machine. h11 reads the request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

import h11

log = logging.getLogger(__name__)

_WITHIN_S = 5.0
_LONGEST = 8192
_AT_ONCE = 16
_MOST = 64
"""Connections; further ones are closed at once."""
_OURS = ("localhost", "127.0.0.1", "[::1]")
TEXT = "text/plain; charset=utf-8"

Answer = tuple[int, str, bytes]
"""Status, content type, body."""
Page = Callable[[], Awaitable[Answer]]
METRICS, HEALTH = b"/metrics", b"/healthz"


def health_page(wrong: Callable[[], Awaitable[str | None]]) -> Page:
    """Return the page that says whether a server is healthy, given what is wrong with it."""

    async def page() -> Answer:
        found = await wrong()
        return (200, TEXT, b"ok\n") if found is None else (503, TEXT, found.encode() + b"\n")

    return page


class Listener:
    """The HTTP listener for monitoring."""

    def __init__(self, pages: Mapping[bytes, Page], *, any_host: bool = False) -> None:
        """Take the pages by their path; with `any_host`, the Host of a request does not matter."""
        self._pages = pages
        self._any_host = any_host
        self._servers: list[asyncio.Server] = []
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._open = 0

    async def open_on(self, listening: Sequence[socket.socket]) -> None:
        """Start to answer on listening sockets."""
        for sock in listening:
            self._servers.append(
                await asyncio.start_server(self._accepted, sock=sock, limit=_LONGEST)
            )

    async def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= _MOST:
            writer.close()
            return
        self._open += 1
        try:
            await self._serve(reader, writer)
        finally:
            self._open -= 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_WITHIN_S), self._at_once:
                http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST)
                request = await _request(http, reader)
                status, kind, body = await self._answer(request)
                head_only = request is not None and request.method == b"HEAD"
                if http.our_state is h11.MUST_CLOSE or writer.is_closing():
                    return  # the client closed first
                with contextlib.suppress(RuntimeError):  # uvloop's word for it
                    writer.write(_response(http, status, kind, body, head_only=head_only))
                    await writer.drain()

    async def _answer(self, request: h11.Request | None) -> Answer:
        if request is None:
            return 400, TEXT, b"This is not HTTP.\n"
        if request.method not in {b"GET", b"HEAD"}:
            return 405, TEXT, b"Only GET and HEAD.\n"
        hosts = [value for name, value in request.headers if name == b"host"]
        if not self._any_host and not _is_ours(hosts):
            return 403, TEXT, b"Only for this machine.\n"
        page = self._pages.get(request.target.partition(b"?")[0])
        if page is None:
            return 404, TEXT, b"There is only " + b" and ".join(self._pages) + b".\n"
        return await page()


async def _request(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """Return the request once its head is whole; None if it is too long or no HTTP."""
    try:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await reader.read(_LONGEST))
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


def _is_ours(hosts: list[bytes]) -> bool:
    host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
    return host in _OURS or host.rpartition(":")[0] in _OURS


def _response(
    http: h11.Connection, status: int, kind: str, body: bytes, *, head_only: bool
) -> bytes:
    headers = [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    content = h11.Data(data=b"" if head_only else body)
    head = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)
    return b"".join(http.send(event) or b"" for event in (head, content, h11.EndOfMessage()))
