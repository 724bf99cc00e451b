"""All messages of the native protocol as frozen records, and their encoding."""

from __future__ import annotations

from typing import Any

import msgspec

from fsproto.errors import FsError, InternalError, LoginRefused, RemoteProtocolError
from fsproto.limits import MAX_CONTROL
from fsproto.messages import account, drops, files, history, keylog, links, requests, shares
from fsproto.messages.base import Done, Failure, Message, Refused
from fsproto.packing import decoder_of

__all__ = [
    "Done",
    "Failure",
    "Message",
    "account",
    "decode",
    "drops",
    "encode",
    "encode_behind",
    "encode_name",
    "failure",
    "files",
    "history",
    "keylog",
    "links",
    "requests",
    "shares",
]

MESSAGES: tuple[type[Message], ...] = (
    Done,
    Failure,
    account.Login,
    account.Enroll,
    account.Welcome,
    account.Logout,
    account.GetStatus,
    account.Status,
    files.Lookup,
    files.Found,
    files.List,
    files.Entries,
    files.Listed,
    files.Commit,
    files.Stale,
    files.Upload,
    files.Resume,
    files.Kept,
    files.UploadEnd,
    files.UploadAbort,
    files.Download,
    files.Fetch,
    files.Fetched,
    files.Sent,
    keylog.GetLog,
    keylog.LogEntries,
    keylog.GetBundle,
    keylog.BundleOf,
    keylog.Rotate,
    shares.GetMembers,
    shares.Members,
    shares.GetShares,
    shares.Shares,
    shares.GetShared,
    shares.Shared,
    shares.Leave,
    shares.Block,
    shares.GetBlocked,
    shares.Blocked,
    history.GetHistory,
    history.History,
    history.GetRemoved,
    history.Removed,
    history.GetLineage,
    history.Lineage,
    account.Backup,
    account.Recover,
    account.Recovery,
    account.GetSessions,
    account.Sessions,
    account.EndSessions,
    account.MakeRecoveryCodes,
    account.RecoveryCodes,
    account.RotateSecret,
    account.NewSecret,
    account.ConfirmSecret,
    shares.GetGroup,
    shares.Group,
    drops.GetDrops,
    drops.Drops,
    drops.RemoveDrops,
    keylog.RotatePart,
    files.GetStates,
    files.States,
    history.Forget,
    files.Watch,
    files.Changed,
    account.EndSession,
    Refused,
    links.MakeLink,
    links.AddToLink,
    links.LinkMade,
    links.GetLinks,
    links.Links,
    links.RemoveLinks,
    requests.MakeRequest,
    requests.RequestMade,
    requests.GetRequests,
    requests.Requests,
    requests.RemoveRequests,
)
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] | None = None


def encode(message: Message) -> bytes:
    """Return the packed message; `ValueError` if it is longer than a control record may be."""
    packed = _encoder.encode(message)
    _check_length(message, len(packed))
    return packed


def encode_behind(head: bytes, message: Message, into: bytearray) -> None:
    """Set `into` to `head` followed by the packed message; `ValueError` as for `encode`.

    The memory of `into` is reused.
    """
    into[: len(head)] = head
    _encoder.encode_into(message, into, len(head))
    _check_length(message, len(into) - len(head))


def encode_name(kind: type[Message]) -> bytes:
    """Return the packed name of a kind of message: all of its packed messages have it second."""
    return _encoder.encode(kind.__struct_config__.tag)


def _check_length(message: Message, length: int) -> None:
    if length > MAX_CONTROL:
        raise ValueError(f"a {type(message).__name__} of {length} bytes is too long")


def decode(packed: bytes | memoryview) -> Message:
    """Return the message; `RemoteProtocolError` if the bytes are not exactly one message."""
    global _decoder  # noqa: PLW0603 - built from constants, the first time that it is needed
    if _decoder is None:
        union: Any = MESSAGES[0]
        for kind in MESSAGES[1:]:
            union |= kind
        _decoder = decoder_of(union)
    if len(packed) > MAX_CONTROL:
        raise RemoteProtocolError("The other end sent a message that is too long.")
    try:
        message: Message = _decoder.decode(packed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RemoteProtocolError("The other end sent a message that cannot be read.") from None
    return message


def failure(error: FsError) -> Failure:
    """Return the message that reports an error to the peer, without details of unexpected ones."""
    if error.code == FsError.code:
        error = InternalError()
    return Failure(*_told(error))


def refusal(error: LoginRefused, now_ms: int) -> Refused:
    """Return the message that reports a refused login; `now_ms` is the time of the server."""
    return Refused(*_told(error), now_ms - now_ms % 1000)


def _told(error: FsError) -> tuple[str, str, str, int]:
    hint = "" if error.hint in (None, error.default_hint) else error.hint
    return error.code, error.sentence, hint or "", error.again_ms
