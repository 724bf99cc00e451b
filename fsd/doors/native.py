"""The native door: asyncio around `fsproto.wire.Connection`, one task a connection.

The event loop moves bytes and nothing else; ciphers, hashes, disk and database run in threads.
One connection's requests are answered one after the other, in the order they came.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fsd.doors.desk import Desk, Upload
from fsd.services.accounts import Principal
from fsproto import crypto
from fsproto.errors import (
    ConnectionLost,
    FsError,
    InternalError,
    LoginRefused,
    OutOfSpaceError,
    RemoteProtocolError,
    SecurityError,
    UsageError,
)
from fsproto.limits import LISTING_PART_BYTES, MAX_UPLOADS, SEGMENT_SIZE
from fsproto.messages import Message, failure, files
from fsproto.messages.account import Enroll, Login
from fsproto.messages.base import Done
from fsproto.sealed.signed import Signed
from fsproto.types import NodeId
from fsproto.wire.connection import NEED_DATA, Connection, Control, Data, Event, Reply
from fsproto.wire.handshake import ServerHandshake

log = logging.getLogger(__name__)

T = TypeVar("T")

SMALL = 16 * 1024
"""Records up to this many bytes are opened on the event loop: a thread would cost more."""
RECHECK_S = 1.0
"""How long a connection may go on after its session was ended elsewhere."""
DRAIN_IDLE_S = 0.5
"""While draining, how long a connection may think about its next request."""


@dataclass(frozen=True)
class DoorPolicy:
    """Times of the door, in seconds."""

    login_s: float = 20.0
    """From connecting to being logged in."""
    refusal_s: float = 0.5
    """After this long, and not before, a refused login is answered."""
    idle_s: float = 1800.0
    """Without a byte from the client, or to it while it is owed some."""
    drain_s: float = 30.0
    """For what is in flight when the server is told to stop."""


class NativeDoor:
    """Listens for clients that speak the native protocol."""

    def __init__(self, desk: Desk, host_key: crypto.RsaKey, policy: DoorPolicy) -> None:
        """Take the services behind the door and the key that proves it."""
        self.desk = desk
        self.host_key = host_key
        self.policy = policy
        self.draining = False
        self.pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="fsd")
        self._peers: dict[asyncio.Task[None], _Peer] = {}
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Begin to accept; return the address, with the port that was picked for 0."""
        limit = 2 * SEGMENT_SIZE
        self._server = await asyncio.start_server(self._accept, host, port, limit=limit)
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def close(self) -> None:
        """Accept no more, let what is in flight finish, then close."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        deadline = time.monotonic() + self.policy.drain_s
        while self._peers and time.monotonic() < deadline:
            for task, peer in list(self._peers.items()):
                if peer.idle_for() > DRAIN_IDLE_S:
                    task.cancel()
            await asyncio.sleep(0.05)
        for task in list(self._peers):
            task.cancel()
        await asyncio.gather(*self._peers, return_exceptions=True)
        self.pool.shutdown()

    def connection(self) -> Connection:
        """Return the server's end of a new connection."""
        return Connection(ServerHandshake(self.host_key, os.urandom))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is always served by a task")
        peer = _Peer(self, reader, writer)
        self._peers[task] = peer
        try:
            await peer.serve()
        except asyncio.CancelledError:
            if not self.draining:
                raise
        finally:
            del self._peers[task]


