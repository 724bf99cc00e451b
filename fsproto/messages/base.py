"""The base class of messages, and the two general answers."""

from __future__ import annotations

from fsproto.packing import Record
from fsproto.ranges import Uint63


class Message(Record, frozen=True, tag=str.lower):
    """A message, packed as an array whose first element is its name in lower case."""


class Done(Message, frozen=True):
    """The request succeeded and has no result."""


class Failure(Message, frozen=True):
    """The request failed: the code of an error of `fsproto.errors`, and texts for people."""

    code: str
    sentence: str
    hint: str
    """What to do; empty for the hint that belongs to the code."""
    again_ms: Uint63
    """When the same request can succeed, in Unix time; 0 if the server does not know."""


class Refused(Failure, frozen=True):
    """A login was refused: the same answer for every reason."""

    now_ms: Uint63
    """The time of the server's clock, in whole seconds as Unix time in milliseconds."""
