"""The outcome of one try to deliver an event."""

from __future__ import annotations

from dataclasses import dataclass

from fsproto.names import for_terminal

_LONGEST = 256


@dataclass(frozen=True)
class Outcome:
    """Whether the target has the event, and what it answered."""

    ok: bool
    told: str
    """One line, without the address or the secret."""
    output: bytes = b""
    """The start of the answer's body, or of what the command has printed."""

    @property
    def stored(self) -> str:
        """The line as the database keeps it."""
        words = self.told.encode("utf-8", "replace").decode()
        return for_terminal(words)[:_LONGEST]
