"""The base class of all messages, and the two general answers."""

from __future__ import annotations

from fsproto.packing import Record


class Message(Record, frozen=True, tag=str.lower):
    """A message, packed as an array whose first element is its name in lower case."""


class Done(Message, frozen=True):
    """The request succeeded and has no result."""


class Failure(Message, frozen=True):
    """The request failed: the code of an error of `fsproto.errors`, and its sentence."""

    code: str
    sentence: str
