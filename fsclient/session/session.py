"""The session that a command uses after the login: the account's facts and its tree."""

from __future__ import annotations

from fsclient.connection.connection import ServerConnection
from fsclient.connection.retry import NoRetry
from fsclient.profile import AccountFacts
from fsclient.session.last_seen import note_memory
from fsclient.tree.context import TreeContext
from fsclient.tree.tree import Tree
from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.seen import SeenVersions
from fsproto.keys.identity import Identity


class Session:
    """A logged-in account; its parts are those of its tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    @property
    def facts(self) -> AccountFacts:
        """The present address of the server, and the root of the tree."""
        return AccountFacts(self.connection.link, self.tree.root.keyed.node)

    @property
    def context(self) -> TreeContext:
        """The context that all parts of the session share."""
        return self.tree.context

    @property
    def connection(self) -> ServerConnection:
        """The current connection to the server."""
        return self.context.connection

    @property
    def identity(self) -> Identity:
        """The user's own keys."""
        return self.context.identity

    @property
    def memory(self) -> SeenVersions:
        """The versions that this profile has seen."""
        return self.context.memory

    @property
    def people(self) -> KeyDirectory:
        """The keys of other users."""
        return self.context.people

    @property
    def retry(self) -> NoRetry:
        """The policy for a lost connection."""
        return self.context.retry

    def caching(self) -> Session:
        """Return this session with a cache of folders, for many changes in a row."""
        return Session(self.tree.caching())

    def following(self) -> Session:
        """Return this session; its tree records the folders that it lists and changes."""
        return Session(self.tree.following())

    def listing(self) -> Session:
        """Return this session for a command that only lists (`Tree.listing`)."""
        return Session(self.tree.listing())

    def retry_with(self, retry: NoRetry) -> None:
        """Use this policy for a lost connection."""
        self.context.retry = retry

    def close(self) -> None:
        """Close the connection and the files of the profile."""
        self.connection.close()
        note_memory(self.memory, self.people)
        self.memory.close()
        self.people.close()
