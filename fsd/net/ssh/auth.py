"""The rules of an SSH connection: logins and channels. paramiko calls them in its own thread.

A client sends a one-time password by keyboard-interactive. A user's public key alone does not log
in: a proved key resumes the session that a code started for it. If there is no such session, the
server asks for a code, and binds the new session to the key. The exception is a key that the
administrator added for dropping files: it logs in at once, and can only drop files. The server
offers the same methods for every user name.
"""

from __future__ import annotations

import contextlib
from typing import Protocol

import paramiko

from fsd.net.ssh.transport import UnusableKey
from fsd.services.login.ssh_login import NO_KEY
from fskit.ssh import start_after_grant
from fsproto import crypto

MOST_CODES = 3
"""Codes that may be tried over one connection."""
MOST_CHANNELS = 10
"""Channels of one connection at once."""
WEAKEST_RSA = 2048
_METHODS = "publickey,keyboard-interactive"
_REFUSED = int(paramiko.AUTH_FAILED)
_NO_SHELL = "There is no shell here, and no command is run: fsd serves files alone."


class ConnectionContext(Protocol):
    """What the rules need from the connection that they apply to."""

    @property
    def is_full(self) -> bool:
        """Whether no further channel may be opened."""

    def try_code(self, user: str, code: str, ssh_key: bytes) -> bool:
        """Return whether a code logs the user in; a refusal takes the time of every refusal."""

    def try_key(self, user: str, ssh_key: bytes) -> bool:
        """Return whether a proved key logs the user in."""

    @property
    def banner(self) -> str:
        """The text for every client before login; empty if there is none."""

    def carry(self, channel: paramiko.Channel) -> str:
        """Carry the native protocol over a channel; return the reason if it is refused."""

    def drop(self, channel: paramiko.Channel) -> str:
        """Connect a channel to a drop box; return the reason if it is refused."""


class SshAuth(paramiko.ServerInterface):  # type: ignore[misc]
    """The rules of one connection."""

    def __init__(self, house: ConnectionContext) -> None:
        self._house = house
        self._offered: tuple[str, bytes] | None = None
        """A user and the hash of a key of which a signature is about to be verified."""
        self._key: tuple[str, bytes] | None = None
        """A user and the hash of a proved key."""
        self._asked: str | None = None
        """The user name whose code was requested and has not arrived yet."""
        self._codes = 0

    # --- logging in

    def get_banner(self) -> tuple[str, str]:
        """Return the text that clients show before login, and its language."""
        banner = self._house.banner
        return (f"{banner}\r\n", "en") if banner else ("", "")

    @property
    def is_exhausted(self) -> bool:
        """Return whether the limit of attempts is reached."""
        return self._codes >= MOST_CODES

    def get_allowed_auths(self, username: str) -> str:
        """Return the allowed methods; once a key is proved, only the code is left."""
        return _METHODS if self._key is None else "keyboard-interactive"

    def check_auth_none(self, username: str) -> int:
        """Refuse; paramiko also calls this for an unknown method."""
        self._asked = None
        return _REFUSED

    def check_auth_password(self, username: str, password: str) -> int:
        """Refuse, whatever the password."""
        self._asked = None
        return _REFUSED

    def check_auth_publickey(self, username: str, key: paramiko.PKey | UnusableKey) -> int:
        """Ask for a proof of any valid key, of any user; `proved` is called after the proof."""
        self._asked = self._offered = None
        if isinstance(key, UnusableKey) or _is_weak(key):
            return _REFUSED
        self._offered = username, crypto.sha256(key.asbytes())
        return int(paramiko.AUTH_PARTIALLY_SUCCESSFUL)

    def proved(self) -> int:
        """Return paramiko's verdict on the last offered key, whose signature was valid."""
        offered, self._offered = self._offered, None
        if offered is None:
            return _REFUSED
        self._key = offered
        if self._house.try_key(*offered):
            return int(paramiko.AUTH_SUCCESSFUL)
        return int(paramiko.AUTH_PARTIALLY_SUCCESSFUL)

    def check_auth_interactive(self, username: str, submethods: str) -> paramiko.InteractiveQuery:
        """Ask every client for a code."""
        self._asked = username
        return paramiko.InteractiveQuery("", "", ("One-time password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        """Check the code, if it was asked for and is the only answer."""
        user, self._asked = self._asked, None
        if user is None or len(responses) != 1 or self.is_exhausted:
            return _REFUSED
        self._codes += 1
        ssh_key = self._key[1] if self._key is not None and self._key[0] == user else NO_KEY
        if not self._house.try_code(user, responses[0], ssh_key):
            return _REFUSED
        self._codes = 0
        return int(paramiko.AUTH_SUCCESSFUL)

    # --- channels

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Allow session channels only; forwarding is refused."""
        if kind != "session":
            return int(paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)
        if self._house.is_full:
            return int(paramiko.OPEN_FAILED_RESOURCE_SHORTAGE)
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        """Serve `fs` (the native protocol) and `sftp` (a drop box); refuse all else."""
        serve = {"fs": self._house.carry, "sftp": self._house.drop}.get(name)
        if serve is None:
            return False
        why_not = serve(channel)
        return _refuse(channel, why_not) if why_not else True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        """Refuse, and send the reason as text."""
        return _refuse(channel, _NO_SHELL)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Refuse, and send the reason as text."""
        return _refuse(channel, _NO_SHELL)


def _is_weak(key: paramiko.PKey) -> bool:
    return bool(key.get_name() == "ssh-rsa" and key.get_bits() < WEAKEST_RSA)


def _refuse(channel: paramiko.Channel, sentence: str) -> bool:
    """Grant a request, send the reason for the refusal as text, and end with status 1.

    If the request itself were refused, SSH programs would report a failure without a reason.
    """

    def say() -> None:
        channel.settimeout(0)  # this thread must not wait for the client
        with contextlib.suppress(OSError, EOFError):
            channel.sendall_stderr(f"{sentence}\r\n".encode())
            channel.send_exit_status(1)
            channel.close()

    start_after_grant(channel, say)
    return True
