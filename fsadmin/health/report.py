"""The result of one check."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class CheckState(enum.Enum):
    """The states of a check."""

    FINE = "fine"
    NOTE = "note"
    """It works, but needs attention."""
    BAD = "bad"
    """It does not work, will soon stop working, or is not secure."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check."""

    name: str
    state: CheckState
    sentence: str
    advice: str | None = None
    """What to do; empty if there is no problem."""


def fine(name: str, sentence: str) -> CheckResult:
    """Return a result without a problem."""
    return CheckResult(name, CheckState.FINE, sentence)


def note(name: str, sentence: str, advice: str) -> CheckResult:
    """Return a result that needs attention."""
    return CheckResult(name, CheckState.NOTE, sentence, advice)


def bad(name: str, sentence: str, advice: str) -> CheckResult:
    """Return a result that needs action."""
    return CheckResult(name, CheckState.BAD, sentence, advice)
