"""Warnings that a completion receives and that the next command of the profile shows."""

from __future__ import annotations

import os
from pathlib import Path

from fsclient.profile_errors import profile_errors
from fsproto.errors import NotFoundError

_NAME = "warnings"


def keep_warning(folder: Path, sentence: str) -> None:
    """Store a warning for the next command."""
    path = folder / _NAME
    with profile_errors(path):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, " ".join(sentence.split()).encode() + b"\n")
        finally:
            os.close(fd)


def take_warnings(folder: Path) -> list[str]:
    """Return the warnings that were stored, and remove them."""
    path = folder / _NAME
    try:
        with profile_errors(path):
            kept = path.read_text("utf-8", errors="replace").splitlines()
            path.unlink(missing_ok=True)
    except NotFoundError:
        return []
    return kept
