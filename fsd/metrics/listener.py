"""A small HTTP listener for `/metrics` and `/healthz`; on the loopback, without any login.

It knows just enough of HTTP (RFC 9112) to answer a GET or HEAD and close. A name that leads to the
loopback is no way in for pages in a browser: the Host must be this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from fsd.metrics.counters import CONTENT_TYPE
from fsproto.link import Address

log = logging.getLogger(__name__)

_WITHIN_S = 5.0
_LONGEST = 8192
_AT_ONCE = 16
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
_OURS = ("localhost", "127.0.0.1", "[::1]")
_TEXT = "text/plain; charset=utf-8"

Answer = tuple[int, str, bytes]
"""Status, content type, body."""


class Listener:
    """The HTTP listener for monitoring."""

    def __init__(self, metrics: Callable[[], bytes], health: Callable[[], str | None]) -> None:
        """Take what makes the page of numbers, and what says what is wrong; both may block."""
        self._metrics = metrics
        self._health = health
        self._server: asyncio.Server | None = None
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def open(self, where: Address) -> Address:
        """Start to listen; return the address, with the actual port if 0 was requested."""
        self._server = await asyncio.start_server(
            self._serve, where.host, where.port, limit=_LONGEST
        )
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(host, port)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_WITHIN_S), self._at_once:
                try:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                    head = ""
                status, kind, body = await self._answer(head)
                writer.write(_response(status, kind, body, head_only=head.startswith("HEAD ")))
                await writer.drain()
        writer.close()

    async def _answer(self, head: str) -> Answer:
        line, *fields = head.split("\r\n")
        words = line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004
            return 400, _TEXT, b"That is not HTTP.\n"
        if words[0] not in ("GET", "HEAD"):
            return 405, _TEXT, b"Only GET and HEAD.\n"
        if not _is_ours(fields):
            return 403, _TEXT, b"Only for this machine.\n"
        match words[1].partition("?")[0]:
            case "/metrics":
                return 200, CONTENT_TYPE, await asyncio.to_thread(self._metrics)
            case "/healthz":
                wrong = await asyncio.to_thread(self._health)
                if wrong is None:
                    return 200, _TEXT, b"ok\n"
                return 503, _TEXT, wrong.encode() + b"\n"
        return 404, _TEXT, b"There are /metrics and /healthz.\n"


def _is_ours(fields: list[str]) -> bool:
    hosts = [
        field.partition(":")[2].strip() for field in fields if field.lower().startswith("host:")
    ]
    name = hosts[0].rpartition(":")[0] if len(hosts) == 1 else ""
    return bool(hosts) and (name in _OURS or hosts[0] in _OURS)


def _response(status: int, kind: str, body: bytes, *, head_only: bool) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    ).encode()
    return head if head_only else head + body
