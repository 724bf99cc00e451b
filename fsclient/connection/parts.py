"""Answers in parts: the server sends a long list as several messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from fsproto.errors import RemoteProtocolError
from fsproto.messages.drops import Drops
from fsproto.messages.history import History
from fsproto.messages.links import Links
from fsproto.messages.requests import Requests
from fsproto.messages.shares import Shared, Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fsclient.connection.connection import ServerConnection
    from fsproto.messages.base import Message

P = TypeVar("P", bound=Drops | History | Links | Requests | Shared | Shares)
T = TypeVar("T")


def items_of(
    connection: ServerConnection,
    asked: Message,
    kind: type[P],
    items: Callable[[P], Sequence[T]],
    most: int,
) -> Iterator[T]:
    """Send a request, and yield the items of its answer as its parts arrive.

    `items` returns the items of one part. Verify each item when it is yielded, so that false ones
    do not fill the memory; the connection may be used in between (`interject`), and is closed if
    not all items are read. Raises `RemoteProtocolError` after `most` items, and after a part
    without items that is not the last: such an answer might never end.
    """
    request, left, more = connection.send(asked), most, True
    try:
        while more:
            more = False  # a failure is the last part
            part = connection.answer(request, kind)
            more, some = part.more, items(part)
            left -= len(some)
            if left < 0:
                raise RemoteProtocolError(
                    f"The server's answer to {type(asked).__name__.lower()} has more than "
                    f"{most:,} items."
                )
            if more and not some:
                raise RemoteProtocolError("The server sent an empty part of an answer.")
            yield from some
    finally:
        if more:
            connection.close()
