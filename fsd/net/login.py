"""The key exchange and the login of a connection; until they are done, nothing else is accepted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from fsd.auth.throttle import network_of
from fsd.net.services import Services
from fsd.net.timing import until_answer
from fsd.net.transport import Transport
from fsd.net.used_code import UsedCode
from fsd.principal import Principal
from fsd.services.login.attempts import KeysReplaced
from fsd.services.login.codes import CodeUsed
from fsd.store.engine import DatabaseAwayError
from fsd.workers import run_in
from fsproto.errors import (
    BehindError,
    FsError,
    InternalError,
    LoginRefused,
    OutOfSpaceError,
    RemoteProtocolError,
    SecurityError,
    UsageError,
)
from fsproto.limits import MAX_LOGIN
from fsproto.messages import Message, failure, refusal
from fsproto.messages.account import Enroll, Login, Recover
from fsproto.wire.connection import Connection, ConnectionState, Control, Event, Reply
from fsproto.wire.frames import SMALL

log = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Say = Callable[[int, Message], Awaitable[None]]
"""Sends a small message that answers a request."""


class Enter(Protocol):
    """Counts a connection as the user's."""

    def __call__(self, who: Principal, /, *, by_code: bool) -> None:
        """Raise `OutOfSpaceError` at the user's limit."""


class ConnectionLogin:
    """The login of one connection of the native listener."""

    def __init__(
        self,
        services: Services,
        line: Transport,
        connection: Connection,
        address: str,
        used_code: UsedCode | None,
    ) -> None:
        """Take the connection, and the used code of the SSH connection that carries it, if any."""
        self._services = services
        self._line = line
        self._connection = connection
        self._address = address
        self._used_code = used_code
        self.at_work = False
        """Whether the server works on what the client has sent."""

    async def run(self, enter: Enter, say: Say) -> Principal:
        """Exchange keys and log in; return who the client is.

        `enter` is called before the client hears of its login. Raises `LoginRefused` after the
        client was sent the refusal.
        """
        await self._exchange_keys()
        message: Login | Enroll | Recover
        ask, message = await self._asked(Login, Enroll, Recover)
        dispatcher = self._services.dispatcher
        used = self._vouched(message)
        if used is not None and isinstance(message, Login):
            log_in = partial(dispatcher.log_in_after_code, used, message)
        elif isinstance(message, Recover):
            recover = partial(dispatcher.recover, message)
            recovered, recovery = await self._authenticate(ask, recover, say)
            await say(ask, recovery)
            ask, proof = await self._asked(Login)
            log_in = partial(dispatcher.log_in_after_code, recovered, proof)
        else:
            log_in = partial(dispatcher.log_in, message)
        by_ticket = isinstance(message, Login) and message.ticket is not None
        who, welcome = await self._authenticate(ask, log_in, say, by_ticket=by_ticket)
        try:
            enter(who, by_code=welcome.ticket is not None)
        except OutOfSpaceError as error:  # another login of the user was faster
            await say(ask, failure(error))
            raise LoginRefused from error
        await say(ask, welcome)
        return who

    async def _exchange_keys(self) -> None:
        """Answer the client's two messages; networks take turns, since each costs a thread."""
        self._connection.longest = MAX_LOGIN
        network, turns = network_of(self._address), self._services.turns
        while self._connection.state is not ConnectionState.OPEN:  # at most a question, two more
            frame = await self._line.taken(await self._line.frame())
            turn = turns.queue(network)
            try:
                await self._line.unless_ended(turn)
                event = await self._in_thread(self._connection.open_frame, frame)
            finally:
                turns.leave(network, turn)
            if not isinstance(event, Reply):
                raise RemoteProtocolError("The exchange of keys was not completed.")
            await self._line.send(event.data)

    def _vouched(self, message: Message) -> CodeUsed | None:
        """Return the code that the carrying connection consumed, unless the login offers one."""
        offers = not isinstance(message, Login) or (message.otp, message.ticket) != (None, None)
        return None if self._used_code is None or offers else self._used_code.take()

    async def _asked(self, *kinds: type[M]) -> tuple[int, M]:
        """Return the next request's number and message, which must be of these kinds."""
        event = await self._event()
        if not isinstance(event, Control) or not isinstance(event.message, kinds):
            raise RemoteProtocolError("The client did not start with a login.")
        return event.request, event.message

    async def _event(self) -> Event:
        """Return the client's next event; only while nothing else receives."""
        frame = await self._line.taken(await self._line.frame())
        if len(frame.body) <= SMALL:
            return self._connection.open_frame(frame)
        try:
            return await self._in_thread(self._connection.open_frame, frame)
        finally:
            self._connection.rest()

    async def _authenticate(
        self, ask: int, log_in: Callable[[bytes, str], T], say: Say, *, by_ticket: bool = False
    ) -> T:
        """Run a login request in a thread; send a refusal and raise it."""
        asked, turn = time.monotonic(), self._services.slots.code_logins
        try:
            async with contextlib.nullcontext() if by_ticket else turn:
                return await self._in_thread(log_in, self._connection.channel_id, self._address)
        except DatabaseAwayError:
            raise  # the client connects again
        except FsError as error:
            # One answer at one time, whatever is wrong; only holders of the keys hear more.
            theirs = isinstance(error, LoginRefused | SecurityError | UsageError)
            told: FsError = LoginRefused() if theirs else InternalError()
            if isinstance(error, KeysReplaced | BehindError | OutOfSpaceError):
                told = error
            if not theirs:
                log.error("login failed: %s", error.sentence, extra={"address": self._address})  # noqa: TRY400
            await asyncio.sleep(until_answer(self._services.policy.refusal_s, asked))
            if isinstance(told, LoginRefused):
                await say(ask, refusal(told, self._services.dispatcher.accounts.now_ms()))
            else:
                await say(ask, failure(told))
            raise LoginRefused from error

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        self.at_work = True
        try:
            return await run_in(self._services.pool, work, *args)
        finally:
            self.at_work = False
