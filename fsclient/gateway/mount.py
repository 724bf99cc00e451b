"""A gateway as a folder of this machine, by sshfs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from fsclient.gateway.gateway import Gateway
from fsclient.gateway.keys import ALIAS
from fsclient.local_errors import local_errors
from fskit.files import make_folders
from fsproto.errors import ExistsError, FsError, NotFoundError
from fsproto.names import for_terminal

_MOUNTS_WITHIN_S = 20.0
_LOOKS_EVERY_S = 0.05
_UNMOUNT = (("fusermount3", "-u"), ("fusermount", "-u"), ("umount",))


@contextlib.contextmanager
def mounted(
    gateway: Gateway, folder: Path, *, read_only: bool
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield an sshfs that has mounted the gateway on a folder; the end of the block unmounts it.

    The gateway must serve in the meantime. Raises `NotFoundError` if sshfs is not installed.
    """
    program = shutil.which("sshfs")
    if program is None:
        raise NotFoundError(
            "sshfs is not installed on this machine; mounting the gateway needs it.",
            hint="Install it (Debian: apt install sshfs), or use 'fsclient gateway' and another "
            "program.",
        )
    with local_errors(folder):
        make_folders(folder)
        if any(folder.iterdir()):
            raise ExistsError(
                f"The folder '{for_terminal(str(folder))}' is not empty; the mount would "
                "hide its files.",
                hint="Name an empty folder, or a path that does not exist yet.",
            )
    threading.Thread(target=gateway.server.serve, name="gateway", daemon=True).start()
    config = gateway.files.ssh_config
    options = [*(("-o", "ro") if read_only else ())]
    # `-f` stays in the foreground: sshfs ends with this process.
    arguments = [program, "-f", "-F", str(config), *options, f"{ALIAS}:/", str(folder)]
    sshfs = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)  # noqa: S603 - found above
    try:
        _wait_until_mounted(sshfs, folder)
        yield sshfs
    finally:
        _unmount(folder)
        sshfs.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            sshfs.wait(_MOUNTS_WITHIN_S)


def _wait_until_mounted(sshfs: subprocess.Popen[bytes], folder: Path) -> None:
    ends = time.monotonic() + _MOUNTS_WITHIN_S
    while sshfs.poll() is None and time.monotonic() < ends:
        if os.path.ismount(folder):
            return
        time.sleep(_LOOKS_EVERY_S)
    raise FsError(f"sshfs could not mount on '{folder}'.", hint="See the messages of sshfs above.")


def _unmount(folder: Path) -> None:
    for program, *options in _UNMOUNT:
        if os.path.ismount(folder) and shutil.which(program):
            subprocess.run(  # noqa: S603 - one of three fixed programs
                [program, *options, str(folder)], check=False, capture_output=True
            )
