"""A server that speaks the real protocol, has the real database and the real keys, and lies.

It consists of the parts of `fsd`, so everything that a lie does not change is exactly what an
honest server sends. A `Lie` acts at two points: when a request is answered, and when an answer is
sent.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Self

from fsd.audit.log import AuditLog
from fsd.auth.vault import Vault
from fsd.blobs.local import LocalBlobs
from fsd.home.home import HOST_KEY, Home
from fsd.net.dispatch import Dispatcher
from fsd.net.logged_in import LoggedIn
from fsd.net.server import NativeServer
from fsd.policies import (
    DropPolicy,
    LinkPolicy,
    ListenerPolicy,
    LoginPolicy,
    PersonPolicy,
    RequestPolicy,
)
from fsd.principal import Principal
from fsd.services.drops.service import DropService
from fsd.services.files.changes import ChangeService
from fsd.services.files.commits import FileService
from fsd.services.files.history import HistoryService
from fsd.services.files.key_log import KeyLogService, KeyLogWriter
from fsd.services.files.shares import ShareService
from fsd.services.files.transfers import TransferService
from fsd.services.links.owner import LinkService
from fsd.services.login.login import LoginService
from fsd.services.requests.owner import RequestService
from fsd.store.engine import Database
from fsd.workers import IdleWorkers
from fskit.clock import now_ms
from fsproto import crypto
from fsproto.link import Address
from fsproto.messages import Message
from fsproto.messages.keylog import Rotate, RotatePart
from fsproto.wire.connection import DATA_ROOM, RECORD_ROOM, Connection, Control, Data, Event
from fsproto.wire.frames import Frame
from fsproto.wire.handshake import ServerHandshake
from tests.support.world import NOTES, Person, World

Said = Control | Data | bytes
"""An item to send: a message, a segment, or a record with any plaintext."""
Answers = Message | Iterator[Message]
"""An answer in one message or in several."""
QUICK = ListenerPolicy(refusal_s=0.05)


class Lie:
    """A change to the server's answers; this base class is honest."""

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        """Answer a request; `honestly` performs this request or any other."""
        return honestly(ask)

    def answers(self, ask: Message, honestly: Callable[[Message], Answers]) -> Answers:
        """Answer a request as `answer` does, with one message or with any number of them."""
        return honestly(ask)

    def serve(self, ask: Message, by: Callable[[Dispatcher | None], Answers]) -> Answers:
        """Answer a request in one or several messages; `by` has a dispatcher (None: ours) do it."""
        return by(None)

    def parts(self, parts: list[RotatePart]) -> list[RotatePart]:
        """Return the parts of a key rotation that the server makes."""
        return parts

    def says(self, said: Said) -> Iterable[Said]:
        """Yield the messages to send in place of `said`."""
        yield said

    def hears(self, connection: object, event: Event) -> None:
        """Observe an event that was received over a connection."""


class Rewrites(Lie):
    """A lie that replaces each message of one kind."""

    def __init__(self, kind: type[Message], how: Callable[[Any], Message | None]) -> None:
        """Take the kind, and the function that makes the false message (None: nothing is sent)."""
        self._kind = kind
        self._how = how
        self.told = 0

    def says(self, said: Said) -> Iterable[Said]:
        """Replace the message if it is of the kind."""
        if not isinstance(said, Control) or not isinstance(said.message, self._kind):
            yield said
            return
        self.told += 1
        bent = self._how(said.message)
        if bent is not None:
            yield Control(said.request, bent)


class Meanwhile(Lie):
    """An honest server, during whose answers something happens at the client."""

    def __init__(self, when: Callable[[Said], bool], act: Callable[[], object]) -> None:
        """Take which message it precedes, and what happens; once only."""
        self._when = when
        self._act: Callable[[], object] | None = act

    def says(self, said: Said) -> Iterable[Said]:
        if self._act is not None and self._when(said):
            act, self._act = self._act, None
            act()
        yield said

    @property
    def happened(self) -> bool:
        return self._act is None


class Floods(Lie):
    """A lie that answers one kind of request with very many messages, before the honest ones."""

    def __init__(self, kind: type[Message], parts: Callable[[], Iterable[Message]]) -> None:
        """Take the kind of request, and the function that makes the false answers to one."""
        self._kind = kind
        self._parts = parts

    def answers(
        self, ask: Message, honestly: Callable[[Message], Message | Iterator[Message]]
    ) -> Message | Iterator[Message]:
        """Answer with very many messages if the request is of the kind."""
        honest = honestly(ask)
        if not isinstance(ask, self._kind):
            return honest
        return chain(self._parts(), [honest] if isinstance(honest, Message) else honest)


