"""First logins of a profile: enrolment, recovery from a backup, and enrolling once more."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from fsclient.connection.connection import ServerConnection
from fsclient.profile import AccountFacts
from fsclient.session.connector import login_signature
from fsclient.session.key_backup import opened_backup
from fsclient.session.login import SessionOpener
from fsclient.session.session import Session
from fsclient.tree.context import TreeContext
from fsclient.tree.nodes import TreeNode
from fsclient.tree.root import empty_tree, open_root
from fsclient.tree.tree import Tree
from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.seen import SeenVersions
from fskit.clock import now_ms
from fsproto import labels
from fsproto.errors import LoginRefused, LoginRequired, SecurityError, UsageError
from fsproto.keys.identity import Identity
from fsproto.keys.key_file import seal_identity
from fsproto.link import EnrollLink
from fsproto.messages.account import Enroll, Login, Welcome
from fsproto.types import NodeId

if TYPE_CHECKING:
    from fsproto.keys.recovery import RecoverySecret


class FirstLogin:
    """Makes a profile, by a login that needs a one-time password and no earlier session."""

    def __init__(self, opener: SessionOpener) -> None:
        """Take the opener of the profile's later sessions; it gets the identity."""
        self._opener = opener
        self._connector = opener.connector
        self._profile = opener.connector.profile
        self._warn = opener.connector.warn

    def enroll(self, link: EnrollLink) -> Session:
        """Make an identity, register its public keys, and start a session."""
        self._profile.check_free()
        found = self._profile.pending_keyfile(link)
        if found is None:
            phrase = self._connector.passphrase.new(self._connector.ui)
            identity = Identity.generate(link.user, now_ms(), os.urandom)
            self._profile.begin(link, seal_identity(identity, phrase, os.urandom))
        else:
            self._connector.ui.say("Resuming an interrupted enrolment with its keys.")
            identity = self._connector.unlock(found, typed=True).identity
        self._opener.take(identity)
        try:
            return self._connector.codes.with_code(
                self._connector.ui, partial(self._enroll, link, identity)
            )
        except (LoginRefused, LoginRequired, UsageError):
            if found is None:  # these keys were never registered anywhere
                self._profile.abandon()
            raise

    def recover(self, link: EnrollLink, secret: RecoverySecret) -> Session:
        """Recover the identity from its backup at the server, and start a session.

        One code is consumed. Raises `SecurityError`, and stores nothing, if the server's answer is
        not the backup that was sealed under this secret.
        """
        self._profile.check_free()
        phrase = self._connector.passphrase.new(self._connector.ui)
        recover = partial(self._recover, link, secret, phrase)
        return self._connector.codes.with_code(self._connector.ui, recover)

    def enroll_again(self, identity: Identity, code: str) -> Session:
        """Enrol the user's first keys at a server that has lost them, with a new, empty tree."""
        link = self._profile.facts().link
        with ExitStack() as undo:
            connection = undo.enter_context(self._connector.connect(link))
            welcome = _register(connection, identity, code, self._connector.device)
            memory = undo.enter_context(closing(SeenVersions(None)))
            people = KeyDirectory(self._profile.people, identity, self._warn)
            context = TreeContext(connection, identity, memory, undo.enter_context(closing(people)))
            people.accept_older_log(context.questions, welcome.log)
            root = open_root(context, welcome.tree, expected=None, mark=0)
            self._profile.keep_root(root.keyed.node)
            self._connector.welcomed(welcome, people)
            undo.pop_all()
            return Session(Tree(context, root))

    def _enroll(self, link: EnrollLink, identity: Identity, code: str) -> Session:
        with ExitStack() as undo:
            connection = undo.enter_context(self._connector.connect(link))
            welcome = _register(connection, identity, code, self._connector.device)
            pending = self._profile.pending
            with (
                closing(SeenVersions(pending.memory)) as memory,
                closing(KeyDirectory(pending.people, identity, self._warn)) as people,
            ):
                context = TreeContext(connection, identity, memory, people)
                root = _first_root(context, welcome, expected=None)
            self._profile.complete(AccountFacts(connection.link, root.keyed.node))
            return self._settled(undo, connection, identity, welcome)

    def _recover(
        self, link: EnrollLink, secret: RecoverySecret, phrase: str | None, code: str
    ) -> Session:
        with ExitStack() as undo:
            connection = undo.enter_context(self._connector.connect(link))
            identity, root = opened_backup(connection, secret, code)
            facts = AccountFacts(connection.link, root)
            signature = login_signature(identity, labels.SIGN_LOGIN, connection.channel_id)
            try:
                ask = Login(link.user, signature, None, None, None, self._connector.device)
                welcome = connection.call(ask, Welcome)
            except LoginRefused:
                raise SecurityError(
                    "THE SERVER REFUSES THE IDENTITY that it has just handed out as your backup."
                ) from None
            keyfile = seal_identity(identity, phrase, os.urandom)
            with (
                self._profile.arriving(facts, keyfile, current=True) as folder,
                closing(SeenVersions(folder / "memory.db")) as memory,
                closing(KeyDirectory(folder / "people.db", identity, self._warn)) as people,
            ):
                context = TreeContext(connection, identity, memory, people)
                _first_root(context, welcome, expected=root)
            self._opener.take(identity)
            return self._settled(undo, connection, identity, welcome)

    def _settled(
        self, undo: ExitStack, connection: ServerConnection, identity: Identity, welcome: Welcome
    ) -> Session:
        """Open the profile's files at their final place after a first login, and open the tree."""
        memory = undo.enter_context(closing(SeenVersions(self._profile.memory)))
        people = KeyDirectory(self._profile.people, identity, self._warn)
        context = TreeContext(connection, identity, memory, undo.enter_context(closing(people)))
        facts = self._profile.facts()
        root = open_root(context, welcome.tree, expected=facts.root, mark=memory.mark())
        self._connector.welcomed(welcome, people)
        undo.pop_all()
        return Session(Tree(context, root))


def _first_root(context: TreeContext, welcome: Welcome, *, expected: NodeId | None) -> TreeNode:
    """Verify the key log and the root of a first login, without seen versions."""
    context.people.check_log_head(context.questions, welcome.log, None)
    return open_root(context, welcome.tree, expected=expected, mark=0)


def _register(connection: ServerConnection, identity: Identity, code: str, device: str) -> Welcome:
    """Register the user's first keys, with an empty tree."""
    signature = login_signature(identity, labels.SIGN_ENROLL, connection.channel_id)
    bundle, planted = identity.bundle.signed, empty_tree(identity)
    ask = Enroll(identity.user, signature, code, bundle, planted, device)
    return connection.call(ask, Welcome)
