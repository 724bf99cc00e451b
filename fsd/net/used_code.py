"""A statement by an SSH connection that its user consumed a code."""

from __future__ import annotations

import time

from fsd.services.login.codes import CodeUsed

HOLDS_S = 60.0
"""Seconds from the code to the native login over the same connection."""


class UsedCode:
    """A permit for one login soon after the code was consumed; for the event loop only."""

    def __init__(self, used: CodeUsed) -> None:
        """Store the user whose code was just consumed; the time limit starts now."""
        self._used: CodeUsed | None = used
        self._ends = time.monotonic() + HOLDS_S

    def take(self) -> CodeUsed | None:
        """Return the user whose code was consumed; None the second time, or after the limit."""
        used, self._used = self._used, None
        return used if time.monotonic() < self._ends else None
