"""A small HTTP listener for `/metrics` and `/healthz`; on the loopback, without any login.

It answers one GET or HEAD and closes; h11 reads the request. A name that leads to the
loopback is no way in for pages in a browser: the Host must be this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from http import HTTPStatus

import h11

from fsd.metrics.counters import CONTENT_TYPE
from fsproto.link import Address

log = logging.getLogger(__name__)

_WITHIN_S = 5.0
_LONGEST = 8192
_AT_ONCE = 16
_OURS = ("localhost", "127.0.0.1", "[::1]")
_TEXT = "text/plain; charset=utf-8"

Answer = tuple[int, str, bytes]
"""Status, content type, body."""


class Listener:
    """The HTTP listener for monitoring."""

    def __init__(self, metrics: Callable[[], bytes], health: Callable[[], str | None]) -> None:
        """Initialise with the functions for the metrics and for the health; both may block."""
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
        with contextlib.closing(writer), contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_WITHIN_S), self._at_once:
                http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST)
                request = await _request(http, reader)
                status, kind, body = await self._answer(request)
                head_only = request is not None and request.method == b"HEAD"
                if http.our_state is not h11.MUST_CLOSE:  # the client closed first
                    writer.write(_response(http, status, kind, body, head_only=head_only))
                    await writer.drain()

    async def _answer(self, request: h11.Request | None) -> Answer:
        if request is None:
            return 400, _TEXT, b"This is not HTTP.\n"
        if request.method not in {b"GET", b"HEAD"}:
            return 405, _TEXT, b"Only GET and HEAD.\n"
        if not _is_ours([value for name, value in request.headers if name == b"host"]):
            return 403, _TEXT, b"Only for this machine.\n"
        match request.target.partition(b"?")[0]:
            case b"/metrics":
                return 200, CONTENT_TYPE, await asyncio.to_thread(self._metrics)
            case b"/healthz":
                wrong = await asyncio.to_thread(self._health)
                if wrong is None:
                    return 200, _TEXT, b"ok\n"
                return 503, _TEXT, wrong.encode() + b"\n"
        return 404, _TEXT, b"There are /metrics and /healthz.\n"


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
