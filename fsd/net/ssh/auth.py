"""Who gets in over SSH, and what they may open: what paramiko asks, in its connection's thread.

A code always comes by keyboard-interactive. A public key never gets in by itself: proved, it goes
on with a session that a code has begun for it, or else the code is asked for, and the key is what
the session is bound to. But for one that the administrator has added for dropping files, which is
in at once, and may do just that. Which methods there are is the same whoever asks.
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
    """What the rules are about: one guest's connection."""

    @property
    def is_full(self) -> bool:
        """Whether no further channel may be opened."""

    def try_code(self, user: str, code: str, ssh_key: bytes) -> bool:
        """Let a code decide; return whether it let them in, after the time that refusals take."""

    def try_key(self, user: str, ssh_key: bytes) -> bool:
        """Let a key decide that was proved; return whether it let them in."""

    @property
    def banner(self) -> str:
        """What everybody is told before they log in; nothing if there is nothing to tell."""

    def carry(self, channel: paramiko.Channel) -> str:
        """Have a channel carry the native protocol; return why not, if that cannot be."""

    def drop(self, channel: paramiko.Channel) -> str:
        """Have a channel speak with a drop box; return why not, if that cannot be."""


class SshAuth(paramiko.ServerInterface):  # type: ignore[misc]
    """The rules of one connection."""

    def __init__(self, house: ConnectionContext) -> None:
        """Take the connection that the rules apply to."""
        self._house = house
        self._offered: tuple[str, bytes] | None = None
        """A user and the hash of a key of which a signature is about to be verified."""
        self._key: tuple[str, bytes] | None = None
        """A user and the hash of a key that was proved."""
        self._asked: str | None = None
        """Which user was asked for a code, and has not answered."""
        self._codes = 0

    # --- logging in

    def get_banner(self) -> tuple[str, str]:
        """Say what is to be known before anything is uploaded."""
        banner = self._house.banner
        return (f"{banner}\r\n", "en") if banner else ("", "")

    @property
    def is_exhausted(self) -> bool:
        """Return whether the limit of attempts is reached."""
        return self._codes >= MOST_CODES

    def get_allowed_auths(self, username: str) -> str:
        """Return the methods there are: once a key is proved, the code alone is left."""
        return _METHODS if self._key is None else "keyboard-interactive"

    def check_auth_none(self, username: str) -> int:
        """Refuse; also what is no method at all."""
        self._asked = None
        return _REFUSED

    def check_auth_password(self, username: str, password: str) -> int:
        """Refuse, whatever the password."""
        self._asked = None
        return _REFUSED

    def check_auth_publickey(self, username: str, key: paramiko.PKey | UnusableKey) -> int:
        """Have any key that can be read proved, whoever's it is; `proved` is called then."""
        self._asked = self._offered = None
        if isinstance(key, UnusableKey) or _is_weak(key):
            return _REFUSED
        self._offered = username, crypto.sha256(key.asbytes())
        return int(paramiko.AUTH_PARTIALLY_SUCCESSFUL)

    def proved(self) -> int:
        """Decide over the key that was offered last, whose signature was right."""
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
        """Let the code decide, if it was asked for and is the one answer."""
        user, self._asked = self._asked, None
        if user is None or len(responses) != 1 or self.is_exhausted:
            return _REFUSED
        self._codes += 1
        ssh_key = self._key[1] if self._key is not None and self._key[0] == user else NO_KEY
        if not self._house.try_code(user, responses[0], ssh_key):
            return _REFUSED
        self._codes = 0
        return int(paramiko.AUTH_SUCCESSFUL)

    # --- what may be opened

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Let a session be opened; nothing is forwarded."""
        if kind != "session":
            return int(paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)
        if self._house.is_full:
            return int(paramiko.OPEN_FAILED_RESOURCE_SHORTAGE)
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        """Have `fs` carry the native protocol, and `sftp` drop files; there is nothing else."""
        serve = {"fs": self._house.carry, "sftp": self._house.drop}.get(name)
        if serve is None:
            return False
        why_not = serve(channel)
        return _refuse(channel, why_not) if why_not else True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        """Refuse, in words."""
        return _refuse(channel, _NO_SHELL)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Refuse, in words."""
        return _refuse(channel, _NO_SHELL)


def _is_weak(key: paramiko.PKey) -> bool:
    return bool(key.get_name() == "ssh-rsa" and key.get_bits() < WEAKEST_RSA)


def _refuse(channel: paramiko.Channel, sentence: str) -> bool:
    """Grant a request only to say why nothing comes of it, and to end with status 1.

    Of one that is refused outright, programs say that it failed, and never why.
    """

    def say() -> None:
        channel.settimeout(0)  # this thread must not wait for the client
        with contextlib.suppress(OSError, EOFError):
            channel.sendall_stderr(f"{sentence}\r\n".encode())
            channel.send_exit_status(1)
            channel.close()

    start_after_grant(channel, say)
    return True
