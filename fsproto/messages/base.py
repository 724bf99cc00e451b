"""What all messages share."""

from __future__ import annotations

from fsproto.packing import Record


class Message(Record, frozen=True, tag=str.lower):
    """A message: packed as an array that begins with its name in lower case."""


class Done(Message, frozen=True):
    """It was done, and there is nothing more to say."""


class Failure(Message, frozen=True):
    """It was not done: the code of an error of `fsproto.errors`, and its sentence."""

    code: str
    sentence: str
