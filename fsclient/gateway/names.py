"""Attributes of a file in SFTP's format, and the time for the `ls -l` line of listings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

from fsclient.gateway.attributes import FileAttributes
from fsclient.gateway.paths import GatewayPath
from fskit.sftp.packets import Attributes, string, u32

_NS = 1_000_000_000
_HALF_A_YEAR_S = 183 * 24 * 3600
_OWNER = getattr(os, "getuid", lambda: 0)(), getattr(os, "getgid", lambda: 0)()
"""All files belong to the user who runs the gateway."""


def real_name(place: GatewayPath) -> bytes:
    """Return the fields of an answer that is one path: its number, the path twice, no attributes.

    The second one takes the place of the line of `ls -l`.
    """
    return u32(1) + string(str(place)) * 2 + Attributes().packed()


def attributes_of(facts: FileAttributes) -> Attributes:
    """Return the attributes in SFTP's format."""
    seconds = facts.mtime_ns // _NS
    return Attributes(facts.size, _OWNER, facts.mode, (seconds, seconds))


def names_of(users: Iterable[int], groups: Iterable[int]) -> tuple[list[str], list[str]]:
    """Return the names of users and groups by their numbers; an empty name for an unknown one."""
    return [_name_of(_user, one) for one in users], [_name_of(_group, one) for one in groups]


def _name_of(look: Callable[[int], str], number: int) -> str:
    try:
        return look(number)
    except (KeyError, ImportError, OverflowError):  # unknown; Windows; too large
        return ""


def _user(number: int) -> str:
    import pwd

    return pwd.getpwuid(number).pw_name


def _group(number: int) -> str:
    import grp

    return grp.getgrgid(number).gr_name


def time_of(facts: FileAttributes, now: float) -> str:
    """Return the time of the last change in the format of `ls -l`, in local time."""
    seconds = min(max(facts.mtime_ns // _NS, 0), 0xFFFFFFFF)
    recent = abs(now - seconds) < _HALF_A_YEAR_S
    return time.strftime("%b %e %H:%M" if recent else "%b %e  %Y", time.localtime(seconds))
