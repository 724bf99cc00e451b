"""The drop box over a pair of pipes, like `sftp -D`: no SSH is needed.

    python -m tests.support.drop_server HOME USER [NAME=VALUE …]

It uses the data directory of an `fsd`, which may be running. The arguments after the user's name
change the policy. Clients call it as if it were `ssh` and add other arguments, which are ignored.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing, suppress
from pathlib import Path

from fsd import factory
from fsd.audit.log import AuditLog
from fsd.blobs.local import LocalBlobs
from fsd.home.home import Home
from fsd.master_key import open_vault
from fsd.net.dropbox.sftp_session import SftpSession
from fsd.policies import DropPolicy
from fsd.services.drops.model import DropSource
from fsd.services.drops.service import DropService
from fskit.clock import now_ms

SOURCE = DropSource("192.0.2.7", "SHA256:" + "k" * 43, "scanner")


def main(home_path: str, user: str, *more: str) -> None:
    """Serve one client to its end."""
    home = Home(Path(home_path))
    given = dict(word.split("=") for word in more if "=" in word and not word.startswith("-"))
    policy = DropPolicy(box=True, **{n: int(v) for n, v in given.items() if n.islower()})
    with closing(factory.open_database(home, None)) as database:
        drops = DropService(
            database,
            LocalBlobs(home.blobs),
            policy=policy,
            audit=AuditLog(open_vault(home, database), now_ms),
            now_ms=now_ms,
            random=os.urandom,
        )
        box = drops.enter(user, SOURCE)
        with suppress(BrokenPipeError):
            SftpSession(box).serve(lambda: os.read(0, 1 << 18), _send)
        box.leave()


def _send(data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(1, left) :]


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.exit(0)
