"""Messages between a command and the agent, and how they are packed. No I/O is in here.

    message = "FSAGENT1" ‖ length of the body (4 bytes, big-endian) ‖ body: one packed record

A connection carries one request and one answer. The key of an identity file is what its passphrase
derives (`fsproto.keys.key_file.key_of`).
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from fsproto.packing import Record, decoder_of

MAGIC = b"FSAGENT1"
"""The version of these messages: an agent of another version is of no use."""
KEY_SIZE = 32
MOST_FILES = 16
"""The most identity files of which an agent keeps keys."""
_MOST_PATH = 4096
MOST_REQUEST = 8 * 1024
MOST_ANSWER = 128 * 1024
"""The most bytes of a body."""
_HEAD = len(MAGIC) + 4

FilePath = Annotated[bytes, Meta(min_length=1, max_length=_MOST_PATH)]
"""The absolute path of an identity file, in the encoding of the file system."""
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""SHA-256 of the content of an identity file."""
_Seconds = Annotated[int, Meta(ge=0, le=1 << 31)]


class AgentMessage(Record, frozen=True, tag=str.lower):
    """A message, packed as an array whose first element is its name in lower case."""


class Find(AgentMessage, frozen=True):
    """Return the key of an identity file with this content."""

    path: FilePath
    digest: Digest


class Keep(AgentMessage, frozen=True):
    """Keep the key of an identity file with this content, until its time has passed."""

    path: FilePath
    digest: Digest
    key: memoryview


class Forget(AgentMessage, frozen=True):
    """Wipe the key of an identity file."""

    path: FilePath


class Lock(AgentMessage, frozen=True):
    """Wipe all keys."""


class Show(AgentMessage, frozen=True):
    """Return what the agent keeps."""


class Stop(AgentMessage, frozen=True):
    """Wipe all keys, and end."""


class Found(AgentMessage, frozen=True):
    """The key of an identity file, or none."""

    key: memoryview | None


class Done(AgentMessage, frozen=True):
    """The request was carried out."""


class HeldFile(Record, frozen=True):
    """An identity file whose key is kept for so many seconds more."""

    path: FilePath
    left_s: _Seconds


class State(AgentMessage, frozen=True):
    """The agent's process, how many seconds it keeps a key, and the files whose keys it keeps."""

    pid: _Seconds
    hold_s: _Seconds
    files: Annotated[list[HeldFile], Meta(max_length=MOST_FILES)]


Request = Find | Keep | Forget | Lock | Show | Stop
Answer = Found | Done | State

M = TypeVar("M", bound=AgentMessage)
_encoder = msgspec.msgpack.Encoder()


def packed(message: AgentMessage) -> bytearray:
    """Return the bytes of a message, in memory that its sender can wipe."""
    data = bytearray(_HEAD)
    _encoder.encode_into(message, data, _HEAD)
    data[: len(MAGIC)] = MAGIC
    data[len(MAGIC) : _HEAD] = (len(data) - _HEAD).to_bytes(4, "big")
    return data


def wipe(data: bytearray) -> None:
    """Overwrite bytes that may contain a key."""
    data[:] = bytes(len(data))


class Incoming:
    """One message as it arrives: read into `room`, and report each read with `took`."""

    def __init__(self, kinds: Any, most: int) -> None:  # noqa: ANN401 - a union of classes
        """Expect one of the `kinds`, with a body of at most `most` bytes."""
        self._kinds = kinds
        self._most = most
        self._data = bytearray(_HEAD + most)
        self._filled = 0

    @property
    def room(self) -> memoryview:
        """Where the next bytes go; empty if the message is complete. `ValueError` as `message`."""
        return memoryview(self._data)[self._filled : self._end()]

    def took(self, count: int) -> None:
        """Note that `count` bytes of the room were filled."""
        self._filled += count

    def message(self) -> Any:  # noqa: ANN401 - one of `kinds`
        """Return the message, or None until it is complete; `ValueError` if it is none.

        A key in it is a view of this object's memory: copy it before `wipe`.
        """
        end = self._end()
        if self._filled < _HEAD or self._filled < end:
            return None
        body = memoryview(self._data)[_HEAD:end]
        try:
            found = decoder_of(self._kinds).decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ValueError("not a message of the agent") from None
        key = getattr(found, "key", None)
        if key is not None and len(key) != KEY_SIZE:
            raise ValueError("not the size of a key")
        return found

    def wipe(self) -> None:
        """Overwrite what has arrived."""
        wipe(self._data)

    def _end(self) -> int:
        """Return where the part ends that is expected now: the head, or the whole message."""
        start = self._data[: min(self._filled, len(MAGIC))]
        if not MAGIC.startswith(start):
            raise ValueError("another version of the agent")
        if self._filled < _HEAD:
            return _HEAD
        length = int.from_bytes(self._data[len(MAGIC) : _HEAD], "big")
        if length > self._most:
            raise ValueError("a message that is too long")
        return _HEAD + length
