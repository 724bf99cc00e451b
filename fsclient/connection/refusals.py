"""The error that a refusal of the server means."""

from __future__ import annotations

from fskit.text import time_text
from fsproto.errors import (
    ConflictError,
    FsError,
    NotFoundError,
    RemoteProtocolError,
    SignatureError,
    from_wire,
)
from fsproto.messages import Failure

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
    return error
