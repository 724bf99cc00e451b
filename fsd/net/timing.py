"""The timing of answers to refused logins."""

from __future__ import annotations

import time


def until_answer(refusal_s: float, asked: float) -> float:
    """Return how long to wait until the next multiple of the refusal delay.

    It is a multiple, so that work longer than the delay does not show to the millisecond.
    `asked` is of `time.monotonic`.
    """
    took = time.monotonic() - asked
    return refusal_s - took % refusal_s if refusal_s > 0 else 0.0
