"""The subsystem `sftp`: serves a drop box over SFTP on a channel, in a new thread."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

import paramiko

from fsd.net.dropbox.sftp_session import SftpSession
from fsd.services.drops.session import DropSession
from fskit.ssh import close, start_after_grant
from fsproto.errors import FsError

log = logging.getLogger(__name__)

_PIECE = 64 * 1024


def drop(
    channel: paramiko.Channel,
    box: DropSession,
    silence_s: float,
    *,
    began: Callable[[], None],
    left: Callable[[], None],
) -> None:
    """Serve a drop box on a channel after its request was answered, until either side ends.

    `silence_s` is how long, in seconds, the client may send nothing or receive nothing. `began` is
    called in the new thread, and `left` at the end.
    """
    channel.settimeout(silence_s)

    def converse() -> None:
        try:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                began()
                SftpSession(box).serve(lambda: bytes(channel.recv(_PIECE)), channel.sendall)
                channel.send_exit_status(0)
        finally:
            end()

    def end() -> None:
        close(channel)
        try:
            left()
        except FsError as error:
            log.warning("a drop box was not left in order: %s", error.sentence)

    def begin() -> None:
        try:
            threading.Thread(target=converse, daemon=True).start()
        except RuntimeError:  # the system starts no further thread
            end()
            raise

    start_after_grant(channel, begin)
