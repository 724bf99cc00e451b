"""SSH servers on paramiko: algorithms, bounds on what a peer may do, starting work after a grant.

paramiko acts on numbers that the peer chose before any login: the length of a packet and of the
first line, and the number of key exchanges. After the login, it stores any amount of data that the
peer sends over a channel. All of these are bounded here.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable
from typing import Any, ClassVar

import paramiko
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_REQUEST,
    cMSG_CHANNEL_WINDOW_ADJUST,
)
from paramiko.packet import Packetizer

CIPHERS = (
    "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
    "aes128-ctr", "aes192-ctr", "aes256-ctr",
)  # fmt: skip
MACS = (
    "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256", "hmac-sha2-512",
)  # fmt: skip
EXCHANGES = (
    "mlkem768x25519-sha256", "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521",
)  # fmt: skip
"""Those that paramiko has are offered. All compute outside the interpreter's lock; the groups of
integers, which paramiko computes inside it, would let a few peers stop all others."""
LONGEST_PACKET = 256 * 1024 + 64
"""Bytes; RFC 4253 requires 35,000, and OpenSSH accepts at most this."""
LONGEST_GREETING = 16 * 1024
"""Bytes before the first packet."""
REKEYS_AT_ONCE = 8
"""Key exchanges that a peer may start in a row after the login."""
REKEY_EACH_S = 1.0
"""Seconds for each further one. OpenSSH starts one for each GiB."""
_START = "fs_start"
"""Attribute of a channel: the work to start once its request was answered."""


def start_after_grant(channel: paramiko.Channel, start: Callable[[], None]) -> None:
    """Call `start`, which must not block, as soon as the answer to the request was sent.

    paramiko asks whether a request is granted and answers it afterwards. Work that is started
    before that answer could end the channel first.
    """
    setattr(channel, _START, start)


def _answer_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    paramiko.Channel._handle_request(channel, message)  # noqa: SLF001 - there is no public hook
    start = channel.__dict__.pop(_START, None)
    if start is not None:
        start()


def _take_data(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Store what the peer sent, as far as its window allows; paramiko itself stores anything."""
    data = message.get_binary()
    if channel.closed:
        return
    if len(channel.in_buffer) + len(data) > channel.in_window_size:
        raise paramiko.SSHException("more data than the window allows")
    channel.in_buffer.feed(data)


def _ignore_data(_channel: paramiko.Channel, _message: paramiko.Message) -> None:
    """Ignore extended data, which clients have no reason to send, and no server here reads."""


def widen_window(channel: paramiko.Channel, size: int) -> None:
    """Let the peer send `size` bytes before they are read: more than when the channel was opened.

    Not in the transport's own thread, which may have to wait for an exchange of keys.
    """
    with channel.lock:
        more = size - channel.in_window_size
        channel.in_window_size, channel.in_window_threshold = size, size // 10
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_WINDOW_ADJUST)
    message.add_int(channel.remote_chanid)
    message.add_int(more)
    channel.transport._send_user_message(message)  # noqa: SLF001 - there is no public way


def close(channel: paramiko.Channel) -> None:
    """Close a channel and discard unread data; harmless if the connection has ended."""
    with contextlib.suppress(OSError, EOFError):
        channel.close()
    channel.in_buffer.empty()


class BoundedPacketizer(Packetizer):  # type: ignore[misc]
    """Packets of a bounded length."""

    _greeted = 0

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:  # noqa: FBT001, FBT002
        """Read exactly `n` bytes; an exception ends the connection if that is too many."""
        if not 0 <= n <= LONGEST_PACKET:
            raise paramiko.SSHException("a packet is too long")
        return bytes(super().read_all(n, check_rekey))

    def start_handshake(self, timeout: float) -> None:
        """Start no thread that watches the time: the server does, for all its connections."""

    def _read_timeout(self, timeout: float) -> bytes:
        data = bytes(super()._read_timeout(timeout))
        self._greeted += len(data)
        if self._greeted > LONGEST_GREETING:
            raise paramiko.SSHException("the first line does not end")
        return data


class ServerTransport(paramiko.Transport):  # type: ignore[misc]
    """A server's connection: bounded, with our algorithms, and with `start_after_grant`."""

    _channel_handler_table: ClassVar = {
        **paramiko.Transport._channel_handler_table,  # noqa: SLF001
        MSG_CHANNEL_REQUEST: _answer_request,
        MSG_CHANNEL_DATA: _take_data,
        MSG_CHANNEL_EXTENDED_DATA: _ignore_data,
    }

    def __init__(self, sock: socket.socket, **options: Any) -> None:  # noqa: ANN401 - paramiko's
        super().__init__(sock, packetizer_class=BoundedPacketizer, **options)
        offered = self.get_security_options()
        offered.ciphers, offered.digests = CIPHERS, MACS
        offered.kex = tuple(each for each in EXCHANGES if each in offered.kex)
        self._rekeys = float(REKEYS_AT_ONCE)
        """Key exchanges that the peer may start now."""
        self._rekeyed = time.monotonic()

    def _negotiate_keys(self, m: paramiko.Message) -> None:
        if self.initial_kex_done and self.local_kex_init is None:  # the peer starts another one
            self._check_rekey()
        super()._negotiate_keys(m)

    def _check_rekey(self) -> None:
        """End the connection of a peer that exchanges keys again before the login, or too often."""
        if not self.is_authenticated():
            raise paramiko.SSHException("a second exchange of keys before the login")
        now = time.monotonic()
        gained = (now - self._rekeyed) / REKEY_EACH_S
        self._rekeys, self._rekeyed = min(REKEYS_AT_ONCE, self._rekeys + gained), now
        if self._rekeys < 1:
            raise paramiko.SSHException("too many exchanges of keys")
        self._rekeys -= 1


def silence_paramiko() -> None:
    """Stop paramiko from logging what unauthenticated peers send; our own code logs events."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
