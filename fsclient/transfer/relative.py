"""Paths from the top folder of a transfer, with slashes between names; its own path is empty."""

from __future__ import annotations


def below(folder: str, name: str) -> str:
    """Return the path of an entry of a folder."""
    return f"{folder}/{name}" if folder else name


def parent_of(path: str) -> str:
    """Return the path of the folder that an entry is in."""
    return path.rpartition("/")[0]


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is that of a folder (not the top folder), or of something in it."""
    return path == folder or path.startswith(f"{folder}/")
