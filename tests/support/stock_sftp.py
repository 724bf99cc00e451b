"""OpenSSH's `sftp-server`, spoken to packet by packet: what the gateway is compared with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fskit.sftp.codes import OpenFlag, Request, Response, StatusCode
from fskit.sftp.packets import Attributes, Fields, Packets, packet, string, u32

PLACES = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server",
          "/usr/libexec/sftp-server", "/usr/lib/ssh/sftp-server")  # fmt: skip


class StockServer:
    """One running `sftp-server`, in a folder."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._packets = Packets()
        self._waiting: list[memoryview] = []
        self._number = 0
        self._send(packet(Request.INIT, u32(3)))
        assert self._answer()[0] == Response.VERSION

    def open(self, name: str, flags: OpenFlag) -> StatusCode:
        """Open a file of the folder and close it again; return the status of the open."""
        path = str(self._folder / name)
        kind, fields = self._ask(Request.OPEN, string(path), u32(flags), Attributes().packed())
        if kind != Response.HANDLE:
            return StatusCode(fields.u32())
        handle = bytes(fields.string())
        kind, fields = self._ask(Request.CLOSE, string(handle))
        assert (kind, fields.u32()) == (Response.STATUS, StatusCode.OK)
        return StatusCode.OK

    def _ask(self, request: Request, *parts: bytes) -> tuple[int, Fields]:
        self._number += 1
        self._send(packet(request, u32(self._number), *parts))
        one = self._answer()
        fields = Fields(one[1:])
        assert fields.u32() == self._number
        return one[0], fields

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _answer(self) -> memoryview:
        assert self._process.stdout is not None
        while not self._waiting:
            self._waiting = self._packets.feed(self._process.stdout.read1())  # type: ignore[attr-defined]
        return self._waiting.pop(0)


@contextmanager
def stock_server(folder: Path) -> Iterator[StockServer]:
    """Yield a running `sftp-server`; skip the test where there is none."""
    program = next((place for place in PLACES if Path(place).exists()), None)
    if program is None:
        pytest.skip("OpenSSH's sftp-server is not installed here, so nothing is compared")
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield StockServer(process, folder)
    finally:
        process.kill()
        process.communicate()
