"""Default places of data directories, and the data directories of servers on this machine."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from fsd.home.home import Home, HomeError
from fskit.user_folders import default_folder

SYSTEM_HOME = Path("/var/lib/fsd")
"""The data directory of an installation as docs/operations.md describes it."""
UNIT = "fsd.service"
UNIT_FOLDERS = [
    Path(folder, "systemd/system")
    for folder in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
]
"""Where systemd looks for units; the first one of a name counts."""
PROCESSES = Path("/proc")


class Unit(NamedTuple):
    """What the systemd unit of fsd says."""

    home: Path
    user: str | None
    """The user that fsd runs as; None for root."""


def default_home() -> Path | None:
    """Return the default path of the data directory; None if there is no place for one.

    It is the user's own one. If no server is there, it is that of the systemd unit, else
    `SYSTEM_HOME` if that exists.
    """
    own = _own_home()
    if own is not None and Home(own).may_be_there:
        return own
    found = unit()
    if found is not None:
        return found.home
    return SYSTEM_HOME if SYSTEM_HOME.is_dir() else own


def check_first(home: Home, *, chosen: bool, remedy: str) -> None:
    """Raise `HomeError` if a server exists elsewhere, so that `home` would be a second one.

    That is at a default place, in the systemd unit, or, unless the user has `chosen` the data
    directory, that of an fsd that runs. `remedy` says how to make a second one.
    """
    other = other_home(home.path, running=not chosen)
    if other is not None:
        raise HomeError(
            f"There is no server in {home.path}, but there is one in {other}.",
            hint=f"Give --home {other}, or {remedy} for a second server.",
        )


def other_home(path: Path, *, running: bool) -> Path | None:
    """Return the data directory of another server on this machine, if one is found."""
    found = unit()
    known = [_own_home(), SYSTEM_HOME, found.home if found else None]
    for place in [*filter(None, known), *(running_homes() if running else [])]:
        if place.resolve() != path.resolve() and Home(place).may_be_there:
            return place
    return None


def unit() -> Unit | None:
    """Return what the installed systemd unit says; None without one, or if it names no directory.

    Reads the files themselves: systemd may not run, as in a container.
    """
    file = next((path for folder in UNIT_FOLDERS if (path := folder / UNIT).is_file()), None)
    if file is None:
        return None
    changes = {
        path.name: path
        for folder in reversed(UNIT_FOLDERS)
        for path in (folder / f"{UNIT}.d").glob("*.conf")
    }
    home = user = None
    for path in (file, *(changes[name] for name in sorted(changes))):
        for key, value in _lines(path):
            if key == "User":
                user = value
            elif key in ("ExecStart", "Environment"):
                home = _home_in(value) or home
    if home is None or not home.is_absolute():
        return None
    return Unit(home, user if user not in ("", "root", "0") else None)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    with suppress(OSError, UnicodeDecodeError):
        for line in path.read_text("utf-8").replace("\\\n", " ").splitlines():
            key, sign, value = line.partition("=")
            if sign and not key.lstrip().startswith(("#", ";")):
                yield key.strip(), value.strip()


def _home_in(value: str) -> Path | None:
    """Return the data directory in a command line, or in `FSD_HOME=…`."""
    try:
        words = [*shlex.split(value), ""]
    except ValueError:
        return None
    for word, after in pairwise(words):
        option, _, joined = word.partition("=")
        if option in ("--home", "FSD_HOME"):
            return Path(joined or after)
    return None


def running_homes() -> Iterator[Path]:
    """Yield the data directories of running fsds (Linux), as far as this user may see them.

    root finds the servers of every user, another user only its own. A running fsd keeps its lock
    open.
    """
    for files in PROCESSES.glob("[0-9]*/fd"):
        try:
            links = list(files.iterdir())
        except OSError:  # of another user, or ended
            continue
        for link in links:
            with suppress(OSError):
                path = link.readlink()
                if path.name == Home.LOCK:
                    yield path.parent


def give_new_to_user(home: Path) -> None:
    """Let root make the data directory of the systemd unit for the unit's user.

    Nothing is changed if this process is not root, or if the folder has something in it.
    """
    found = unit()
    if os.name == "nt" or os.geteuid() != 0 or found is None or found.user is None:
        return
    if found.home != home or (home.exists() and any(home.iterdir())):
        return
    import pwd

    try:
        entry = pwd.getpwnam(found.user)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(home, entry.pw_uid, entry.pw_gid)
    except KeyError:
        raise HomeError(
            f"{home} cannot be made: there is no user {found.user}, which {UNIT} names.",
            hint="Make the user first, as 'fsadmin print-unit --help' shows.",
        ) from None
    except OSError as error:
        raise HomeError(f"{home} cannot be made: {error.strerror}.") from None


def _own_home() -> Path | None:
    """Return the default data directory of this user; None for a user without a home folder."""
    import platformdirs

    return default_folder(lambda: platformdirs.user_data_dir("fsd", appauthor=False))
