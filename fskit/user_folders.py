"""Paths below a user's home folder: `~` in what was given, and default folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fsproto.errors import UsageError

_ABSOLUTE = "Give a path that starts with '/'."


def expanded(path: Path, given_with: str) -> Path:
    """Return a path with its `~` or `~user` replaced; `given_with` names where it was given.

    `UsageError` if no such home folder is known, as for a user without an entry in the system's
    list of users: such users are usual in containers.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        whose = path.parts[0].removeprefix("~")
        raise UsageError(
            f"'{path}', given with {given_with}: the system knows no home folder of "
            + (f"the user '{whose}'." if whose else "yours, and HOME is not set."),
            hint=_ABSOLUTE,
        ) from None


def default_folder(find: Callable[[], str]) -> Path | None:
    """Return the default folder that `find` of `platformdirs` returns; None if it has no place.

    That is so for a user without a home folder. Older versions of `platformdirs` return a relative
    path then, in which `~` would become the name of a folder.
    """
    try:
        found = Path(find())
    except RuntimeError:
        return None
    return found if found.is_absolute() else None
