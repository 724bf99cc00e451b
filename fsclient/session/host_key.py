"""Connecting to a server, and finding out whether one with another host key has moved to it.

The statements that former keys have signed decide, and nothing that the server
says; see `fsproto.host_key_moves`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from fsclient.connection.connection import ServerConnection
from fsclient.connection.retry import Timeouts
from fskit.text import time_text
from fsproto import crypto
from fsproto.errors import FsError, HostKeyError
from fsproto.link import EnrollLink


@dataclass(frozen=True)
class MovedHostKey:
    """The link with the new host key, and the time of the change."""

    link: EnrollLink
    """The link with the new key."""
    time_ms: int
    """The time in the last statement."""

    @property
    def sentence(self) -> str:
        """The notice to the person, shown once."""
        return (
            f"The server at {self.link.address} has a new host key since "
            f"{time_text(self.time_ms)}, and the old one vouches for it: "
            f"{self.link.host_key} is expected from now on."
        )


def connected(
    link: EnrollLink, patience: Timeouts, *, after: int, via: str | None, known: bool
) -> tuple[ServerConnection, MovedHostKey | None]:
    """Connect to a server; if its host key was changed and the old one vouches for it, to that.

    `known`: the profile has expected this key before. `HostKeyError` for any other key.
    """
    try:
        return ServerConnection(link, patience, after=after, via=via), None
    except HostKeyError as alarm:
        connection = _asking(link, patience, after=after, via=via)
        if connection is None:
            if known:
                raise
            raise HostKeyError(  # none was known before that could have changed
                f"THE SERVER'S HOST KEY IS NOT THE ONE IN THE LINK. Expected {link.host_key}, "
                f"but the server showed {alarm.shown}.",
                hint="The link may be mistyped or out of date, or an attacker is in the "
                "middle. Nothing was sent. Compare it with what your administrator gave you.",
            ) from None
    try:  # the statement is public: without the key it proves nothing
        connection.confirm()
    except BaseException:
        connection.close()
        raise
    moved = connection.moved
    return connection, None if moved is None else MovedHostKey(connection.link, moved.time_ms)


def _asking(
    link: EnrollLink, patience: Timeouts, *, after: int, via: str | None
) -> ServerConnection | None:
    """Connect again, and ask for the statements of former host keys; None if they prove nothing.

    It sends nothing about the user. After any error, the key counts as a wrong key.
    """
    with contextlib.suppress(FsError, OSError, crypto.CryptoError):
        return ServerConnection(link, patience, after=after, via=via, asks=True)
    return None
