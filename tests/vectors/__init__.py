"""Test vectors for a second implementation, as JSON. `README.md` explains the fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

Vector = dict[str, Any]


def load(name: str) -> list[Vector]:
    """Return the vectors of one file."""
    vectors: list[Vector] = json.loads((HERE / f"{name}.json").read_text("utf-8"))["vectors"]
    return vectors


def named(name: str, vector: str) -> Vector:
    """Return the vector of that name from a file."""
    return next(each for each in load(name) if each["name"] == vector)
