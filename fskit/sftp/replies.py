"""SFTP answers in the form that both servers share; each server supplies the content."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from typing import TypeVar

from fskit.sftp.codes import (
    MAX_ANSWER,
    MAX_NAMES,
    MAX_SENTENCE,
    VERSION,
    Request,
    Response,
    StatusCode,
)
from fskit.sftp.packets import Attributes, BadPacketError, packet, string, u32
from fskit.sftp.status import sentence_for
from fsproto.names import for_terminal

T = TypeVar("T")

_NAME_HEAD = 13
"""Bytes of a packet of names before its first name: length, type, request, count."""


def version_packet(kind: int, announced: Mapping[str, str]) -> bytes:
    """Return the answer to a client's first packet: the server's version and extensions.

    `BadPacketError` for anything but INIT. The client's version and extensions are
    ignored, because they change nothing in the service.
    """
    if kind != Request.INIT:
        raise BadPacketError("the session does not start with INIT")
    extensions = [string(name) + string(version) for name, version in announced.items()]
    return packet(Response.VERSION, u32(VERSION), *extensions)


def status_packet(request: int, status: StatusCode, sentence: str | None = None) -> bytes:
    """Return the packet that ends a request with a status."""
    said = string((sentence or sentence_for(status))[:MAX_SENTENCE])
    return packet(Response.STATUS, u32(request), u32(status), said, string("en"))


def name_packet(request: int, left: list[T], entry: Callable[[T], bytes]) -> bytes:
    """Return a packet with entries taken from the end of `left`; EOF if it is empty.

    It has at most `MAX_NAMES` entries and, unless a single entry is longer, `MAX_ANSWER` bytes.
    """
    entries: list[bytes] = []
    size = _NAME_HEAD
    while left and len(entries) < MAX_NAMES:
        one = entry(left[-1])
        size += len(one)
        if entries and size > MAX_ANSWER:
            break
        left.pop()
        entries.append(one)
    if not entries:
        return status_packet(request, StatusCode.EOF)
    return packet(Response.NAME, u32(request), u32(len(entries)), *entries)


def name_entry(name: str, attributes: Attributes, when: str) -> bytes:
    """Return the entry of a file in a listing; `when` is its time as text.

    The line of `ls -l` has the form that draft-ietf-secsh-filexfer-02, section 7, recommends; the
    name in it is made safe for a terminal, because clients print it unchanged.
    """
    user, group = attributes.owner or (0, 0)
    rights = stat.filemode(attributes.permissions or 0)
    size = f"{attributes.size or 0:>8}"
    line = f"{rights} 1 {user:<8} {group:<8} {size} {when} {for_terminal(name)}"
    return string(name) + string(line) + attributes.packed()
