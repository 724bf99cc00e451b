"""Decorators that run a test once for each vector of a file, under the vector's name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fsproto.errors import ERRORS, FsError
from tests.vectors import Vector, load


def good(file: str, when: Callable[[Vector], object] = bool) -> pytest.MarkDecorator:
    """Run a test for every vector of a file that must succeed."""
    return _cases([v for v in load(file) if v["error"] is None and when(v)])


def bad(file: str) -> pytest.MarkDecorator:
    """Run a test for every vector of a file that must be refused."""
    return _cases([v for v in load(file) if v["error"] is not None])


def _cases(vectors: list[Vector]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "vector", [pytest.param(vector, id=vector["name"]) for vector in vectors]
    )


def named_error(vector: Vector, field: str = "error") -> type[FsError]:
    """Return the class of the error that a vector expects."""
    return ERRORS[vector[field]]


def octets(vector: Vector, field: str) -> bytes:
    """Return a field's bytes."""
    return bytes.fromhex(vector[field])
