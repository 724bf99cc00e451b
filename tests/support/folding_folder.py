"""A mounted folder that takes names as exFAT and APFS do: case and accents fold, some are refused.

The kernels that run the tests mount no such file system. Here sshfs mounts a folder from an SFTP
server that finds an entry under any spelling of its name. Real system calls meet that behaviour.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncssh
import pytest

from tests.support.gateways import needed


def _key(name: bytes) -> str:
    return unicodedata.normalize("NFC", os.fsdecode(name).casefold())


def _entry(folder: bytes, name: bytes) -> bytes:
    """Return the name of the entry that a name means in a folder, or the name itself."""
    with suppress(OSError), os.scandir(folder) as entries:
        return next((entry.name for entry in entries if _key(entry.name) == _key(name)), name)
    return name


class _Folding(asyncssh.SFTPServer):
    """An SFTP server that folds names and takes none with a colon."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], top: bytes) -> None:
        super().__init__(channel, chroot=top)
        self.top = top

    def map_path(self, path: bytes) -> bytes:
        at = self.top
        for name in super().map_path(path).removeprefix(self.top).split(b"/"):
            if b":" in name:
                raise asyncssh.SFTPNoSuchFile("No such file")
            if name:
                at += b"/" + _entry(at, name)
        return at


class _NoLogin(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False


@contextmanager
def _served(folder: Path) -> Iterator[int]:
    """Yield the port of an SFTP server for a folder."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=_NoLogin,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=lambda channel: _Folding(channel, bytes(folder)),
        )

    async def close() -> None:
        acceptor.close()
        await acceptor.wait_closed()

    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    try:
        yield acceptor.get_port()
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@contextmanager
def folding_folder(tmp_path: Path, *options: str) -> Iterator[Path]:
    """Yield a mounted, empty folder that folds names; skip the test where FUSE does not work."""
    needed("sshfs")
    needed("fusermount3")
    below, folder = tmp_path / "below", tmp_path / "folding"
    below.mkdir()
    folder.mkdir()
    ssh = "StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,LogLevel=ERROR"
    fresh = "dir_cache=no,entry_timeout=0,negative_timeout=0,attr_timeout=0"
    with _served(below) as port:
        done = subprocess.run(
            [
                *("sshfs", "-F", "none", "-p", str(port), "-o", ssh, "-o", fresh, *options),
                *("x@127.0.0.1:/", str(folder)),
            ],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"FUSE does not work here: {done.stdout}{done.stderr}")
        try:
            yield folder
        finally:
            subprocess.run(["fusermount3", "-u", "-z", str(folder)], check=True, timeout=60)
