"""How a file is told in a listing: its attributes, and the line of `ls -l` that version 3 wants."""

from __future__ import annotations

import os
import stat
import time

from fsclient.gateway.facts import Facts
from fsproto.names import for_terminal
from fsproto.sftp.packets import Attributes

_NS = 1_000_000_000
_HALF_A_YEAR_S = 183 * 24 * 3600
_OWNER = getattr(os, "getuid", lambda: 0)(), getattr(os, "getgid", lambda: 0)()
"""Everything belongs to whoever runs the gateway."""


def attributes_of(facts: Facts) -> Attributes:
    """Return what a client is told."""
    seconds = facts.mtime_ns // _NS
    return Attributes(facts.size, _OWNER, facts.mode, (seconds, seconds))


def long_name(name: str, facts: Facts, now: float) -> str:
    """Return the line of `ls -l`; the name in it is made harmless, as people see it as it is.

    draft-ietf-secsh-filexfer-02, section 7, recommends this form.
    """
    seconds = min(max(facts.mtime_ns // _NS, 0), 0xFFFFFFFF)
    recent = abs(now - seconds) < _HALF_A_YEAR_S
    when = time.strftime("%b %e %H:%M" if recent else "%b %e  %Y", time.localtime(seconds))
    user, group = _OWNER
    size = f"{facts.size:>8}"
    return f"{stat.filemode(facts.mode)} 1 {user:<8} {group:<8} {size} {when} {for_terminal(name)}"