class _Peer:
    """One connection."""

    def __init__(
        self, door: NativeDoor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._door = door
        self._reader = reader
        self._writer = writer
        self._address = str((writer.get_extra_info("peername") or ["?"])[0])
        self._connection = door.connection()
        self._uploads: dict[int, Upload] = {}
        self._busy = False
        self._quiet_since = time.monotonic()
        self._checked = time.monotonic()

    def idle_for(self) -> float:
        """How long, in seconds, nothing was asked of us; 0 while a request is being served."""
        return 0.0 if self._busy else time.monotonic() - self._quiet_since

    async def serve(self) -> None:
        """Serve the connection to its end; no error leaves here."""
        where = {"address": self._address}
        try:
            async with asyncio.timeout(self._door.policy.login_s):
                who = await self._log_in()
            while True:
                await self._answer(who, await self._next_request())
        except (ConnectionLost, ConnectionError, TimeoutError):
            log.debug("connection ended", extra=where)
        except LoginRefused:
            pass  # logged where it was decided
        except FsError as error:
            log.warning("connection dropped: %s", error.sentence, extra=where)
            self._writer.write(self._connection.refusal(error))
        except Exception:
            log.exception("connection failed", extra=where)
        finally:
            for upload in self._uploads.values():
                await self._in_thread(upload.discard)
            self._writer.close()

    # --- in and out

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._door.pool, work, *args)

    async def _event(self) -> Event:
        """Return what the client says next, once it is whole."""
        connection = self._connection
        size = 0
        while True:
            wanted = connection.wanted()
            if wanted:
                data = await self._reader.read(wanted)
                connection.receive_data(data)
                size += len(data)
                continue
            ready = connection.next_event
            event = ready() if size <= SMALL else await self._in_thread(ready)
            if event is not NEED_DATA:
                return event

    async def _next_request(self) -> Event:
        self._busy, self._quiet_since = False, time.monotonic()
        async with asyncio.timeout(self._door.policy.idle_s):
            event = await self._event()
        self._busy = True
        return event

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(self._door.policy.idle_s):
            await self._writer.drain()

    async def _say(self, request: int, message: Message) -> None:
        try:
            data = self._connection.send(request, message)
        except ValueError:
            raise RemoteProtocolError(
                "More was asked for at once than one answer can hold."
            ) from None
        await self._send(data)

    # --- logging in

    async def _log_in(self) -> Principal:
        for _ in range(2):  # client_hello, client_key
            wanted = self._connection.wanted
            while wanted():
                self._connection.receive_data(await self._reader.read(wanted()))
            event = await self._in_thread(self._connection.next_event)
            if not isinstance(event, Reply):
                raise RemoteProtocolError("The exchange of keys was not completed.")
            await self._send(event.data)
        ask = await self._event()
        answer_at = time.monotonic() + self._door.policy.refusal_s
        if not isinstance(ask, Control) or not isinstance(ask.message, Login | Enroll):
            raise RemoteProtocolError("The client did not begin with a login.")
        try:
            who, welcome = await self._in_thread(
                self._door.desk.log_in, ask.message, self._connection.channel_id, self._address
            )
        except FsError as error:
            # One answer for everything that can be wrong with a login, always after the same time.
            theirs = isinstance(error, LoginRefused | SecurityError | UsageError)
            told: FsError = LoginRefused() if theirs else InternalError()
            if isinstance(error, OutOfSpaceError):
                log.error("login failed: %s", error.sentence, extra={"address": self._address})  # noqa: TRY400
                told = error
            elif not theirs:
                log.exception("login failed", extra={"address": self._address})
            await asyncio.sleep(answer_at - time.monotonic())
            await self._say(ask.request, failure(told))
            raise LoginRefused from error
        await self._say(ask.request, welcome)
        return who

    async def _check_session(self, who: Principal) -> None:
        """End the connection of a session that was ended, or of a user who was disabled."""
        if time.monotonic() - self._checked > RECHECK_S:
            if not await self._in_thread(self._door.desk.accounts.still_in, who):
                raise ConnectionLost
            self._checked = time.monotonic()

    # --- answering

    async def _answer(self, who: Principal, event: Event) -> None:
        await self._check_session(who)
        if isinstance(event, Data):
            await self._segment(event)
            return
        if not isinstance(event, Control):
            raise RemoteProtocolError("The exchange of keys cannot be done twice.")
        try:
            await self._request(who, event.request, event.message)
        except (ConnectionLost, ConnectionError, TimeoutError):
            raise  # nobody is left to be told
        except FsError as error:
            await self._say(event.request, failure(error))
        except (OSError, ValueError, LookupError, AssertionError, AttributeError, TypeError):
            log.exception("request failed", extra={"user": who.user, "request": event.request})
            await self._say(event.request, failure(InternalError()))

    async def _request(self, who: Principal, request: int, message: Message) -> None:
        match message:
            case files.Upload(salt):
                if request in self._uploads:
                    raise RemoteProtocolError("That upload has begun already.")
                if len(self._uploads) >= MAX_UPLOADS:
                    raise RemoteProtocolError("Too many uploads were begun at once.")
                begun = await self._in_thread(self._door.desk.begin_upload, who, salt)
                self._uploads[request] = begun
            case files.UploadEnd(root, size):
                upload = self._upload(request)
                del self._uploads[request]
                if not upload.failed:
                    await self._in_thread(upload.finish, who, root, size)
                    await self._say(request, Done())
            case files.UploadAbort():
                upload = self._upload(request)
                del self._uploads[request]
                await self._in_thread(upload.discard)
            case files.List(folder):
                await self._listing(who, request, folder)
            case files.Download():
                await self._download(who, request, message)
            case _:
                await self._say(
                    request, await self._in_thread(self._door.desk.answer, who, message)
                )

    def _upload(self, request: int) -> Upload:
        if request not in self._uploads:
            raise RemoteProtocolError("That upload was never begun.")
        return self._uploads[request]

    async def _segment(self, data: Data) -> None:
        upload = self._uploads.get(data.stream)
        if upload is None or upload.failed:
            return  # its failure was told; what was under way already is dropped
        try:
            await self._in_thread(upload.add, data.index, data.payload)
        except FsError as error:
            await self._in_thread(upload.fail)
            await self._say(data.stream, failure(error))

    async def _listing(self, who: Principal, request: int, folder: NodeId) -> None:
        manifests, end = await self._in_thread(self._door.desk.files.listing, who, folder)
        part: list[Signed] = []
        size = 0
        for manifest in manifests:
            part.append(manifest)
            size += len(manifest.payload)
            if size > LISTING_PART_BYTES:
                await self._say(request, files.Entries(part))
                part, size = [], 0
        if part:
            await self._say(request, files.Entries(part))
        await self._say(request, end)

    async def _download(self, who: Principal, request: int, ask: files.Download) -> None:
        download = await self._in_thread(self._door.desk.open_download, who, ask.node, ask.root)

        def record(index: int) -> bytes:
            return self._connection.send_data(request, index, download.segment())

        # The next segment is read and sealed while the one before it is sent.
        ahead = asyncio.ensure_future(self._in_thread(record, 0))
        try:
            for index in range(1, download.segments + 1):
                data = await ahead
                if index < download.segments:
                    ahead = asyncio.ensure_future(self._in_thread(record, index))
                await self._send(data)
                await self._check_session(who)
            await self._say(request, files.Sent(download.size))
        finally:
            await asyncio.gather(ahead, return_exceptions=True)  # a thread may still read
            await self._in_thread(download.close)
