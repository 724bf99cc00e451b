"""SFTP requests one by one, to OpenSSH's `sftp-server` or to the gateway, in the same words.

Both ends get the same request; `Answer` has what a client can see of the answer, without what must
differ: the text of a status, owners, and permissions other than the right to run a file.
"""

from __future__ import annotations

import queue
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.sftp_session import SftpSession
from fskit.sftp.codes import OpenFlag, Request, Response, StatusCode
from fskit.sftp.packets import Attributes, Fields, Packets, packet, string, u32, u64
from fsproto.errors import FsError

PLACES = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server",
          "/usr/libexec/sftp-server", "/usr/lib/ssh/sftp-server")  # fmt: skip
WITHIN_S = 60.0
LONG_AGO = 1_000_000_000
"""Seconds; times of files before it were set by a test."""

Answer = tuple[Any, ...]


class SftpRequests:
    """An SFTP client that sends one request at a time, with paths below a folder of its own."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._packets = Packets()
        self._waiting: list[memoryview] = []
        self._number = 0

    def start(self) -> None:
        """Open the conversation."""
        self._send(packet(Request.INIT, u32(3)))
        assert self._next()[0] == Response.VERSION

    def ask(self, kind: int, *parts: bytes) -> tuple[int, Fields]:
        """Send a request; return the kind of its answer, and the answer's fields."""
        self._number += 1
        self._send(packet(kind, u32(self._number), *parts))
        one = self._next()
        fields = Fields(one[1:])
        assert fields.u32() == self._number
        return one[0], fields

    def answer(self, kind: int, *parts: bytes) -> Answer:
        """Send a request; return what its answer says."""
        found, fields = self.ask(kind, *parts)
        match found:
            case Response.STATUS:
                return (StatusCode(fields.u32()).name,)
            case Response.DATA:
                return "data", bytes(fields.string())
            case Response.ATTRS:
                return seen(fields.attributes())
            case Response.HANDLE:
                return "handle", bytes(fields.string())
        assert found == Response.NAME
        names = []
        for _ in range(fields.u32()):
            names.append(fields.text().removeprefix(self._top))
            fields.text()
            fields.attributes()
        return "names", *sorted(set(names) - {".", ".."})

    def path(self, name: str) -> bytes:
        """Return a path below the folder, as a field of a request."""
        return string(f"{self._top}/{name}")

    def open(self, name: str, flags: OpenFlag) -> Answer:
        """Open a file."""
        return self.answer(Request.OPEN, self.path(name), u32(flags), Attributes().packed())

    def close(self, handle: bytes) -> Answer:
        """Close a handle."""
        return self.answer(Request.CLOSE, string(handle))

    def write(self, handle: bytes, offset: int, data: bytes) -> Answer:
        """Write to an open file."""
        return self.answer(Request.WRITE, string(handle), u64(offset), string(data))

    def read(self, handle: bytes, offset: int, length: int) -> Answer:
        """Read from an open file."""
        return self.answer(Request.READ, string(handle), u64(offset), u32(length))

    def rename(self, old: str, new: str, *, replacing: bool) -> Answer:
        """Rename by RENAME or by `posix-rename@openssh.com`."""
        paths = self.path(old), self.path(new)
        if replacing:
            return self.answer(Request.EXTENDED, string("posix-rename@openssh.com"), *paths)
        return self.answer(Request.RENAME, *paths)

    def content(self, name: str) -> Answer:
        """Return what is at a path: nothing, a folder's names, a link's target, a file's bytes."""
        found = self.answer(Request.LSTAT, self.path(name))
        match found[0]:
            case "file":
                answer = self.open(name, OpenFlag.READ)
                if answer[0] != "handle":
                    return answer
                data = self.read(answer[1], 0, 100_000)
                self.close(answer[1])
                return data
            case "folder":
                return self.listing(name)
            case "link":
                return self.answer(Request.READLINK, self.path(name))
        return found

    def listing(self, name: str) -> Answer:
        """Return the names in a folder."""
        answer = self.answer(Request.OPENDIR, self.path(name))
        if answer[0] != "handle":
            return answer
        names: set[str] = set()
        while (found := self.answer(Request.READDIR, string(answer[1])))[0] == "names":
            names.update(found[1:])
        self.close(answer[1])
        return "folder", *sorted(names)

    def _next(self) -> memoryview:
        while not self._waiting:
            self._waiting = self._packets.feed(self._received())
        return self._waiting.pop(0)

    def _send(self, data: bytes) -> None:
        raise NotImplementedError

    def _received(self) -> bytes:
        raise NotImplementedError


def seen(attributes: Attributes) -> Answer:
    """Return what must be equal of a file's attributes."""
    mode = attributes.permissions or 0
    if stat.S_ISDIR(mode):
        return ("folder",)
    if stat.S_ISLNK(mode):
        return "link", attributes.size
    mtime = (attributes.times or (0, 0))[1]
    is_set = mtime < LONG_AGO
    return "file", attributes.size, bool(mode & stat.S_IXUSR), mtime if is_set else "now"


class StockServer(SftpRequests):
    """A running `sftp-server`, in a folder of the disk."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder
        self._process = process

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _received(self) -> bytes:
        assert self._process.stdout is not None
        data: bytes = self._process.stdout.read1()  # type: ignore[attr-defined]
        assert data
        return data


@contextmanager
def stock_server(folder: Path) -> Iterator[StockServer]:
    """Yield a running `sftp-server`; skip the test where there is none."""
    program = next((place for place in PLACES if Path(place).exists()), None)
    if program is None:
        pytest.skip("OpenSSH's sftp-server is not installed here, so nothing is compared")
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        stock = StockServer(process, folder)
        stock.start()
        yield stock
    finally:
        process.kill()
        process.communicate()


class GatewayRequests(SftpRequests):
    """The gateway's SFTP session for one client, without SSH, in a folder of the tree."""

    def __init__(self, files: Filesystem, folder: str) -> None:
        super().__init__(f"/{folder}")
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.told: list[FsError] = []
        """The errors that the gateway's user sees."""
        self.session = SftpSession(files, self._answers.put, self.told.append)

    def _send(self, data: bytes) -> None:
        self.session.feed(data)

    def _received(self) -> bytes:
        return self._answers.get(timeout=WITHIN_S)


@contextmanager
def gateway_requests(files: Filesystem, folder: str) -> Iterator[GatewayRequests]:
    """Yield an SFTP session of the gateway."""
    requests = GatewayRequests(files, folder)
    requests.start()
    try:
        yield requests
    finally:
        requests.session.end()
