"""The error that a refusal of the server means."""

from __future__ import annotations

from fskit.clock import now_ms
from fskit.text import time_text
from fsproto.errors import (
    ConflictError,
    FsError,
    LoginRefused,
    NotFoundError,
    RemoteProtocolError,
    SignatureError,
    from_wire,
)
from fsproto.messages import Failure
from fsproto.messages.base import Refused

_CLOCKS_DIFFER_MS = 30_000
"""One step of most secrets; a difference of the clocks below it is no reason for a refusal."""
_LONGEST_SENTENCE = 500
"""Most characters of a server's sentence that the client prints."""


class SaidToBeAbsentError(ConflictError):
    """The server says that it does not have the requested item; nothing proves it."""


def error_of(message: Failure) -> FsError:
    """Return the error that the server reports.

    Only a folder's signature proves that something is absent, never the server's statement. If a
    signature proved that a node exists and the server now reports it as absent, then it was removed
    in the meantime, or the server withholds it.
    """
    hint = message.hint[:_LONGEST_SENTENCE]
    if message.again_ms:
        hint = f"It is possible again at {time_text(message.again_ms)}. {hint}".rstrip()
    error = from_wire(message.code, message.sentence[:_LONGEST_SENTENCE], hint)
    if isinstance(error, NotFoundError):
        return SaidToBeAbsentError(
            f"The server no longer has the requested data: {error.sentence}",
            hint="It may have just been removed; try again.",
        )
    if isinstance(error, RemoteProtocolError | SignatureError):  # it speaks of what it received
        error = type(error)(f"The server refused a request: {error.sentence}", hint=error.hint)
    if isinstance(message, Refused) and isinstance(error, LoginRefused):
        _compare_clocks(error, now_ms() - message.now_ms)
    return error


def _compare_clocks(error: LoginRefused, ahead_ms: int) -> None:
    """Name the difference of the clocks if it can be the reason of a refused login."""
    if abs(ahead_ms) < _CLOCKS_DIFFER_MS:
        return
    error.clock_off_ms = ahead_ms
    error.hint = (
        f"This device's clock is {clock_text(ahead_ms)} the server's: correct the wrong one, and "
        f"then give a new code. {error.hint}"
    )


def clock_text(ahead_ms: int) -> str:
    """Return how far one clock is ahead of another: `about 4 min behind`, `about 45 s ahead of`."""
    seconds = abs(ahead_ms) / 1000
    units = [("s", 1), ("min", 60), ("h", 3600), ("days", 86_400)]
    unit, size = next(one for one in reversed(units) if seconds >= 2 * one[1])
    span = f"{round(seconds / size)} {unit}"
    return f"about {span} {'ahead of' if ahead_ms > 0 else 'behind'}"