class RewritesSegments(Lie):
    """A lie that replaces all segments of a download."""

    def __init__(self, how: Callable[[list[bytes]], Iterable[bytes]]) -> None:
        """Take the function that returns the segments to send, which are numbered from 0."""
        self._how = how
        self._held: list[bytes] = []

    def says(self, said: Said) -> Iterable[Said]:
        """Hold segments back until the last one is known."""
        if isinstance(said, Data):
            self._held.append(bytes(said.payload))
            return
        if isinstance(said, Control) and self._held:
            for index, segment in enumerate(self._how(self._held)):
                yield Data(said.request, index, memoryview(segment))
            self._held = []
        yield said


class Repeats(Lie):
    """A lie that always repeats the first answer of each kind, as if nothing ever changed."""

    def __init__(self, *kinds: type[Message]) -> None:
        """Take the kinds of answer."""
        self._kinds = kinds
        self.first: dict[type[Message], Any] = {}

    def says(self, said: Said) -> Iterable[Said]:
        """Repeat the first answer."""
        if isinstance(said, Control) and isinstance(said.message, self._kinds):
            first = self.first.setdefault(type(said.message), said.message)
            said = Control(said.request, first)
        yield said


@dataclass(frozen=True)
class _LyingDispatcher(Dispatcher):
    server: HostileServer

    def answer(self, who: Principal, ask: Message) -> Message:
        return self.server.lie.answer(
            ask, lambda asked: super(_LyingDispatcher, self).answer(who, asked)
        )

    def answers(self, who: Principal, ask: Message) -> Answers:
        def honestly(asked: Message) -> Answers:
            return self.server.lie.serve(
                asked, lambda dispatcher: Dispatcher.answers(dispatcher or self, who, asked)
            )

        return self.server.lie.answers(ask, honestly)

    def rotate(self, who: Principal, ask: Rotate, parts: Iterable[RotatePart]) -> Message:
        made = self.server.lie.parts(list(parts))
        said = self.server.lie.serve(
            ask, lambda dispatcher: Dispatcher.rotate(dispatcher or self, who, ask, made)
        )
        return said if isinstance(said, Message) else next(said)


class _Connection(Connection):
    """A server's end of a connection, whose lie may change the sent messages."""

    def __init__(self, server: HostileServer, handshake: ServerHandshake) -> None:
        super().__init__(handshake)
        self._server = server

    def send(self, request: int, message: Message) -> bytes:
        return self._said(Control(request, message))

    def seal_segment(
        self, stream: int, index: int, segment: memoryview, out: memoryview
    ) -> memoryview:
        return memoryview(self._said(Data(stream, index, segment[DATA_ROOM:])))

    def open_frame(self, frame: Frame, into: memoryview | None = None) -> Event:
        event = super().open_frame(frame, into)
        self._server.lie.hears(self, event)
        return event

    def _said(self, honest: Said) -> bytes:
        return b"".join(self._record(said) for said in self._server.lie.says(honest))

    def _record(self, said: Said) -> bytes:
        if isinstance(said, bytes):
            return bytes(self._keys().sealer.seal(said))
        if isinstance(said, Control):
            return super().send(said.request, said.message)
        segment = bytearray(DATA_ROOM) + said.payload
        out = memoryview(bytearray(len(segment) + RECORD_ROOM))
        return bytes(super().seal_segment(said.stream, said.index, memoryview(segment), out))


@cache
def _host_key(der: bytes) -> crypto.RsaKey:
    """Return a host key; cached for all servers, because reading it tests its primes."""
    return crypto.RsaKey(der)


class _Door(NativeServer):
    """The native listener, with connections that lie."""

    def __init__(
        self,
        server: HostileServer,
        dispatcher: Dispatcher,
        home: Home,
        policy: ListenerPolicy,
        spare: IdleWorkers,
        people: LoggedIn,
    ) -> None:
        key, folder = _host_key(home.read(HOST_KEY)), home.blobs / "staging"
        super().__init__(dispatcher, key, policy, (), spare, people=people, folder=folder)
        self._lying = server

    def connection(self) -> Connection:
        handshake = ServerHandshake(self.host_key, os.urandom, self.moves)
        return _Connection(self._lying, handshake)


