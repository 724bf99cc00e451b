"""The web listener: serves receivers of public links and uploaders, and nothing else.

Refusals are answered at a fixed time after the request, and are alike to the byte. Database and
disk are used in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence

import h11

from fsd.auth.throttle import network_of
from fsd.blobs.base import BlobReader
from fsd.net.limits import Unauthenticated
from fsd.net.listen import listen
from fsd.net.timing import until_answer
from fsd.net.web.exchange import HTML, OCTETS, SHARED, TAKES, TEXT, BadRequest, HttpExchange
from fsd.net.web.requests import Ask, Kind, client_address, read_request
from fsd.net.web.uploads import UploadAnswers
from fsd.policies import WebPolicy
from fsd.services.links.proofs import NoSuchLink
from fsd.services.links.receiver import LinkReceivers
from fsd.services.requests.uploader import RequestUploaders
from fsd.web_page import made_page
from fsd.workers import run_in, started_pool
from fsproto.errors import BadSettingError, FsError
from fsproto.limits import MAX_REQUEST_SEGMENTS, SEGMENT_SIZE

log = logging.getLogger(__name__)

_THREADS = 8
PIECE = 256 * 1024
"""Bytes that are read and sent at a time; a client that does not read holds at most as many."""
RECHECK_S = 2.0
"""Seconds of an answer after which the link is checked again."""
_PAGE_POLICY = ("Content-Security-Policy", "connect-src 'self'; frame-ancestors 'none'")
"""What the page may not do here, besides all that its own policy forbids."""
_NOTHING = b"There is nothing here.\n"


class WebServer:
    """The listener for receivers of public links, and for uploaders with request links."""

    def __init__(
        self,
        links: LinkReceivers,
        uploaders: RequestUploaders,
        policy: WebPolicy,
        refusal_s: float,
        counted: Callable[[str, int, int], None],
    ) -> None:
        """Take the services, the limits, the time of refusals, and a counter of answers.

        `BadSettingError` if the certificate cannot be read.
        """
        self._links = links
        self._uploaders = uploaders
        self._policy = policy
        self._refusal_s = refusal_s
        self._counted = counted
        self._tls = _tls(policy)
        self._page = made_page()
        self._pool = started_pool(_THREADS, "fsd-web")
        self._uploads = UploadAnswers(uploaders, self._pool)
        self._servers: list[asyncio.Server] = []
        self._open: Unauthenticated[asyncio.Task[None]] = Unauthenticated(
            most=policy.connections, most_of_one=policy.connections_of_one
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Start to accept; return the address, with the actual port if 0 was requested."""
        await self.open_on(listening := listen(host, port))
        bound = listening[0].getsockname()
        return bound[0], bound[1]

    async def open_on(self, listening: Sequence[socket.socket]) -> None:
        """Start to accept on listening sockets, which other processes may share."""
        for sock in listening:
            self._servers.append(
                await asyncio.start_server(
                    self._accept,
                    sock=sock,
                    limit=64 * 1024,
                    ssl=self._tls,
                    ssl_handshake_timeout=self._policy.request_s if self._tls else None,
                )
            )

    async def close(self) -> None:
        """Stop accepting, and end all connections."""
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await run_in(self._pool, self._uploaders.close)
        self._pool.shutdown()

    def renew(self, refusal_s: float) -> None:
        """Replace the time of refusals for future requests."""
        self._refusal_s = refusal_s

    # --- connections

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        if task is None:
            raise RuntimeError("asyncio serves each connection in a task")
        # All connections of a proxy look alike, and one receiver must not crowd out the others.
        network = f"proxy {id(task)}" if peer in self._policy.proxies else network_of(peer)
        self._tasks.add(task)
        crowded_out = self._open.enter(network, task)
        if crowded_out is not None:
            crowded_out.cancel()
        try:
            await self._serve(reader, writer, peer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()
        except Exception:  # this connection only: the listener must go on
            log.exception("a connection of the web listener failed", extra={"address": peer})
            writer.transport.abort()
        finally:
            await self._closed(writer)
            self._open.leave(network, task)
            self._tasks.discard(task)

    async def _closed(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection; give its client only so long to read the last answer."""
        writer.close()
        try:
            async with asyncio.timeout(self._policy.stall_s):
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str
    ) -> None:
        http = HttpExchange(
            reader, writer, request_s=self._policy.request_s, stall_s=self._policy.stall_s
        )
        while True:
            try:
                request = await http.request()
                if request is None:
                    return
                await self._answer(http, request, peer)
            except BadRequest as error:
                if http.can_answer:
                    await http.answer(error.status, b"This is not a request for a link.\n")
                return
            if not http.next_one():
                return

    # --- answers

    async def _answer(self, http: HttpExchange, request: h11.Request, peer: str) -> None:
        asked, ask = time.monotonic(), read_request(request)
        address = client_address(peer, request, self._policy.proxies)
        status, size = 500, 0
        try:
            if ask.kind.is_of_request_link:
                status = await self._of_request_link(http, ask, address, asked)
                return
            await http.body()
            match ask.kind:
                case Kind.PAGE:
                    status = 200
                    head_only = ask.head_only
                    await http.answer(status, self._page, HTML, _PAGE_POLICY, head_only=head_only)
                case Kind.OPTIONS:
                    status = 200
                    await http.answer(status, b"", TEXT, *(TAKES if ask.takes else SHARED))
                case Kind.OTHER:
                    status = 404
                    await http.answer(status, _NOTHING, head_only=ask.head_only)
                case Kind.METHOD:
                    status = 405
                    told = b"Another method is needed.\n"
                    await http.answer(status, told, TEXT, *(TAKES if ask.takes else SHARED))
                case _:
                    status, size = await self._about_link(http, ask, address, asked)
        except FsError as error:
            log.warning("web: %s", error.sentence, extra={"address": address})
            if http.can_answer:
                await http.answer(500, b"The server failed.\n", TEXT, *SHARED)
        finally:
            self._counted(ask.kind.value, status, size)

    async def _of_request_link(
        self, http: HttpExchange, ask: Ask, address: str, asked: float
    ) -> int:
        """Answer an uploader; return the status."""
        try:
            return await self._uploads.answer(http, ask, address)
        except NoSuchLink:
            await http.skip(MAX_REQUEST_SEGMENTS * SEGMENT_SIZE)
            await asyncio.sleep(until_answer(self._refusal_s, asked))
            await http.answer(404, _NOTHING, TEXT, *TAKES, head_only=ask.head_only)
            return 404
        except TimeoutError:
            if http.can_answer:
                await http.answer(408, b"The body arrived too slowly.\n", TEXT, *TAKES)
            raise

    async def _about_link(
        self, http: HttpExchange, ask: Ask, address: str, asked: float
    ) -> tuple[int, int]:
        """Answer a request about a link; return the status, and the bytes of content."""
        try:
            if ask.kind is Kind.CONTENT:
                found = await run_in(self._pool, self._links.content, ask.link, ask.shown, ask.root)
                return await self._content(http, ask, *found)
            act = self._links.start if ask.kind is Kind.START else self._links.description
            body = await run_in(self._pool, act, ask.link, ask.shown, address)
        except NoSuchLink:
            await asyncio.sleep(until_answer(self._refusal_s, asked))
            await http.answer(404, _NOTHING, TEXT, *SHARED, head_only=ask.head_only)
            return 404, 0
        await http.answer(200, body, OCTETS, *SHARED, head_only=ask.head_only)
        return 200, 0

    async def _content(
        self, http: HttpExchange, ask: Ask, reader: BlobReader, size: int
    ) -> tuple[int, int]:
        with contextlib.closing(reader):
            first, last = ask.part or (0, None)
            last = size - 1 if last is None else min(last, size - 1)
            if first >= size:
                told = ("Content-Range", f"bytes */{size}")
                await http.answer(416, b"The content is shorter.\n", TEXT, told, *SHARED)
                return 416, 0
            status = 206 if ask.part else 200
            shown = [("Content-Range", f"bytes {first}-{last}/{size}")] if ask.part else []
            await http.start(status, last + 1 - first, OCTETS, *shown, *SHARED)
            sent = 0
            if not ask.head_only:
                sent = await self._send(http, ask, reader, first, last + 1)
            await http.end()
        return status, sent

    async def _send(
        self, http: HttpExchange, ask: Ask, reader: BlobReader, start: int, end: int
    ) -> int:
        """Send bytes of a content while the link exists; return how many were sent."""
        await run_in(self._pool, reader.seek, start)
        at, checked = start, time.monotonic()
        reading = self._reading(reader, end - at)
        try:
            while reading is not None:
                data = await asyncio.shield(reading)
                if not data:
                    log.error("a blob is shorter than its row says", extra={"root": ask.root.hex()})
                    break
                at += len(data)
                reading = self._reading(reader, end - at)
                await http.send(data)
                if time.monotonic() - checked > RECHECK_S:
                    if not await run_in(self._pool, self._links.still_open, ask.link):
                        break
                    checked = time.monotonic()
        finally:
            if reading is not None:  # a thread may use the reader, which is closed next
                await asyncio.gather(reading, return_exceptions=True)
        return at - start

    def _reading(self, reader: BlobReader, left: int) -> asyncio.Future[memoryview] | None:
        """Start to read the next piece, while the one before it is sent; None: nothing is left."""
        if not left:
            return None
        return asyncio.ensure_future(run_in(self._pool, _read, reader, min(PIECE, left)))


def _read(reader: BlobReader, size: int) -> memoryview:
    room = memoryview(bytearray(size))
    return room[: reader.readinto(room) or 0]


def _tls(policy: WebPolicy) -> ssl.SSLContext | None:
    if not policy.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(policy.certificate, policy.certificate_key or None)
    except (OSError, ssl.SSLError) as error:
        raise BadSettingError(
            f"The certificate of the web listener cannot be read: {error.strerror or error}.",
            hint="Check web.certificate and web.certificate_key.",
        ) from None
    return context
