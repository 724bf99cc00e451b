"""Answers that have the same form whoever serves; what they say is the server's to know."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from typing import TypeVar

from fskit.sftp.codes import NAMES_BYTES, VERSION, Request, Response, StatusCode
from fskit.sftp.packets import Attributes, BadPacketError, packet, string, u32
from fskit.sftp.status import sentence_for
from fsproto.names import for_terminal

T = TypeVar("T")


def version_packet(kind: int, announced: Mapping[str, str]) -> bytes:
    """Answer a client's first packet, of that kind, with our version and extensions.

    `BadPacketError` for anything but INIT. Its own version and extensions say nothing that would
    change what is served.
    """
    if kind != Request.INIT:
        raise BadPacketError("the conversation does not begin with INIT")
    extensions = [string(name) + string(version) for name, version in announced.items()]
    return packet(Response.VERSION, u32(VERSION), *extensions)


def status_packet(request: int, status: StatusCode, sentence: str | None = None) -> bytes:
    """Return the packet that ends a request with a status."""
    said = string(sentence or sentence_for(status))
    return packet(Response.STATUS, u32(request), u32(status), said, string("en"))


def name_packet(request: int, left: list[T], entry: Callable[[T], bytes]) -> bytes:
    """Tell some of what is left of a folder, from the end of the list; EOF if nothing is."""
    entries: list[bytes] = []
    size = 0
    while left and size < NAMES_BYTES:
        entries.append(entry(left.pop()))
        size += len(entries[-1])
    if not entries:
        return status_packet(request, StatusCode.EOF)
    return packet(Response.NAME, u32(request), u32(len(entries)), *entries)


def name_entry(name: str, attributes: Attributes, when: str) -> bytes:
    """Return a file as a listing tells of it; `when` is its time as people read it.

    The line of `ls -l` has the form that draft-ietf-secsh-filexfer-02, section 7, recommends; the
    name in it is made harmless, as people see it as it is.
    """
    user, group = attributes.owner or (0, 0)
    rights = stat.filemode(attributes.permissions or 0)
    size = f"{attributes.size or 0:>8}"
    line = f"{rights} 1 {user:<8} {group:<8} {size} {when} {for_terminal(name)}"
    return string(name) + string(line) + attributes.packed()
