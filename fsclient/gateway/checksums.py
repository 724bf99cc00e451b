"""Checksums of content for clients that compare files: `check-file`, and rclone's commands.

rclone runs `md5sum FILE` and similar commands over a second SSH channel. The gateway has no shell;
it implements these commands, and `echo 'abc' | md5sum`, with which rclone checks for them.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable

from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.paths import place_of
from fskit.sftp.codes import MAX_ANSWER, MAX_DATA, OpenFlag
from fskit.sftp.packets import BadPacketError, Fields, string
from fskit.sftp.status import UnsupportedError
from fsproto.errors import FsError

_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
_SMALLEST_BLOCK = 256
"""The limit from the draft."""
_REPLY_HEAD = 64
"""Bytes of a reply before the checksums, at most."""
_COMMANDS = {f"{name}sum": name for name in _ALGORITHMS}

Read = Callable[[int, int], bytes]


def check_file(read: Read, size: int, fields: Fields) -> Callable[[], bytes]:
    """Return a function that makes the `check-file` reply: checksums of a file or of its blocks.

    Source: draft-ietf-secsh-filexfer-extensions-00, section 3.
    """
    wanted = fields.text().split(",")
    start, length, block = fields.u64(), fields.u64(), fields.u32()
    name = next((one for one in wanted if one in _ALGORITHMS), None)
    if name is None:
        raise UnsupportedError(
            f"None of these checksums is supported; supported: {', '.join(_ALGORITHMS)}."
        )
    if block and block < _SMALLEST_BLOCK:
        raise BadPacketError("a block has at least 256 bytes")
    end = min(start + length, size) if length else size
    step = block or max(end - start, 1)
    digest_size = hashlib.new(name, usedforsecurity=False).digest_size
    if -(-max(end - start, 0) // step) * digest_size > MAX_ANSWER - _REPLY_HEAD:
        raise FsError("The checksums do not fit into one reply; request larger blocks.")

    def work() -> bytes:
        digests = [_digest(read, name, at, min(at + step, end)) for at in range(start, end, step)]
        return (
            string("check-file") + string(name) + b"".join(digests or [_digest(read, name, 0, 0)])
        )

    return work


def _digest(read: Read, name: str, start: int, end: int) -> bytes:
    digest = hashlib.new(name, usedforsecurity=False)
    while start < end:
        piece = read(start, min(MAX_DATA, end - start))
        if not piece:
            break
        digest.update(piece)
        start += len(piece)
    return digest.digest()


def run(filesystem: Filesystem, command: str) -> tuple[int, str]:
    """Run one of the commands; return its exit status and its output.

    `UnsupportedError` for anything else.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    match words:
        case ["echo", text, "|", name] if name in _COMMANDS:
            digest = hashlib.new(_COMMANDS[name], f"{text}\n".encode(), usedforsecurity=False)
            return 0, f"{digest.hexdigest()}  -\n"
        case ["echo", "${ShellId}%ComSpec%"]:  # rclone detects the shell: it is not Windows' shell
            return 0, "%ComSpec%\n"
        case [name, path] | [name, "--", path] if name in _COMMANDS:
            return 0, f"{_checksum(filesystem, _COMMANDS[name], path)}  {path}\n"
    raise UnsupportedError("The gateway has no shell; it serves only SFTP and checksums.")


def _checksum(filesystem: Filesystem, name: str, path: str) -> str:
    handle = filesystem.opened.open(place_of(path), OpenFlag.READ)
    try:
        size = filesystem.facts_of(handle).size
        read: Read = lambda offset, length: filesystem.opened.read(handle, offset, length)  # noqa: E731
        return _digest(read, name, 0, size).hex()
    finally:
        filesystem.opened.close(handle)
