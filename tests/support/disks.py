"""Real disks for tests, which can be full, frozen, slow, or read-only from one moment to the next.

They need the right to mount (Linux, root). Without it, a test that asks for one is skipped.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import slow_line
from tests.support.servers import ROOT
from tests.support.sftp_requests import PLACES

_SKIPPED = "WHAT FULL AND FAILING DISKS DO IS NOT TESTED: mounting one is not allowed here"


_REST = 1 << 20
"""Bytes of a disk that `lose` leaves: no content is among them."""


@contextlib.contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """Mount an empty file system in memory at a new folder, of `mib` MiB."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={mib}m", "none", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def slow_disk(folder: Path, *, piece: int = 32 << 10, seconds: float = 0.02) -> Iterator[Path]:
    """Mount a slow file system at a new folder, by sshfs: 1.6 MB/s at most, and 40 ms a request.

    `piece` bytes take `seconds` in each direction.
    """
    server = next((one for one in PLACES if Path(one).exists()), None)
    if server is None or shutil.which("sshfs") is None:
        pytest.skip(_SKIPPED)
    behind = folder.with_name(f"{folder.name}.content")
    behind.mkdir()
    folder.mkdir()
    line = [sys.executable, "-m", slow_line.__name__, server, piece, seconds]
    words = shlex.join(map(str, line))
    script = folder.with_name(f"{folder.name}.sh")
    script.write_text(f"#!/bin/sh\ncd {ROOT}\nexec {words}\n", encoding="utf-8")
    script.chmod(0o700)
    _run("sshfs", "-o", f"ssh_command={script}", f"none:{behind}", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["fusermount", "-u", "-z", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill the disk of a folder except for some bytes; return the file that fills it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        room = shutil.disk_usage(folder).free - leave
        os.posix_fallocate(file.fileno(), 0, room)
    return filler


@dataclass(frozen=True)
class Disk:
    """A file system on a block device of its own: ext4 in a file."""

    folder: Path
    """Where it is mounted."""
    _image: Path
    _device: str

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let every write wait until the end of the block; what is cached can be read."""
        subprocess.run(["fsfreeze", "--freeze", str(self.folder)], check=True)
        try:
            yield
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(self.folder)], check=True)

    def fail(self) -> None:
        """Make the kernel meet an error, after which the file system is read-only.

        That ends writing in files that are open, too, which an ordinary remount refuses.
        """
        Path(f"/sys/fs/ext4/{self._device}/trigger_fs_error").write_text("a test")

    def lose(self, path: Path) -> None:
        """Make the disk unable to read the content of a file: it ends before that content."""
        with path.open("r+b") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.truncate(self._image, _REST)


@contextlib.contextmanager
def disk(folder: Path, mib: int = 64) -> Iterator[Disk]:
    """Mount an empty `Disk` at a new folder, of `mib` MiB."""
    image = folder.with_name(f"{folder.name}.image")
    with image.open("wb") as file:
        file.truncate(mib << 20)
    folder.mkdir()
    _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    _mount("-o", "loop,errors=remount-ro", str(image), str(folder))
    try:
        source = next(
            line.split()[0]
            for line in Path("/proc/mounts").read_text().splitlines()
            if line.split()[1].encode().decode("unicode_escape") == str(folder)
        )
        yield Disk(folder, image, Path(source).name)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        image.unlink()


def _mount(*how: str) -> None:
    _run("mount", *how)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        done = None
    if done is None or done.returncode:
        pytest.skip(_SKIPPED)