class HostileServer:
    """A server on a data directory, in threads of this process; its `lie` changes what it sends."""

    def __init__(
        self,
        home: Path,
        *,
        logins: LoginPolicy | None = None,
        policy: ListenerPolicy = QUICK,
        now_ms: Callable[[], int] = now_ms,
        person: PersonPolicy | None = None,
    ) -> None:
        """Take a data directory that an `fsd` has made; no server may be running on it."""
        self._now_ms = now_ms
        self.lie = Lie()
        self._home = Home(home)
        self._logins = logins or LoginPolicy()
        self._policy = policy
        self._people = LoggedIn(person)
        self._thread = threading.Thread(target=self._run, name="lying server")
        self._opened = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._failed: BaseException | None = None
        self.address = Address("127.0.0.1", 0)
        self._door: _Door | None = None
        self._drops: DropService | None = None
        self._dispatcher: Dispatcher | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._opened.wait()
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def drops(self) -> DropService:
        """The service that receives drops, for all listeners."""
        if self._drops is None:
            raise AssertionError("the server has not started yet")
        return self._drops

    @property
    def door(self) -> NativeServer:
        """The native listener."""
        if self._door is None:
            raise AssertionError("the server has not started yet")
        return self._door

    @property
    def dispatcher(self) -> Dispatcher:
        """The services, as a connection of this server reaches them."""
        if self._dispatcher is None:
            raise AssertionError("it has not begun yet")
        return self._dispatcher

    @property
    def connections(self) -> int:
        """The number of connections."""
        return len(self._door._peers) if self._door else 0

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:  # noqa: BLE001 - told to whoever waits for the opening
                self._failed = error
            finally:
                self._opened.set()

    async def _serve(self) -> None:
        home, database = self._home, Database(self._home.database_url)
        blobs, vault = LocalBlobs(home.blobs), Vault(home.master_key(), os.urandom)
        now_ms = self._now_ms
        log = KeyLogWriter(home.log_key(), now_ms=now_ms)
        accounts = LoginService(
            database,
            vault,
            audit=AuditLog(vault, now_ms),
            policy=self._logins,
            log=log,
            now_ms=now_ms,
            random=os.urandom,
            admit=self._people.check,
        )
        self._drops = DropService(
            database,
            blobs,
            policy=DropPolicy(box=True),
            audit=AuditLog(vault, now_ms),
            now_ms=now_ms,
            random=os.urandom,
        )
        # More workers than cores, so that work runs concurrently where possible.
        spare = IdleWorkers(3)
        self._dispatcher = dispatcher = _LyingDispatcher(
            accounts,
            FileService(database, blobs, now_ms=now_ms),
            TransferService(database, blobs, now_ms=now_ms, spare=spare),
            ShareService(database, now_ms=now_ms),
            KeyLogService(database, log),
            HistoryService(database, blobs),
            self.drops,
            ChangeService(database),
            LinkService(
                database,
                AuditLog(vault, now_ms),
                policy=LinkPolicy(url="http://links.test"),
                logins=self._logins,
                now_ms=now_ms,
            ),
            RequestService(
                database,
                AuditLog(vault, now_ms),
                policy=RequestPolicy(),
                url="http://links.test",
                logins=self._logins,
                now_ms=now_ms,
            ),
            server=self,
        )
        self._door = door = _Door(self, dispatcher, home, self._policy, spare, self._people)
        self.address = Address(*await door.open("127.0.0.1", 0))
        self._opened.set()
        await self._stop.wait()
        await door.close()
        spare.close()
        database.close()


# --- checks of a client that received lies


def assert_refused(person: Person, *command: str, path: str = "notes.txt", status: int = 7) -> str:
    """Check that a get (or another command) is refused and leaves the local file unchanged."""
    target = person.write("here", b"what is here")
    told = person.run(*(command or ("get", path, str(target)))).fails(status)
    assert target.read_bytes() == b"what is here"
    assert not person.half_written()
    return told


def putting(person: Person, name: str = "notes.txt") -> tuple[str, ...]:
    """Return the command that puts a new version of a file."""
    return "put", str(person.write("new", b"new")), name


def honest_again(world: World, server: HostileServer) -> None:
    """Check that the lie destroyed nothing."""
    server.lie = Lie()
    assert world.alice.cat("notes.txt") == NOTES
