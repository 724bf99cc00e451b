"""The answers of one connection: made, packed and sealed in a thread, one part after the other."""

from __future__ import annotations

from collections.abc import Iterator

from fsd.net.dispatch import Dispatcher
from fsd.net.frame_queue import FrameQueue
from fsd.net.transport import Transport
from fsd.net.uploads import OF_UPLOADS, Uploads
from fsd.net.waiting import WaitingFrame
from fsd.principal import Principal
from fsproto.errors import RemoteProtocolError
from fsproto.limits import MAX_ROTATE_PARTS
from fsproto.messages import Message, decode, files
from fsproto.messages.account import EndSession, EndSessions, Logout
from fsproto.messages.base import Done
from fsproto.messages.keylog import Rotate, RotatePart
from fsproto.values import Value
from fsproto.wire.connection import Connection


class UnreadableRequest(Exception):
    """A large request cannot be decoded; the text is the reason. The connection ends."""


class LargeRequest(Value, frozen=True):
    """An undecoded request: after decoding it takes much more memory."""

    request: int
    waiting: WaitingFrame
    is_rotate_part: bool


class Answers:
    """Puts answers on the line, which then sends them; all calls block."""

    def __init__(
        self, dispatcher: Dispatcher, line: Transport, connection: Connection, uploads: Uploads
    ) -> None:
        """Take the services, where answers are put, what seals them, and the uploads."""
        self._dispatcher = dispatcher
        self._line = line
        self._connection = connection
        self._uploads = uploads
        self.inbox: FrameQueue | None = None
        """The requests that wait; set by the login."""
        self._rotate_parts: list[WaitingFrame | RotatePart] = []
        """The parts that the next key rotation of this connection makes, as they came."""

    def put(self, request: int, message: Message) -> None:
        """Seal a message, which the next flush of the line sends."""
        try:
            self._line.put(self._connection.send(request, message))
        except ValueError:
            raise RemoteProtocolError(
                "One answer cannot hold everything that was requested at once."
            ) from None

    def begin(self, who: Principal, request: int, message: Message) -> Iterator[Message] | None:
        """Put the first part of the answer; return what makes the others, if it has several."""
        answers: Message | Iterator[Message] | None
        if isinstance(message, OF_UPLOADS):
            answers = self._uploads.answer(who, request, message)
        elif isinstance(message, Rotate):
            answers = self._dispatcher.rotate(who, message, self._taken_parts())
        elif isinstance(message, files.Commit) and self.inbox and self.inbox.peer_has_gone:
            answers = None  # a later reader must not see changes by a closed connection
        else:
            answers = self._dispatcher.answers(who, message)
        if isinstance(answers, Message):
            self.put(request, answers)
            return None
        return answers if answers is not None and self.next_part(request, answers) else None

    def begin_large(self, who: Principal, large: LargeRequest) -> Iterator[Message] | None:
        """Decode a request, then do the same; `UnreadableRequest` if that is impossible."""
        try:
            message = decode(large.waiting.take().body)
        except RemoteProtocolError as error:
            raise UnreadableRequest(error.sentence) from None
        if isinstance(message, OF_UPLOADS | files.Download | EndSessions | EndSession | Logout):
            raise RemoteProtocolError("The client sent a request that is too long.")
        return self.begin(who, large.request, message)

    @property
    def has_rotate_parts(self) -> bool:
        """Return whether the next key rotation of this connection has parts."""
        return bool(self._rotate_parts)

    def keep_part(self, request: int, part: WaitingFrame | RotatePart) -> None:
        """Keep a part for the next key rotation, and put the answer to it.

        `RemoteProtocolError`, and all parts are forgotten, if there are too many.
        """
        if len(self._rotate_parts) >= MAX_ROTATE_PARTS:
            self._rotate_parts.clear()
            raise RemoteProtocolError(f"A key rotation has at most {MAX_ROTATE_PARTS} parts.")
        self._rotate_parts.append(part)
        self.put(request, Done())

    def _taken_parts(self) -> Iterator[RotatePart]:
        """Forget the parts; return them, each decoded when it is its turn."""
        parts, self._rotate_parts = self._rotate_parts, []
        return map(_decoded_part, parts)

    def next_part(self, request: int, answers: Iterator[Message]) -> bool:
        """Put the next part of an answer; return whether there was one."""
        part = next(answers, None)
        if part is not None:
            self.put(request, part)
        return part is not None


def _decoded_part(part: WaitingFrame | RotatePart) -> RotatePart:
    message = decode(part.take().body) if isinstance(part, WaitingFrame) else part
    if not isinstance(message, RotatePart):
        raise RemoteProtocolError("That is not a part of a key rotation.")
    return message
