"""One connection of the native listener, from its first byte to its last.

Ciphers, hashes, disk and database run in threads. The event loop opens and seals only records so
small that a thread switch would take longer than the cipher. Requests are answered one after the
other, in the order of their arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from fsd import logs
from fsd.auth.throttle import network_of
from fsd.net.dispatch import BlobUpload
from fsd.net.logged_in import Person
from fsd.net.segments import Failed, SegmentReceiver, SegmentSender
from fsd.net.services import TURNS_OF_EXCHANGE, Services
from fsd.net.timing import until_answer
from fsd.net.transport import FrameQueue, Transport
from fsd.net.used_code import UsedCode
from fsd.principal import Principal
from fsd.services.login.attempts import KeysReplaced
from fsd.services.login.codes import CodeUsed
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
from fsproto.limits import MAX_LOGIN, MAX_RECORD, MAX_UPLOADS
from fsproto.messages import Message, failure, files
from fsproto.messages.account import EndSessions, Enroll, Login, Logout, Recover
from fsproto.messages.base import Done
from fsproto.messages.keylog import Rotate
from fsproto.wire.connection import (
    Connection,
    ConnectionOver,
    Control,
    Data,
    Event,
    Reply,
)
from fsproto.wire.frames import SMALL, Frame

log = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=Message)

RECHECK_S = 1.0
"""Seconds that a connection may remain open after its session was ended elsewhere."""
_ENDS_SESSIONS = EndSessions | Logout | Rotate
"""Requests that need not wait for others of the same user: these may be those of a thief."""
_LONG = files.Entries | files.Fetched | files.Found | files.Stale
"""Long answers, packed and sealed in a thread; for others a thread switch takes longer."""


class ClientConnection:
    """One connection of the native listener."""

    def __init__(
        self,
        inside: Services,
        connection: Connection,
        sock: socket.socket,
        address: str,
        *,
        logged_in: Callable[[], None],
        voucher: UsedCode | None = None,
    ) -> None:
        """Take the services, the server's end of a new connection, and the client's address.

        `logged_in` is called after the login. `voucher` belongs to the SSH connection that carries
        this connection, if there is one.
        """
        self._voucher = voucher
        self._person: Person
        """The user's connections and requests; set by the login."""
        self._user_id: int | None = None
        """The user after the login."""
        self._task: asyncio.Task[None] | None = None
        self._inside = inside
        self._logged_in = logged_in
        self._address = address
        self._connection = connection
        self._line = Transport(sock, connection, inside.policy.idle_s)
        self._inbox: FrameQueue | None = None
        self._uploads: dict[int, BlobUpload] = {}
        self._channel: bytes | None = None
        """The channel id, from the first upload on; a closed connection no longer returns it."""
        self._incoming = SegmentReceiver(self._line, connection, self._segment, inside.spare)
        self._began = self._checked = time.monotonic()

    def idle_for(self) -> float:
        """Seconds since the last request; 0 while a request is being served."""
        if self._uploads:
            return 0.0  # an upload has its own time limit
        return self._inbox.idle_for() if self._inbox else time.monotonic() - self._began

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
            async with asyncio.timeout(self._inside.policy.login_s):
                who = await self._log_in()
            self._logged_in()
            self._connection.longest = MAX_RECORD
            policy = self._inside.policy
            self._inbox = inbox = FrameQueue(self._line, policy.idle_s, policy.frame_s)
            while True:
                silence_s = self._inside.policy.stall_s if self._uploads else None
                await self._work_on(who, inbox, await inbox.next(silence_s))
        except (ConnectionLost, ConnectionOver, ConnectionError, TimeoutError):
            log.debug("connection ended", extra=where)
        except LoginRefused:
            pass  # logged where it was decided
        except FsError as error:
            log.warning("connection dropped: %s", error.sentence, extra=where)
            with contextlib.suppress(OSError, TimeoutError):
                await self._line.send(self._connection.refusal(error))
        except Exception:
            log.exception("connection failed", extra=where)
        finally:
            if self._inbox is not None:
                await self._inbox.close()
            await self._let_uploads_go()
            self._line.close()
            if self._user_id is not None:
                self._inside.people.leave(self._user_id, self)

    async def _let_uploads_go(self) -> None:
        """Suspend resumable uploads, and release the reservations for uploads."""
        ends = [upload.suspend for upload in self._uploads.values()]
        if self._channel is not None:
            ends.append(partial(self._inside.desk.end_line, self._channel))
        for end in ends:
            try:
                await self._in_thread(end)
            except FsError as error:
                log.warning("what was reserved for uploads lasts a while: %s", error.sentence)

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        # With what is known of connection and request, for the logs.
        run = contextvars.copy_context().run
        return await loop.run_in_executor(self._inside.pool, run, work, *args)

    async def _event(self) -> Event:
        """Return the client's next event; only while nothing else receives."""
        frame = await self._line.frame()
        if len(frame.body) <= SMALL:
            return self._connection.open_frame(frame)
        return await self._in_thread(self._connection.open_frame, frame)

    async def _say(self, request: int, message: Message) -> None:
        try:
            if isinstance(message, _LONG):
                data = await self._in_thread(self._connection.send, request, message)
            else:
                data = self._connection.send(request, message)
        except ValueError:
            raise RemoteProtocolError(
                "More was asked for at once than one answer can hold."
            ) from None
        await self._line.send(data)

    async def _log_in(self) -> Principal:
        self._connection.longest = MAX_LOGIN
        network, turns = network_of(self._address), self._inside.turns
        for _ in range(TURNS_OF_EXCHANGE):  # client_hello, client_key
            frame = await self._line.frame()
            turn = turns.queue(network)
            try:
                await self._line.unless_ended(turn)
                event = await self._in_thread(self._connection.open_frame, frame)
            finally:
                turns.leave(network, turn)
            if not isinstance(event, Reply):
                raise RemoteProtocolError("The exchange of keys was not completed.")
            await self._line.send(event.data)
        message: Login | Enroll | Recover
        ask, message = await self._asked(Login, Enroll, Recover)
        desk = self._inside.desk
        used = self._vouched(message)
        if used is not None and isinstance(message, Login):
            enter = partial(desk.log_in_after_code, used, message)
        elif isinstance(message, Recover):
            recovered, recovery = await self._let(ask, partial(desk.recover, message))
            await self._say(ask, recovery)
            ask, proof = await self._asked(Login)
            enter = partial(desk.log_in_after_code, recovered, proof)
        else:
            enter = partial(desk.log_in, message)
        who, welcome = await self._let(ask, enter)
        by_code = welcome.ticket is not None
        try:
            self._person = self._inside.people.enter(who.user_id, self, by_code=by_code)
        except OutOfSpaceError as error:  # another login of the user was faster
            await self._say(ask, failure(error))
            raise LoginRefused from error
        self._user_id = who.user_id
        await self._say(ask, welcome)
        return who

    def _vouched(self, message: Message) -> CodeUsed | None:
        """Return the code that the carrying connection consumed, unless the login offers one."""
        offers = not isinstance(message, Login) or (message.otp, message.ticket) != (None, None)
        return None if self._voucher is None or offers else self._voucher.take()

    async def _asked(self, *kinds: type[M]) -> tuple[int, M]:
        """Return the next request's number and message, which must be of these kinds."""
        event = await self._event()
        if not isinstance(event, Control) or not isinstance(event.message, kinds):
            raise RemoteProtocolError("The client did not start with a login.")
        return event.request, event.message

    async def _let(self, ask: int, enter: Callable[[bytes, str], T]) -> T:
        """Run a login request in a thread; send a refusal and raise it."""
        asked = time.monotonic()
        try:
            return await self._in_thread(enter, self._connection.channel_id, self._address)
        except FsError as error:
            # One answer for everything that can be wrong with a login, always after the same time;
            # but the holder of the account's former keys hears that they were replaced.
            theirs = isinstance(error, LoginRefused | SecurityError | UsageError)
            told: FsError = LoginRefused() if theirs else InternalError()
            if isinstance(error, KeysReplaced):
                told = error
            elif isinstance(error, OutOfSpaceError):
                log.error("login failed: %s", error.sentence, extra={"address": self._address})  # noqa: TRY400
                told = error
            elif not theirs:
                log.exception("login failed", extra={"address": self._address})
            await asyncio.sleep(until_answer(self._inside.policy.refusal_s, asked))
            await self._say(ask, failure(told))
            raise LoginRefused from error

    async def _check_session(self, who: Principal) -> None:
        """Close the connection if its session has ended or its user is disabled."""
        if time.monotonic() - self._checked > RECHECK_S:
            if not await self._in_thread(self._inside.desk.accounts.still_in, who):
                raise ConnectionLost
            self._checked = time.monotonic()

    # --- answering

    async def _work_on(self, who: Principal, inbox: FrameQueue, frame: Frame) -> None:
        await self._check_session(who)
        event: Event | None
        if len(frame.body) > SMALL and self._uploads:
            async with self._person.turns:
                event, failed = await self._turn(inbox, frame)
        elif len(frame.body) > SMALL:
            turn = partial(self._incoming.turn, go_on=False)
            async with self._person.turns:
                event, failed = await self._in_thread(turn, deque((frame,)))
        else:
            event, failed = self._connection.open_frame(frame), []
            if isinstance(event, Data):
                async with self._person.turns:
                    error = await self._in_thread(self._segment, event)
                failed = [(event.stream, error)] if error else []
        for stream, error in failed:
            await self._say(stream, failure(error))
        if event is not None and not isinstance(event, Data):
            await self._answer(who, event)

    async def _turn(self, inbox: FrameQueue, frame: Frame) -> tuple[Event | None, list[Failed]]:
        """Receive segments in a thread while they arrive."""
        frames = inbox.to_thread()
        frames.appendleft(frame)
        turn = partial(self._incoming.turn, go_on=not inbox.peer_has_gone)
        try:
            return await self._in_thread(turn, frames)
        finally:
            inbox.to_loop(frames)

    def _segment(self, data: Data) -> FsError | None:
        """Take a segment of an upload; return the failure to send if there is one."""
        upload = self._uploads.get(data.stream)
        if upload is None or upload.failed:
            return None  # its failure was sent; segments already on their way are dropped
        try:
            upload.add(data.index, data.payload)
        except FsError as error:
            upload.fail()
            return error
        return None

    async def _answer(self, who: Principal, event: Event) -> None:
        if not isinstance(event, Control):
            raise RemoteProtocolError("The exchange of keys cannot be done twice.")
        logs.begin_request(event.request)
        try:
            if isinstance(event.message, files.Download):
                await self._download(who, event.request, event.message)
            elif isinstance(event.message, _ENDS_SESSIONS):
                await self._request(who, event.request, event.message)
                if not isinstance(event.message, Logout):  # the others' sessions have ended
                    self._person.hang_up_others(self)
            else:
                async with self._person.request():
                    await self._request(who, event.request, event.message)
        except (ConnectionLost, ConnectionError, TimeoutError):
            raise  # the client is gone
        except FsError as error:
            await self._say(event.request, failure(error))
        except (OSError, ValueError, LookupError, AssertionError, AttributeError, TypeError):
            log.exception("request failed", extra={"user": who.user, "request": event.request})
            await self._say(event.request, failure(InternalError()))

    async def _request(self, who: Principal, request: int, message: Message) -> None:
        match message:
            case files.Upload():
                desk, line = self._inside.desk, self._channel_for(request)
                self._uploads[request] = desk.refused_upload()  # segments may be under way
                self._uploads[request] = await self._in_thread(
                    desk.begin_upload, who, message, line
                )
            case files.Resume():
                desk, line = self._inside.desk, self._channel_for(request)
                kept, upload = await self._in_thread(desk.resume_upload, who, message, line)
                if upload is not None:
                    self._uploads[request] = upload
                await self._say(request, kept)
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
            case files.Commit() if self._inbox is not None and self._inbox.peer_has_gone:
                pass  # a later reader must not see changes by a closed connection
            case _:
                answers = await self._in_thread(self._inside.desk.answers, who, message)
                if isinstance(answers, Message):
                    await self._say(request, answers)
                    return
                # The next part is read from the database after the client has taken this one.
                while (part := await self._in_thread(next, answers, None)) is not None:
                    await self._say(request, part)

    def _channel_for(self, request: int) -> bytes:
        """Return the id for a new upload's reservation; `RemoteProtocolError` if not allowed."""
        if request in self._uploads:
            raise RemoteProtocolError("This upload was already started.")
        if len(self._uploads) >= MAX_UPLOADS:
            raise RemoteProtocolError("Too many uploads at once.")
        self._channel = self._connection.channel_id
        return self._channel

    def _upload(self, request: int) -> BlobUpload:
        if request not in self._uploads:
            raise RemoteProtocolError("This upload was never started.")
        return self._uploads[request]

    async def _download(self, who: Principal, request: int, ask: files.Download) -> None:
        async with self._person.turns:
            download = await self._in_thread(
                self._inside.desk.open_download, who, ask.node, ask.root, ask.first
            )
        outgoing = SegmentSender(self._line, self._connection, request, download)
        turn: asyncio.Future[memoryview] | None = None
        try:
            while not outgoing.is_over:
                async with self._person.turns:
                    turn = asyncio.ensure_future(self._in_thread(outgoing.turn))
                    rest = await turn
                if rest:
                    await self._line.send(rest)
                await self._check_session(who)
            await self._say(request, files.Sent(download.size))
        finally:
            if turn is not None:
                await asyncio.gather(turn, return_exceptions=True)  # a thread may still read
            await self._in_thread(download.close)
