"""The defaults of the client: the folder of its files, and the profile without `--profile`."""

from __future__ import annotations

from pathlib import Path

from fsclient.profile import is_profile_name
from fsclient.profile_errors import profile_errors
from fsclient.profile_files import write_private
from fskit.user_folders import default_folder
from fsproto.errors import IntegrityError, NotFoundError, UsageError

_DEFAULT = "default-profile"


def default_name(home: Path) -> str:
    """Return the profile that commands use without `--profile`."""
    file = home / _DEFAULT
    try:
        with profile_errors(file):
            name = file.read_text("ascii").strip()
    except NotFoundError:
        return "default"
    except ValueError:
        name = ""
    if not is_profile_name(name):
        raise IntegrityError(
            f"The local '{file}' is damaged.",
            hint="Choose the default again: fsclient profiles default NAME",
        )
    return name


def keep_default_name(home: Path, name: str) -> None:
    """Store the profile that commands use without `--profile`."""
    write_private(home / _DEFAULT, f"{name}\n".encode())


def default_home() -> Path:
    """Return the default folder for the client's files; `UsageError` without a home folder."""
    import platformdirs

    found = default_folder(
        lambda: platformdirs.user_config_dir("fsclient", appauthor=False, roaming=True)
    )
    if found is None:
        raise UsageError(
            "There is no default place for keys and sessions, because HOME is not set and the "
            "system knows no home folder of this user.",
            hint="Give a folder with --home or FSCLIENT_HOME.",
        )
    return found
