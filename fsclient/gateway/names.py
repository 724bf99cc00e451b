"""Attributes of a file in SFTP's format, and the time for the `ls -l` line of listings."""

from __future__ import annotations

import os
import time

from fsclient.gateway.attributes import FileAttributes
from fskit.sftp.packets import Attributes

_NS = 1_000_000_000
_HALF_A_YEAR_S = 183 * 24 * 3600
_OWNER = getattr(os, "getuid", lambda: 0)(), getattr(os, "getgid", lambda: 0)()
"""All files belong to the user who runs the gateway."""


def attributes_of(facts: FileAttributes) -> Attributes:
    """Return the attributes in SFTP's format."""
    seconds = facts.mtime_ns // _NS
    return Attributes(facts.size, _OWNER, facts.mode, (seconds, seconds))


def time_of(facts: FileAttributes, now: float) -> str:
    """Return the time of the last change in the format of `ls -l`, in local time."""
    seconds = min(max(facts.mtime_ns // _NS, 0), 0xFFFFFFFF)
    recent = abs(now - seconds) < _HALF_A_YEAR_S
    return time.strftime("%b %e %H:%M" if recent else "%b %e  %Y", time.localtime(seconds))
