"""What the parts of a tree share: the connection, the identity, and what decides about trust."""

from __future__ import annotations

from typing import Protocol

from fsclient.connection.connection import ServerConnection
from fsclient.trust.authorship import AuthorRules
from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.seen import SeenVersions
from fsproto.keys.identity import Identity


class TreeContext(Protocol):
    """The part of `Tree` that other modules of this package use.

    Connection, memory and key directory may be replaced during a session, so read them from here
    each time.
    """

    identity: Identity
    memory: SeenVersions
    people: KeyDirectory
    authors: AuthorRules

    @property
    def connection(self) -> ServerConnection:
        """The current connection to the server."""

    def catch_up(self) -> None:
        """Read new entries of the key log, if the session has lasted since it was read."""
