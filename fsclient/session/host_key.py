"""Finds out whether a server that shows another host key than the expected one has moved to it.

Imported only then. The statements that former keys have signed decide, and nothing that the server
says; see `fsproto.host_key_moves`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from msgspec.structs import replace

from fsclient.connection.connection import line_to
from fsclient.connection.retry import Timeouts
from fskit.text import time_text
from fsproto import crypto, host_key_moves
from fsproto.errors import FsError
from fsproto.limits import MAX_HANDSHAKE_MESSAGE
from fsproto.link import EnrollLink

_LENGTH = 4


@dataclass(frozen=True)
class MovedHostKey:
    """Where the server is found from now on, and since when."""

    link: EnrollLink
    """With the new key."""
    time_ms: int
    """When the old key vouched for it, as it says."""

    @property
    def sentence(self) -> str:
        """The notice to the person, shown once."""
        return (
            f"The server at {self.link.address} has a new host key since "
            f"{time_text(self.time_ms)}, and the old one vouches for it: "
            f"{self.link.host_key} is expected from now on."
        )


def successor(link: EnrollLink, patience: Timeouts, via: str | None = None) -> MovedHostKey | None:
    """Ask the server for the statements of its former host keys; None if they prove nothing.

    Nothing about the user is said. Whatever goes wrong, the key stays the wrong one.
    """
    with contextlib.suppress(FsError, OSError, crypto.CryptoError):
        answer = _ask(link, host_key_moves.question(crypto.digest_of(link.host_key)), patience, via)
        said = host_key_moves.follow(answer, link.host_key)
        if said is not None:
            return MovedHostKey(replace(link, host_key=said.successor), said.time_ms)
    return None


def _ask(link: EnrollLink, question: bytes, patience: Timeouts, via: str | None) -> bytes:
    sock, proxy = line_to(link.address, patience, via)
    with contextlib.closing(proxy or sock):
        sock.sendall(len(question).to_bytes(_LENGTH, "big") + question)
        with sock.makefile("rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "big")
            return file.read(min(length, MAX_HANDSHAKE_MESSAGE))
