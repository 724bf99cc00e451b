"""Where the agent listens: a socket in a folder of the user, one for each user."""

from __future__ import annotations

import os
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.profile_files import make_private_folder
from fskit import unix_sockets
from fskit.unix_sockets import PrivateFolder
from fsproto.errors import UsageError

SOCKET = "agent.sock"


def agent_folder(home: Path) -> Path:
    """Return the folder of the agent's socket; `home` is the client's folder.

    It is in the system's folder for sockets of this user, which ends with the last login, or in
    `home` where there is none.
    """
    user = getattr(os, "geteuid", int)()
    for text in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{user}"):
        runtime = Path(text)
        if runtime.is_absolute() and _is_private(runtime):
            return runtime / "fsclient"
    return home.absolute() / "agent"


def opened(home: Path, *, create: bool = False) -> PrivateFolder:
    """Open the folder of the agent's socket, with `create` after making it.

    `UsageError` if this system has no such sockets, `NotFoundError` if there is no folder, and
    other errors if it cannot be used.
    """
    if not unix_sockets.supported():
        raise UsageError(
            "There is no agent on this system, because it has no Unix sockets.",
            hint="'fsclient shell' asks for the passphrase once.",
        )
    folder = agent_folder(home)
    with local_errors(folder):
        if create and folder.parent == home.absolute():
            make_private_folder(home)
        return PrivateFolder.open(folder, create=create)


def _is_private(folder: Path) -> bool:
    try:
        return unix_sockets.is_private(folder.stat())
    except (OSError, ValueError):  # a path may contain a null byte
        return False
