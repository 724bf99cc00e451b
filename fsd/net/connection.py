"""One connection of the native listener, from its first byte to its last.

Ciphers, hashes, disk and database run in threads. The event loop opens and seals only records so
small that a thread switch would take longer than the cipher. Requests are answered one after the
other, in the order of their arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TypeVar

from fsd import logs
from fsd.net.answers import Answers, LargeRequest, UnreadableRequest
from fsd.net.dispatch import reads_only
from fsd.net.frame_queue import FrameQueue
from fsd.net.logged_in import Person
from fsd.net.login import ConnectionLogin
from fsd.net.segments import Failed, SegmentReceiver, SegmentSender
from fsd.net.services import Services
from fsd.net.transport import Transport
from fsd.net.uploads import Uploads
from fsd.net.used_code import UsedCode
from fsd.net.waiting import FREE, WaitingFrame
from fsd.net.watching import FolderWatches
from fsd.principal import Principal
from fsd.services.files.changes import Look
from fsd.store.engine import DatabaseAwayError
from fsd.workers import run_in
from fskit.os_errors import lacks_memory
from fsproto.errors import (
    ConnectionLost,
    FsError,
    InternalError,
    LoginRefused,
    RemoteProtocolError,
)
from fsproto.limits import MAX_RECORD
from fsproto.messages import Message, decode, failure, files
from fsproto.messages.account import EndSession, EndSessions, Logout
from fsproto.messages.keylog import Rotate, RotatePart
from fsproto.types import NodeId
from fsproto.wire.connection import (
    Connection,
    ConnectionOver,
    Control,
    Data,
    Event,
    Packed,
    Ready,
    Reply,
)
from fsproto.wire.frames import SMALL, Frame

log = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=Message)


_NO_MEMORY = "The server has too little memory for this request; try again later."
RECHECK_S = 1.0
"""Seconds that a connection may remain open after its session was ended elsewhere."""
_ENDS_SESSIONS = EndSessions | EndSession | Logout | Rotate
"""Requests that need not wait for others of the same user: these may be those of a thief."""


class ClientConnection:
    """One connection of the native listener."""

    def __init__(
        self,
        services: Services,
        connection: Connection,
        sock: socket.socket,
        address: str,
        *,
        logged_in: Callable[[], None],
        used_code: UsedCode | None = None,
    ) -> None:
        """Take the services, the server's end of a new connection, and the client's address.

        `logged_in` is called after the login. `used_code` belongs to the SSH connection that
        carries this connection, if there is one.
        """
        self._used_code = used_code
        self._person: Person
        """The user's connections and requests; set by the login."""
        self._user_id: int | None = None
        """The user after the login."""
        self._task: asyncio.Task[None] | None = None
        self._login: ConnectionLogin | None = None
        self._services = services
        self._logged_in = logged_in
        self._address = address
        self._connection = connection
        silence_s = services.policy.idle_s
        self._line = Transport(sock, connection, silence_s, services.waiting, services.pool)
        self._inbox: FrameQueue | None = None
        self._watches: FolderWatches | None = None
        self._uploads = Uploads(services.dispatcher, lambda: connection.channel_id)
        self._answers = Answers(services.dispatcher, self._line, connection, self._uploads)
        self._incoming = SegmentReceiver(
            self._line, connection, self._uploads.take, services.spare, services.buffers
        )
        self._checked = time.monotonic()

    def idle_for(self) -> float:
        """Seconds since the last request; 0 while a request is being served.

        Before the end of the login, seconds since the client's last bytes.
        """
        if self._inbox is None:
            at_work = self._login is not None and self._login.at_work
            return 0.0 if at_work else time.monotonic() - self._line.heard
        if self._uploads:
            return 0.0  # an upload has its own time limit
        if self._watches is not None and self._watches.waits_since is not None:
            return time.monotonic() - self._watches.waits_since
        return self._inbox.idle_for()

    def hang_up(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()

    async def serve(self) -> None:
        """Serve the connection to its end; never raise an error."""
        self._task = asyncio.current_task()
        logs.begin_connection()
        where = {"address": self._address}
        try:
            async with asyncio.timeout(self._services.policy.login_s):
                who = await self._log_in()
            self._logged_in()
            self._connection.longest, self._connection.decodes = MAX_RECORD, FREE
            policy = self._services.policy
            self._inbox = self._answers.inbox = inbox = FrameQueue(
                self._line, policy.idle_s, policy.frame_s
            )
            self._watches = FolderWatches(
                self._services.watching, partial(self._look, who), inbox.came
            )
            while True:
                silence_s = self._services.policy.stall_s if self._uploads else None
                await self._work_on(who, inbox, await inbox.next(silence_s))
        except (ConnectionLost, ConnectionOver, ConnectionError, TimeoutError):
            log.debug("connection ended", extra=where)
        except LoginRefused:
            pass  # logged where it was decided
        except DatabaseAwayError:
            # The client cannot know either whether a commit took place: it connects again, looks,
            # and goes on, maybe at another node.
            log.warning("connection closed: the database cannot be reached", extra=where)
        except UnreadableRequest as reason:
            log.warning("connection dropped: %s", reason, extra=where)
        except FsError as error:
            log.warning("connection dropped: %s", error.sentence, extra=where)
            with contextlib.suppress(OSError, TimeoutError):
                await self._line.send(self._connection.refusal(error))
        except Exception as error:
            if lacks_memory(error):
                log.error("connection dropped: out of memory", extra=where)  # noqa: TRY400 - no fault
            else:
                log.exception("connection failed", extra=where)
        finally:
            await self._end()

    async def _end(self) -> None:
        """Release everything that the connection holds, whatever of it fails."""
        try:
            async with contextlib.AsyncExitStack() as last_first:
                if self._user_id is not None:
                    last_first.callback(self._services.people.leave, self._user_id, self)
                last_first.callback(self._line.close)
                if self._uploads.reserve:
                    last_first.push_async_callback(self._let_go)
                if self._inbox is not None:
                    last_first.push_async_callback(self._inbox.close)
        except Exception:
            log.exception("connection ended badly", extra={"address": self._address})

    async def _let_go(self) -> None:
        async with self._services.slots.writers:
            await self._in_thread(self._uploads.let_go)

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await run_in(self._services.pool, work, *args)

    async def _say(self, request: int, message: Message) -> None:
        """Send a small message."""
        self._answers.put(request, message)
        del message
        await self._line.flush()

    async def _log_in(self) -> Principal:
        self._login = ConnectionLogin(
            self._services, self._line, self._connection, self._address, self._used_code
        )
        return await self._login.run(self._enter, self._say)

    def _enter(self, who: Principal, *, by_code: bool) -> None:
        """Count the connection as the user's; `OutOfSpaceError` at the user's limit."""
        self._person = self._services.people.enter(who.user_id, self, by_code=by_code)
        self._user_id = who.user_id

    async def _check_session(self, who: Principal) -> None:
        """Close the connection if its session has ended or its user is disabled."""
        if time.monotonic() - self._checked > RECHECK_S:
            if not await self._in_thread(self._services.dispatcher.accounts.still_in, who):
                raise ConnectionLost
            self._checked = time.monotonic()

    # --- answering

    async def _work_on(self, who: Principal, inbox: FrameQueue, waiting: WaitingFrame) -> None:
        await self._check_session(who)
        event: Event | LargeRequest | None
        if waiting.length > SMALL:
            async with self._moving():
                event, failed = await self._turn(inbox, waiting)
        else:
            event, failed = self._connection.open_frame(await self._line.taken(waiting)), []
            if isinstance(event, Data):
                async with self._moving():
                    error = await self._in_thread(self._uploads.take, event)
                failed = [(event.stream, error)] if error else []
        for stream, error in failed:
            await self._say(stream, failure(error))
        if isinstance(event, Packed):
            event = await self._let_wait(event)
        if isinstance(event, Control | LargeRequest):
            await self._answer(who, event)
        elif isinstance(event, Reply | Ready):
            raise RemoteProtocolError("The key exchange cannot be repeated.")

    async def _let_wait(self, event: Packed) -> Control | LargeRequest:
        """Return a large request; it is in memory only if there is room."""
        if event.is_a(Rotate):  # waits for nothing
            return Control(event.request, await self._in_thread(decode, event.payload))
        request, frame = event.request, Frame(b"", event.payload, bytearray())
        is_part = event.is_a(RotatePart)
        del event
        return LargeRequest(request, await self._line.wait_with(frame), is_part)

    @contextlib.asynccontextmanager
    async def _moving(self) -> AsyncIterator[None]:
        """Wait for a turn to move segments: one of the user's, and one of the server's."""
        async with self._person.turns, self._services.slots.segments:
            yield

    async def _turn(
        self, inbox: FrameQueue, waiting: WaitingFrame
    ) -> tuple[Event | None, list[Failed]]:
        """Open a frame in a thread; during uploads, receive segments there while they arrive."""
        if not self._uploads:
            turn = partial(self._incoming.turn, go_on=False)
            return await self._in_thread(turn, deque((waiting,)))
        turn = partial(self._incoming.turn, go_on=inbox.thread_may_receive)
        frames = inbox.to_thread()
        frames.appendleft(waiting)
        try:
            return await self._in_thread(turn, frames)
        finally:
            inbox.to_loop(frames)

    async def _answer(self, who: Principal, event: Control | LargeRequest) -> None:
        logs.begin_request(event.request)
        self._services.slots.requests += 1
        try:
            if isinstance(event, LargeRequest) and event.is_rotate_part:
                await self._keep_part(event.request, event.waiting)
            elif isinstance(event, LargeRequest):
                async with self._person.request():
                    await self._request_large(who, event)
            elif isinstance(event.message, RotatePart):
                await self._keep_part(event.request, event.message)
            elif isinstance(event.message, files.Download):
                await self._download(who, event.request, event.message)
            elif isinstance(event.message, files.Watch) and self._watches is not None:
                changed = await self._watches.changed(event.message)
                await self._say(event.request, files.Changed(changed))
            elif isinstance(event.message, _ENDS_SESSIONS):
                async with self._turn_to_rotate(event.message):
                    await self._request(who, event)
                if isinstance(event.message, EndSessions | Rotate):  # the others' have ended
                    self._person.hang_up_others(self)
            else:
                async with self._person.request():
                    await self._request(who, event)
        except (ConnectionLost, ConnectionError, TimeoutError, DatabaseAwayError):
            raise  # the client is gone, or has to connect again
        except FsError as error:
            await self._say(event.request, failure(error))
        except MemoryError:
            log.error("request refused: out of memory", extra={"user": who.user})  # noqa: TRY400 - no fault
            await self._say(event.request, failure(InternalError(_NO_MEMORY)))
        except (OSError, ValueError, LookupError, AssertionError, AttributeError, TypeError):
            log.exception("request failed", extra={"user": who.user, "request": event.request})
            await self._say(event.request, failure(InternalError()))

    async def _keep_part(self, request: int, part: WaitingFrame | RotatePart) -> None:
        """Keep a part of a key rotation, undecoded if it is large, and say so."""
        self._answers.keep_part(request, part)
        await self._line.flush()

    def _turn_to_rotate(self, message: Message) -> contextlib.AbstractAsyncContextManager[object]:
        """Return what to hold during a key rotation with parts, which takes much memory."""
        has_parts = isinstance(message, Rotate) and self._answers.has_rotate_parts
        return self._services.slots.rotations if has_parts else contextlib.nullcontext()

    async def _request(self, who: Principal, event: Control) -> None:
        request, message = event.request, event.message
        writers = self._services.slots.writers
        async with contextlib.nullcontext() if reads_only(message) else writers:
            more = await self._in_thread(self._answers.begin, who, request, message)
        await self._end_answer(request, more)

    async def _request_large(self, who: Principal, event: LargeRequest) -> None:
        slots = self._services.slots
        async with slots.writers, slots.decoded:
            more = await self._in_thread(self._answers.begin_large, who, event)
        await self._end_answer(event.request, more)

    async def _look(self, who: Principal, folder: NodeId, before: Look | None) -> Look:
        """Look for changes under a folder; only this takes one of the user's requests."""
        await self._check_session(who)
        async with self._person.request():
            return await self._in_thread(self._services.dispatcher.look, who, folder, before)

    async def _end_answer(self, request: int, more: Iterator[Message] | None) -> None:
        """Send the first part of an answer, and make the next one when the client has taken it."""
        await self._line.flush()
        while more is not None and await self._in_thread(self._answers.next_part, request, more):
            await self._line.flush()

    # --- downloads

    async def _download(self, who: Principal, request: int, ask: files.Download) -> None:
        async with self._person.turns:
            download = await self._in_thread(
                self._services.dispatcher.open_download, who, ask.node, ask.root, ask.first
            )
        buffers = self._services.buffers
        outgoing = SegmentSender(self._line, self._connection, request, download, buffers)
        turn: asyncio.Future[None] | None = None
        try:
            while not outgoing.is_over:
                async with self._moving():
                    turn = asyncio.ensure_future(self._in_thread(outgoing.turn))
                    await turn
                await self._line.flush()
                await self._check_session(who)
            await self._say(request, files.Sent(download.size))
        finally:
            if turn is not None:
                await asyncio.gather(turn, return_exceptions=True)  # a thread may still read
                turn = None  # its error refers to this frame, and to the buffers of the turn
            await self._in_thread(download.close)
