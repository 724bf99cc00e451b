"""Answers in parts: the server sends a long list as several messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from fsproto.errors import RemoteProtocolError
from fsproto.messages.drops import Drops
from fsproto.messages.history import History
from fsproto.messages.shares import Shared, Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fsclient.connection.connection import ServerConnection
    from fsproto.messages.base import Message

P = TypeVar("P", bound=Drops | History | Shared | Shares)
T = TypeVar("T")


def items_of(
    connection: ServerConnection, asked: Message, kind: type[P], items: Callable[[P], Sequence[T]]
) -> Iterator[T]:
    """Send a request, and yield the items of all parts of its answer as they arrive.

    `items` returns the items of one part. Raises `RemoteProtocolError` after a part without items
    that is not the last: such an answer might never end.
    """
    request, more = connection.send(asked), True
    while more:
        part = connection.answer(request, kind)
        yield from items(part)
        more = part.more
        if more and not items(part):
            raise RemoteProtocolError("The server sent a part of an answer with nothing in it.")
