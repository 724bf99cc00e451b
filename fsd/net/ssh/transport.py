"""The transport of the SSH listener: requests to log in are bounded, and decided by `SshAuth`.

What an unauthenticated peer may do besides is bounded in `fskit.ssh`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import paramiko
from paramiko.auth_handler import AuthHandler

from fsd.net.ssh.windows import FIRST
from fskit.ssh import ServerTransport

HOST_KEYS = ("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256")
CLIENT_KEYS = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip

MOST_REQUESTS = 24
"""Login requests over one connection; an SSH agent may offer several keys before the code."""
_POLL_S = 2.0
"""Seconds between two checks of a thread that waits for its client; closing wakes it at once."""


class UnusableKey:
    """A placeholder for a key that cannot be read; it is always refused."""


class AuthPolicy(Protocol):
    """The decisions on login requests; see `fsd.net.ssh.auth.SshAuth`."""

    @property
    def is_exhausted(self) -> bool:
        """Whether this connection may make no further request."""

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        """Return paramiko's verdict on the answers to a question."""

    def proved(self) -> int:
        """Return paramiko's verdict after the signature of the offered key was verified."""


class SshAuthHandler(AuthHandler):  # type: ignore[misc]
    """Handles login requests; `SshAuth` decides on them."""

    _asked = 0

    @property
    def _rules(self) -> AuthPolicy:
        rules: AuthPolicy = self.transport.server_object
        return rules

    def _parse_userauth_request(self, m: paramiko.Message) -> None:
        self._asked += 1
        if self._asked > MOST_REQUESTS:
            self._disconnect_no_more_auth()
        else:
            super()._parse_userauth_request(m)

    def _generate_key_from_request(self, algorithm: str, keyblob: bytes) -> object:
        try:  # a client with an unsupported key may still log in in another way
            return super()._generate_key_from_request(algorithm, keyblob) or UnusableKey()
        except Exception:  # noqa: BLE001 - the library parses untrusted bytes
            return UnusableKey()

    def _parse_userauth_info_response(self, m: paramiko.Message) -> None:
        # paramiko would read as many answers as the client says there are, up to 2^32.
        count = m.get_int()
        answers = [m.get_text()] if count == 1 else []
        result = self._rules.check_auth_interactive_response(answers)
        self._send_auth_result(self.auth_username, "keyboard-interactive", result)

    def _send_auth_result(self, username: str, method: str, result: int) -> None:
        if method == "publickey" and result == paramiko.AUTH_PARTIALLY_SUCCESSFUL:
            result = self._rules.proved()  # the signature was verified just now
        super()._send_auth_result(username, method, result)
        if self._rules.is_exhausted:
            self._disconnect_no_more_auth()


class Transport(ServerTransport):
    """One connection; its thread ends when the socket does."""

    _CLIENT_ID: ClassVar = "fsd"  # does not reveal the version before login

    def __init__(
        self, sock: socket.socket, keys: list[paramiko.PKey], ended: Callable[[], None]
    ) -> None:
        """`ended` is called in the transport's own thread when the connection has ended."""
        super().__init__(sock, default_window_size=FIRST)
        sock.settimeout(_POLL_S)
        self._ended = ended
        options = self.get_security_options()
        options.key_types = HOST_KEYS
        self._preferred_pubkeys = CLIENT_KEYS
        for key in keys:
            self.add_server_key(key)
        self.opened: list[paramiko.Channel] = []
        """The channels of this connection; paramiko itself keeps no references to them."""

    def run(self) -> None:
        """Run the connection until it ends."""
        try:
            super().run()
        finally:
            self._ended()

    def _parse_newkeys(self, m: paramiko.Message) -> None:
        if not self.initial_kex_done:  # no login before the connection is encrypted
            self.auth_handler = SshAuthHandler(self)
        super()._parse_newkeys(m)

    def _queue_incoming_channel(self, channel: Any) -> None:  # noqa: ANN401 - paramiko's
        """Store a new channel; its later requests name its subsystem."""
        self.opened = [*self.running(), channel]

    def running(self) -> list[paramiko.Channel]:
        """Return the channels that are open."""
        return [channel for channel in self.opened if not channel.closed]
