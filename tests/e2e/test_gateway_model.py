"""A model test of the SFTP requests: random ones at the gateway and at OpenSSH's `sftp-server`.

Both servers start with the same folder and get the same requests. After each, the answers must be
equal; at the end also all that is in the folder, and what another client finds there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from operator import methodcaller
from pathlib import Path

import pytest

from fskit.sftp.codes import OpenFlag, Request
from fskit.sftp.packets import Attributes, string, u64
from tests.conftest import TIER
from tests.support.gateways import RunningGateway, at
from tests.support.sftp_requests import (
    Answer,
    SftpRequests,
    StockServer,
    gateway_requests,
    stock_server,
)

SEEDS, LENGTH = (range(20), 1000) if TIER == "soak" else (range(1), 100)
NAMES = ("a", "b", "c", "d", "e")
TOP, DEEP = NAMES, tuple(f"{folder}/{name}" for folder in NAMES[:3] for name in NAMES[:3])
NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
FLAGS = (
    NEW,
    OpenFlag.READ,
    OpenFlag.WRITE,
    OpenFlag.READ | OpenFlag.WRITE,
    OpenFlag.WRITE | OpenFlag.CREATE,
    OpenFlag.READ | OpenFlag.WRITE | OpenFlag.CREATE,
    OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE,
    OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.APPEND,
    OpenFlag.READ | OpenFlag.CREATE,
)
SIZES = (0, 1, 7, 500, 70_000)
"""The last one is sent as a stream, not inside a commit."""
AT_ONCE = 6
"""Handles that are open at the same time."""

Step = Callable[[SftpRequests], Answer]


def opened(server: SftpRequests, path: str, flags: OpenFlag) -> Answer:
    """Open a file; a folder is never opened, which is a known difference."""
    answer = server.open(path, flags)
    if answer[0] == "handle" and server.answer(Request.FSTAT, string(answer[1])) == ("folder",):
        server.close(answer[1])
        return ("FAILURE",)
    return answer


class Player:
    """Draws requests and sends each to both servers."""

    def __init__(self, ours: SftpRequests, stock: StockServer, seed: int) -> None:
        self._random = random.Random(seed)
        self._servers = ours, stock
        self._stock_folder = stock.folder
        self._handles: list[tuple[bytes, bytes, OpenFlag, int]] = []
        """The same open file at both servers, its flags, and its inode at `sftp-server`."""
        self.story: list[str] = []

    def start(self) -> None:
        """Make a few folders and files to start with."""
        for folder in ("a", "b", "a/c"):
            self._request(Request.MKDIR, folder, Attributes().packed())
        for file in ("c", "a/a", "b/b"):
            self._both(f"NEW {file}", methodcaller("open", file, NEW), (file, NEW))
            self._write()
            self._close()
        self._request(Request.SYMLINK, "d", before=string("a"))

    def play(self) -> None:
        """Send one request; the answers must be equal."""
        on_path = [self._open, self._rename, self._remove, self._rmdir, self._mkdir, self._symlink,
                   self._setstat, self._lsetstat, self._stat, self._list, self._read_link,
                   self._real_path]  # fmt: skip
        on_handle = [self._write, self._write, self._read, self._fstat, self._fsetstat,
                     self._fsync, self._copy, self._close]  # fmt: skip
        if self._handles and (len(self._handles) >= AT_ONCE or self._random.random() < 0.5):
            self._random.choice(on_handle)()
        else:
            self._random.choice([*on_path, self._open, self._rename])()

    def finish(self) -> None:
        """Close all files and compare the whole tree."""
        while self._handles:
            self._close()
        for path in (*TOP, *DEEP):
            self._both(f"content {path}", methodcaller("content", path))

    def _both(self, what: str, step: Step, keeps: tuple[str, OpenFlag] | None = None) -> None:
        """Send a request to both servers; keep its handle, with path and flags of the open."""
        self.story.append(what)
        ours, stock = (step(server) for server in self._servers)
        self.story[-1] += f" -> {str(ours)[:80]}"
        if not ours[0] == stock[0] == "handle":
            assert ours == stock, "\n".join(self.story[-60:])
        elif keeps is not None:
            path, flags = keeps
            inode = (self._stock_folder / path).stat().st_ino
            self._handles.append((ours[1], stock[1], flags, inode))

    def _path(self) -> str:
        return self._random.choice(TOP if self._random.random() < 0.6 else DEEP)

    def _request(self, kind: Request, path: str, after: bytes = b"", before: bytes = b"") -> None:
        what = f"{kind.name} {path} {before!r} {after!r}"
        self._both(what, lambda server: server.answer(kind, before, server.path(path), after))

    # --- paths

    def _open(self) -> None:
        path, flags = self._path(), self._random.choice(FLAGS)
        step = partial(opened, path=path, flags=flags)
        self._both(f"OPEN {path} {flags!r}", step, (path, flags))

    def _rename(self) -> None:
        old, new, replacing = self._path(), self._path(), self._random.random() < 0.7
        what = f"{'POSIX-' if replacing else ''}RENAME {old} {new}"
        self._both(what, lambda server: server.rename(old, new, replacing=replacing))

    def _remove(self) -> None:
        self._request(Request.REMOVE, self._path())

    def _rmdir(self) -> None:
        self._request(Request.RMDIR, self._path())

    def _mkdir(self) -> None:
        self._request(Request.MKDIR, self._path(), Attributes().packed())

    def _symlink(self) -> None:
        target = self._random.choice((*NAMES, "a/b", "./c"))
        self._request(Request.SYMLINK, self._path(), before=string(target))

    def _setstat(self) -> None:
        self._request(Request.SETSTAT, self._path(), self._wanted(size=True))

    def _lsetstat(self) -> None:
        extension = string("lsetstat@openssh.com")
        self._request(Request.EXTENDED, self._path(), Attributes(times=(5, 5)).packed(), extension)

    def _real_path(self) -> None:
        self._request(Request.REALPATH, self._path())

    def _stat(self) -> None:
        self._request(self._random.choice((Request.STAT, Request.LSTAT)), self._path())

    def _list(self) -> None:
        path = self._path()
        self._both(f"LIST {path}", lambda server: server.listing(path))

    def _read_link(self) -> None:
        self._request(Request.READLINK, self._path())

    def _wanted(self, *, size: bool) -> bytes:
        one = self._random.choice([
            Attributes(permissions=self._random.choice((0o644, 0o755))),
            Attributes(times=(5, self._random.randrange(1, 1000))),
            *([Attributes(size=self._random.choice(SIZES))] if size else []),
        ])  # fmt: skip
        return one.packed()

    # --- handles

    def _with_handle(
        self, what: str, step: Callable[[SftpRequests, bytes], Answer], *, closes: bool = False
    ) -> None:
        index = self._random.randrange(len(self._handles))
        handles = dict(zip(self._servers, self._handles[index][:2], strict=True))
        if closes:
            del self._handles[index]
        self._both(f"{what} #{index}", lambda server: step(server, handles[server]))

    def _write(self) -> None:
        offset, data = self._random.choice(SIZES), self._random.randbytes(3) * 40
        what = f"WRITE {offset}"
        self._with_handle(what, lambda server, handle: server.write(handle, offset, data))

    def _read(self) -> None:
        offset = self._random.choice((0, 0, 1, 500))
        what = f"READ {offset}"
        self._with_handle(what, lambda server, handle: server.read(handle, offset, 100_000))

    def _fstat(self) -> None:
        self._with_handle(
            "FSTAT", lambda server, handle: server.answer(Request.FSTAT, string(handle))
        )

    def _fsetstat(self) -> None:
        wanted = self._wanted(size=True)
        self._with_handle(
            f"FSETSTAT {wanted!r}",
            lambda server, handle: server.answer(Request.FSETSTAT, string(handle), wanted),
        )

    def _fsync(self) -> None:
        extension = string("fsync@openssh.com")
        self._with_handle(
            "FSYNC",
            lambda server, handle: server.answer(Request.EXTENDED, extension, string(handle)),
        )

    def _copy(self) -> None:
        """Copy from one open file to another, where the flags of both allow that.

        `sftp-server` answers OK to short copies that fail, and copies within one file if it was
        opened under two names.
        """
        one, other = self._random.choice(self._handles), self._random.choice(self._handles)
        if one[3] == other[3] or not one[2] & OpenFlag.READ or not other[2] & OpenFlag.WRITE:
            return
        start, length = self._random.choice(SIZES), self._random.choice(SIZES)
        ours, stock = self._servers
        both = {
            ours: (string(one[0]), string(other[0])),
            stock: (string(one[1]), string(other[1])),
        }

        def step(server: SftpRequests) -> Answer:
            source, target = both[server]
            fields = source, u64(start), u64(length), target, u64(start)
            return server.answer(Request.EXTENDED, string("copy-data"), *fields)

        self._both(f"COPY {start} {length}", step)

    def _close(self) -> None:
        self._with_handle("CLOSE", lambda server, handle: server.close(handle), closes=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_requests_have_the_answers_of_openssh(
    served: RunningGateway, tmp_path: Path, seed: int
):
    files = served.filesystem()
    files.make_folder(at(f"seed{seed}"))
    with (
        stock_server(tmp_path.resolve()) as stock,
        gateway_requests(files, f"seed{seed}") as ours,
    ):
        player = Player(ours, stock, seed)
        player.start()
        for _ in range(LENGTH):
            player.play()
        player.finish()
        with gateway_requests(served.filesystem(), f"seed{seed}") as other:
            for path in (*TOP, *DEEP):
                assert other.content(path) == stock.content(path)
