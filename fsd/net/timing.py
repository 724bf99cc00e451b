"""What the door does by default: its times, and what strangers may have of it."""

from __future__ import annotations

import time


def until_answer(refusal_s: float, asked: float) -> float:
    """Return how long to wait until the next multiple of the time after which refusals are told.

    A multiple, so that work which takes longer than that time does not show to the millisecond.
    `asked` is of `time.monotonic`.
    """
    took = time.monotonic() - asked
    return refusal_s - took % refusal_s if refusal_s > 0 else 0.0
