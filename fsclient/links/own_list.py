"""What the lists of a user's own public links and own request links have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from fskit.text import size_text
from fsproto.errors import RemoteProtocolError, SecurityError, UsageError
from fsproto.links.url_grammar import check_base
from fsproto.links.url_secret import LINK_ID_SIZE

_SHOWN = 8
"""Hexadecimal digits of an id that are shown; at least so many identify it in a command."""


class Own(Protocol):
    """An entry of such a list, together with the user's own record."""

    @property
    def full_id(self) -> bytes:
        """Its id, 16 bytes."""

    @property
    def error(self) -> SecurityError | None:
        """Why its record does not open; None if it does."""


class Listed(Protocol):
    """An entry of such a list, as the server sends it."""

    @property
    def record(self) -> bytes:
        """The sealed record."""


T = TypeVar("T", bound=Listed)
K = TypeVar("K", bound=Own)


def short_id(of: bytes) -> str:
    """Return the part of an id that is shown."""
    return of.hex()[:_SHOWN]


def checked_base(url: str) -> str:
    """Return the start of new URLs as the server has sent it; `RemoteProtocolError`."""
    try:
        return check_base(url)
    except UsageError:
        raise RemoteProtocolError("The server sent an invalid start of URLs.") from None


def listed(items: Iterable[T], id_of: Callable[[T], bytes], most: int, what: str) -> list[T]:
    """Return what the server lists; `RemoteProtocolError` for a bad id, or one that it repeats.

    The records have at most `most` bytes together. `what` is a word for one entry.
    """
    found, size = list[T](), 0
    for one in items:
        size += len(one.record)
        if size > most:
            raise RemoteProtocolError(
                f"The server's list of your {what}s has more than {size_text(most)}."
            )
        found.append(one)
    ids = [id_of(one) for one in found]
    if len(set(ids)) != len(ids):
        raise RemoteProtocolError(f"The server lists a {what} twice.")
    if any(len(each) != LINK_ID_SIZE for each in ids):
        raise RemoteProtocolError(f"The server lists a {what} with a malformed id.")
    return found


def with_id(known: Sequence[K], text: str, what: str) -> K | None:
    """Return the entry whose id starts with a text; None if there is none, or the text is short."""
    wanted = text.lower()
    found = [one for one in known if one.full_id.hex().startswith(wanted)]
    if len(wanted) < _SHOWN or not found:
        return None
    if len(found) > 1:
        raise UsageError(f"Several {what}s start with '{text}'; give more of the id.")
    return found[0]
