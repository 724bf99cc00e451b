"""What a look at one thing comes to."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class CheckState(enum.Enum):
    """How it stands with one thing."""

    FINE = "fine"
    NOTE = "note"
    """It works, and should be looked at."""
    BAD = "bad"
    """It does not work, or will not for long, or is not safe."""


@dataclass(frozen=True)
class CheckResult:
    """One thing that was looked at."""

    name: str
    state: CheckState
    sentence: str
    advice: str | None = None
    """What to do; nothing where all is well."""


def fine(name: str, sentence: str) -> CheckResult:
    """Say that all is well with one thing."""
    return CheckResult(name, CheckState.FINE, sentence)


def note(name: str, sentence: str, advice: str) -> CheckResult:
    """Say that one thing should be looked at."""
    return CheckResult(name, CheckState.NOTE, sentence, advice)


def bad(name: str, sentence: str, advice: str) -> CheckResult:
    """Say that something must be done."""
    return CheckResult(name, CheckState.BAD, sentence, advice)
