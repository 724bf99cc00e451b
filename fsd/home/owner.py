"""Root works as the owner of the data directory, so that no file in it belongs to root."""

from __future__ import annotations

import os
from pathlib import Path


def act_as_owner(home: Path) -> str | None:
    """Give up root's rights for those of the owner of `home`; return the owner's name.

    None, and nothing is changed, if this process is not root, or if root owns the folder or it is
    missing.
    """
    if os.name == "nt" or os.geteuid() != 0 or not home.is_dir():
        return None
    import pwd

    found = home.stat()
    if found.st_uid == 0:
        return None
    try:
        entry = pwd.getpwuid(found.st_uid)
    except KeyError:  # as in a container
        name = str(found.st_uid)
        os.setgroups([found.st_gid])
        os.setgid(found.st_gid)
    else:
        name = entry.pw_name
        os.initgroups(name, entry.pw_gid)
        os.setgid(entry.pw_gid)
    os.setuid(found.st_uid)
    return name


def give_to_owner_of(folder: os.stat_result, path: Path) -> None:
    """Give everything below `path` to the owner that `folder` had."""
    for above, folders, files in os.walk(path):
        for name in (".", *folders, *files):
            os.chown(Path(above, name), folder.st_uid, folder.st_gid, follow_symlinks=False)
