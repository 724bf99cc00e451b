"""Logging in: enrolment, one-time passwords, session tickets, recovery and reconnecting."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

from fsclient.connection.connection import ServerConnection
from fsclient.connection.retry import Timeouts
from fsclient.profile import AccountFacts, Profile
from fsclient.session.notices import tell
from fsclient.session.one_login import one_login
from fsclient.session.otp import CodeSource
from fsclient.session.passphrase import Passphrase
from fsclient.session.session import Session
from fsclient.tree.context import TreeContext
from fsclient.tree.nodes import TreeNode
from fsclient.tree.root import empty_tree, open_root
from fsclient.tree.tree import Tree
from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.seen import SeenVersions
from fsclient.ui import Ui
from fskit.clock import now_ms
from fsproto import labels
from fsproto.errors import (
    HostKeyError,
    Interrupted,
    LoginRefused,
    LoginRequired,
    SecurityError,
    UsageError,
)
from fsproto.keys.identity import Identity
from fsproto.keys.key_file import needs_passphrase, open_identity, seal_identity
from fsproto.link import EnrollLink
from fsproto.messages.account import Enroll, Login, Recover, Recovery, Welcome
from fsproto.types import NodeId

if TYPE_CHECKING:
    from fsproto.keys.recovery import RecoverySecret

EARLY_MS = 5_000
"""No command starts on a session that ends within this time."""
BRIEF = Timeouts(connect_s=5, via_s=5, silence_s=5, frame_s=10)
"""For the last requests of an interrupted command."""


class SessionOpener:
    """Opens sessions for one profile."""

    def __init__(
        self,
        profile: Profile,
        ui: Ui,
        codes: CodeSource,
        passphrase: Passphrase,
        patience: Timeouts | None = None,
    ) -> None:
        """Take the profile, whom to ask, and where codes and passphrase come from."""
        self._profile = profile
        self._ui = ui
        self._codes = codes
        self._passphrase = passphrase
        self._patience = patience
        self._identity: Identity | None = None
        self._compares = self._accepts_key_log = False
        """See `open_to_compare`."""
        self.via: str | None = None
        """Command line of a program that carries the connections, if any does."""
        self.passphrase: str | None = None
        """What the identity is kept under, once it was opened."""

    def use(self, ui: Ui, codes: CodeSource) -> None:
        """Ask somewhere else from now on: each line of the shell has options of its own."""
        self._ui, self._codes = ui, codes

    def identity(self) -> Identity:
        """Open the identity, asking for its passphrase where it has one; once."""
        if self._identity is None:
            data = self._profile.keyfile()
            phrase = self._passphrase.existing(self._ui) if needs_passphrase(data) else None
            self._identity, self.passphrase = open_identity(data, phrase), phrase
        return self._identity

    def take(self, identity: Identity) -> None:
        """Use the keys that have replaced the identity of the profile."""
        self._identity = identity

    def open(self, *, fresh: bool = False) -> Session:
        """Log in, with the running session if there is one; `fresh` always starts another."""
        facts = self._profile.facts()
        identity = self.identity()
        ticket = self._profile.ticket()
        ends = self._profile.session_ends_ms() or 0
        if ticket is not None and not fresh and ends > now_ms() + EARLY_MS:
            try:
                return self._log_in(facts, identity, None, ticket)
            except LoginRefused:
                self._profile.drop_ticket(ticket)
        return self._with_code(facts, identity, ticket)

    def open_to_compare(self, *, accept_key_log: bool = False) -> Session:
        """Log in with a memory that is empty and not kept, to look at what the server shows.

        With `accept_key_log`, a key log that is shorter than the one seen takes its place.
        """
        self._compares, self._accepts_key_log = True, accept_key_log
        try:
            return self.open()
        finally:
            self._compares = self._accepts_key_log = False

    def resume(self) -> Session:
        """Go on with the running session; `LoginRefused` if there is none any more."""
        ticket = self._profile.ticket()
        if ticket is None:
            raise LoginRefused("There is no session.")
        return self._log_in(self._profile.facts(), self.identity(), None, ticket)

    def renew(self, session: Session) -> None:
        """Replace a lost connection as `reconnect` does; log in with a code if the session ended.

        `LoginRequired` if there is neither a code nor a terminal to ask for one.
        """
        ended = self._profile.ticket()
        try:
            self.reconnect(session)
        except LoginRefused:
            self._profile.drop_ticket(ended)
        else:
            return
        if self._codes.source is None and not self._ui.can_ask():
            raise LoginRequired
        self._ui.say("The session has ended; a one-time password starts a new one.")
        try:
            self._with_code(session.facts, session.identity, ended).close()
        except Interrupted:
            raise Interrupted(
                "The session has ended, and no one-time password was given."
            ) from None
        self.reconnect(session)

    def reconnect_briefly(self, session: Session) -> None:
        """As `reconnect`, but fail after a few seconds: the user waits for the command's end."""
        before, self._patience = self._patience, BRIEF
        try:
            self.reconnect(session)
        finally:
            self._patience = before

    def reconnect(self, session: Session) -> None:
        """Replace a lost connection by a new one, with the running session.

        `LoginRefused` if that has ended; requests that were not answered are lost.
        """
        ticket = self._profile.ticket()
        if ticket is None:
            raise _ended()
        facts, identity, lost = session.facts, session.identity, session.connection
        lost.close()
        with ExitStack() as undo:
            mark, known = session.memory.mark(), session.people.known()
            connection = undo.enter_context(self._connect(facts.link, after=lost.last_request))
            signature = _sign(identity, labels.SIGN_LOGIN, connection.channel_id)
            try:
                welcome = connection.call(Login(identity.user, signature, None, ticket), Welcome)
            except LoginRefused:
                raise _ended() from None
            people = session.people
            context = TreeContext(connection, identity, session.memory, people)
            people.check_log_head(context.questions, welcome.log, known)
            open_root(context, welcome.tree, expected=facts.root, mark=mark)
            undo.pop_all()
        tell(self._ui, welcome.notices, people.note_told)
        session.context.reconnected(connection)

    def enroll(self, link: EnrollLink) -> Session:
        """Make an identity, register its public keys, and start a session."""
        self._profile.check_free()
        found = self._profile.pending_keyfile(link)
        if found is None:
            phrase = self._passphrase.new(self._ui)
            identity = Identity.generate(link.user, now_ms(), os.urandom)
            self._profile.begin(link, seal_identity(identity, phrase, os.urandom))
        else:
            self._ui.say("Going on with the keys of an enrolment that was interrupted.")
            phrase = self._passphrase.existing(self._ui) if needs_passphrase(found) else None
            identity = open_identity(found, phrase)
        self._identity = identity
        try:
            for code in self._codes.codes(self._ui):
                try:
                    return self._enroll(link, identity, code)
                except LoginRefused as error:
                    self._codes.refused(self._ui, error)
        except (LoginRefused, LoginRequired, UsageError):
            if found is None:  # these keys were never registered anywhere
                self._profile.abandon()
            raise
        raise LoginRefused

    def recover(self, link: EnrollLink, secret: RecoverySecret) -> Session:
        """Recover the identity from its backup at the server, and start a session.

        One code is used up. Raises `SecurityError`, and keeps nothing, if what the server sends is
        not what was backed up under this very secret.
        """
        self._profile.check_free()
        phrase = self._passphrase.new(self._ui)
        for code in self._codes.codes(self._ui):
            try:
                return self._recover(link, secret, code, phrase)
            except LoginRefused as error:
                self._codes.refused(self._ui, error)
        raise LoginRefused

    def _with_code(self, facts: AccountFacts, identity: Identity, ended: bytes | None) -> Session:
        """Start a session with a code, or use one that another command has started.

        `ended` is the last ticket that this command knew. Any other one is new.
        """
        if self.via:  # a code may have been used up already, to get in over SSH
            with suppress(LoginRefused):
                return self._log_in(facts, identity, None, None)
        with one_login(self._profile.login_lock, self._codes.source):
            for code in self._codes.codes(self._ui):
                try:
                    ticket = self._profile.ticket()
                    if ticket not in (None, ended):
                        with suppress(LoginRefused):
                            return self._log_in(facts, identity, None, ticket)
                    return self._log_in(facts, identity, code, None)
                except LoginRefused as error:
                    self._codes.refused(self._ui, error)
            raise LoginRefused

    def _log_in(
        self, facts: AccountFacts, identity: Identity, code: str | None, ticket: bytes | None
    ) -> Session:
        """Log in; where replacing the keys was interrupted, with whichever the server has."""
        following = self._profile.next_keyfile()
        if following is None:
            return self._log_in_as(facts, identity, code, ticket)
        new = open_identity(following, self.passphrase)
        try:
            session = self._log_in_as(facts, new, code, ticket)
        except LoginRefused:
            session = self._log_in_as(facts, identity, code, ticket)
        self._identity = session.identity
        self._profile.settle_keyfile(took_next=session.identity is new)
        return session

    def _log_in_as(
        self, facts: AccountFacts, identity: Identity, code: str | None, ticket: bytes | None
    ) -> Session:
        with ExitStack() as undo:
            place = None if self._compares else self._profile.memory
            if place is not None and not place.exists():
                self._tell(
                    "This profile has lost its memory of the versions that it has seen: an older "
                    "state of a folder is not noticed until the folder was seen again."
                )
            memory = undo.enter_context(closing(SeenVersions(place)))
            people = undo.enter_context(
                closing(KeyDirectory(self._profile.people, identity, self._tell))
            )
            mark, known = memory.mark(), people.known()
            connection = undo.enter_context(self._connect(facts.link))
            signature = _sign(identity, labels.SIGN_LOGIN, connection.channel_id)
            welcome = connection.call(Login(identity.user, signature, code, ticket), Welcome)
            context = TreeContext(connection, identity, memory, people)
            if self._accepts_key_log:
                people.accept_older_log(context.questions, welcome.log)
            else:
                people.check_log_head(context.questions, welcome.log, known)
            tree = Tree(context, open_root(context, welcome.tree, expected=facts.root, mark=mark))
            return self._entered(undo, tree, welcome)

    def _entered(self, undo: ExitStack, tree: Tree, welcome: Welcome) -> Session:
        """Store the new session, and show the notices of the server once."""
        if welcome.ticket is not None:
            self._profile.keep_ticket(welcome.ticket, _local_end(welcome))
        undo.pop_all()
        tell(self._ui, welcome.notices, tree.context.people.note_told)
        return Session(tree)

    def _connect(self, link: EnrollLink, *, after: int = 0) -> ServerConnection:
        """Connect; where the host key was changed and the old one vouches for it, expect the new.

        `HostKeyError` for any other key than the expected one.
        """
        try:
            return ServerConnection(link, self._patience, after=after, via=self.via)
        except HostKeyError as alarm:
            from fsclient.session.host_key import successor

            moved = successor(link, self._patience or Timeouts(), self.via)
            if moved is None:
                if self._profile.exists():
                    raise
                raise HostKeyError(  # none was known before that could have changed
                    f"THE SERVER'S HOST KEY IS NOT THE ONE IN THE LINK. Expected {link.host_key}, "
                    f"but the server showed {alarm.shown}.",
                    hint="The link may be mistyped or out of date, or an attacker is in the "
                    "middle. Nothing was sent. Compare it with what your administrator gave you.",
                ) from None
            try:
                connection = ServerConnection(moved.link, self._patience, after=after, via=self.via)
            except HostKeyError:
                raise alarm from None
            try:  # the statement is public: without the key it proves nothing
                connection.confirm()
            except BaseException:
                connection.close()
                raise
        if self._profile.exists():
            self._profile.expect(moved.link)
        self._ui.warn(moved.sentence)
        return connection

    def _enroll(self, link: EnrollLink, identity: Identity, code: str) -> Session:
        with ExitStack() as undo:
            connection = undo.enter_context(self._connect(link))
            signature = _sign(identity, labels.SIGN_ENROLL, connection.channel_id)
            bundle, planted = identity.bundle.signed, empty_tree(identity)
            ask = Enroll(identity.user, signature, code, bundle, planted)
            welcome = connection.call(ask, Welcome)
            pending = self._profile.pending
            with (
                closing(SeenVersions(pending.memory)) as memory,
                closing(KeyDirectory(pending.people, identity, self._tell)) as people,
            ):
                context = TreeContext(connection, identity, memory, people)
                root = _first_root(context, welcome, expected=None)
            self._profile.complete(AccountFacts(connection.link, root.keyed.node))
            tree = self._settled(undo, connection, identity, welcome)
            return self._entered(undo, tree, welcome)

    def _recover(
        self, link: EnrollLink, secret: RecoverySecret, code: str, phrase: str | None
    ) -> Session:
        with ExitStack() as undo:
            connection = undo.enter_context(self._connect(link))
            identity, root = _opened_backup(connection, secret, code)
            facts = AccountFacts(connection.link, root)
            signature = _sign(identity, labels.SIGN_LOGIN, connection.channel_id)
            try:
                welcome = connection.call(Login(link.user, signature, None, None), Welcome)
            except LoginRefused:
                raise SecurityError(
                    "THE SERVER REFUSES THE IDENTITY that it has just handed out as your backup."
                ) from None
            keyfile = seal_identity(identity, phrase, os.urandom)
            with (
                self._profile.arriving(facts, keyfile) as folder,
                closing(SeenVersions(folder / "memory.db")) as memory,
                closing(KeyDirectory(folder / "people.db", identity, self._tell)) as people,
            ):
                context = TreeContext(connection, identity, memory, people)
                _first_root(context, welcome, expected=root)
            tree = self._settled(undo, connection, identity, welcome)
            self._identity = identity
            return self._entered(undo, tree, welcome)

    def _settled(
        self, undo: ExitStack, connection: ServerConnection, identity: Identity, welcome: Welcome
    ) -> Tree:
        """Open the profile's files where they stay after a first login, and the tree with them."""
        memory = undo.enter_context(closing(SeenVersions(self._profile.memory)))
        people = KeyDirectory(self._profile.people, identity, self._tell)
        context = TreeContext(connection, identity, memory, undo.enter_context(closing(people)))
        facts = self._profile.facts()
        root = open_root(context, welcome.tree, expected=facts.root, mark=memory.mark())
        return Tree(context, root)

    def _tell(self, notice: str) -> None:
        self._ui.warn(notice)


