"""JSON that this machine or a person has written, and that may be damaged in any way."""

from __future__ import annotations

import json
from typing import Any


def parsed(text: str | bytes) -> Any:  # noqa: ANN401 - whatever JSON has
    """Return the value of a JSON text; `ValueError` if it is none, or nested too deep to be read.

    The standard library's own error for the latter is a `RecursionError`.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