def _ended() -> LoginRefused:
    return LoginRefused(
        "The connection was lost, and the session has ended.",
        hint="Give the same command again; it asks for a one-time password.",
    )


def _first_root(context: TreeContext, welcome: Welcome, *, expected: NodeId | None) -> TreeNode:
    """Verify the key log and the root that a first login shows; nothing was seen before."""
    context.people.check_log_head(context.questions, welcome.log, None)
    return open_root(context, welcome.tree, expected=expected, mark=0)


def _opened_backup(
    connection: ServerConnection, secret: RecoverySecret, code: str
) -> tuple[Identity, NodeId]:
    """Return the identity that is backed up under a secret, and the root of its tree."""
    user, key = secret.user, secret.signing
    signature = key.sign(labels.SIGN_RECOVER, connection.channel_id, user.encode())
    try:
        found = connection.call(Recover(user, signature, code), Recovery)
    except LoginRefused:
        raise LoginRefused(
            "The recovery was refused: wrong or used one-time password, another phrase than that "
            "of your newest backup, no backup, or a disabled user."
        ) from None
    portable = secret.open(found.sealed)
    return portable.identity, portable.root


def _sign(identity: Identity, label: bytes, channel_id: bytes) -> bytes:
    return identity.signing.sign(label, channel_id, identity.user.encode())


def _local_end(welcome: Welcome) -> int:
    """Return when the session ends by this machine's clock, which may differ from the server's."""
    return now_ms() + welcome.expires_ms - welcome.now_ms
