"""Later logins of a profile: one-time passwords, session tickets, and reconnecting.

The first login is in `first_login`.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress

from fsclient.connection.retry import Timeouts, try_again
from fsclient.profile import AccountFacts
from fsclient.session.connector import Connector, login_signature
from fsclient.session.last_seen import RESTORED, last_seen, tell_losses, tell_older_memory
from fsclient.session.notices import tell
from fsclient.session.one_login import one_login
from fsclient.session.otp import CodeSource
from fsclient.session.session import Session
from fsclient.tree.context import TreeContext
from fsclient.tree.root import open_root
from fsclient.tree.stored_listings import StoredListings
from fsclient.tree.tree import Tree
from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.seen import SeenVersions
from fsclient.ui import Ui
from fskit.clock import now_ms
from fsproto import labels
from fsproto.errors import (
    BehindError,
    ConnectionLost,
    Interrupted,
    LoginRefused,
    LoginRequired,
)
from fsproto.keys.identity import Identity
from fsproto.keys.key_file import open_identity
from fsproto.messages.account import Login, Welcome

EARLY_MS = 5_000
"""No command starts on a session that ends within this time."""
BRIEF = Timeouts(connect_s=5, via_s=5, silence_s=5, frame_s=10)
"""For the last requests of an interrupted command."""


class SessionOpener:
    """Opens sessions for one profile."""

    def __init__(self, connector: Connector) -> None:
        """Take what every login uses; `use` and `wait_less` change parts of it."""
        self.connector = connector
        self._profile = connector.profile
        self._identity: Identity | None = None
        self._compares = self._accepts_key_log = False
        """See `open_to_compare`."""
        self.passphrase: str | None = None
        """The passphrase of the identity, after the identity was opened with it."""
        self._by_agent = False

    def use(self, ui: Ui, codes: CodeSource) -> None:
        """Use another terminal and source of codes: each line of the shell has its own options."""
        self.connector.ui, self.connector.codes = ui, codes

    def wait_less(self, patience: Timeouts) -> None:
        """Use other timeouts for all connections from now on."""
        self.connector.patience = patience

    def identity(self, *, typed: bool = False) -> Identity:
        """Open the identity; ask once for its passphrase if it has one and no agent has its key.

        With `typed`, ask for the passphrase unless it was given or typed before.
        """
        if self._identity is None or (typed and self._by_agent):
            opened = self.connector.unlock(self._profile.keyfile(), typed=typed)
            self._identity, self.passphrase, self._by_agent = opened
        return self._identity

    def take(self, identity: Identity) -> None:
        """Use the keys that have replaced the identity of the profile."""
        self._identity = identity

    def open(self, *, fresh: bool = False) -> Session:
        """Log in with the running session if there is one; `fresh` always starts a new one."""
        facts = self._profile.facts()
        identity = self.identity()
        ticket = self._profile.ticket()
        ends = self._profile.session_ends_ms() or 0
        if ticket is not None and not fresh and ends > now_ms() + EARLY_MS:
            try:
                return try_again(
                    lambda: self._log_in(facts, identity, None, ticket),
                    ConnectionLost,
                    self.connector.patience,
                )
            except LoginRefused:
                self._profile.drop_ticket(ticket)
        return self._with_code(facts, identity, ticket)

    def open_to_compare(self, *, accept_key_log: bool = False) -> Session:
        """Log in with an empty, temporary memory, to read the server's versions.

        With `accept_key_log`, a key log that is shorter than the seen one replaces it.
        """
        self._compares, self._accepts_key_log = True, accept_key_log
        try:
            return self.open()
        finally:
            self._compares = self._accepts_key_log = False

    def open_as(self, identity: Identity, code: str | None) -> Session:
        """Log in with these keys of the user; without a code, with the running session.

        As `open_to_compare`, and the key log that the server shows takes the place of the one seen.
        """
        self._compares = self._accepts_key_log = True
        try:
            ticket = self._profile.ticket() if code is None else None
            return self._log_in_as(self._profile.facts(), identity, code, ticket)
        finally:
            self._compares = self._accepts_key_log = False

    def resume(self) -> Session:
        """Resume the running session; `LoginRefused` if it has ended."""
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
        if self.connector.codes.source is None and not self.connector.ui.can_ask():
            raise LoginRequired
        self.connector.ui.say("The session has ended; a one-time password starts a new one.")
        try:
            self._with_code(session.facts, session.identity, ended).close()
        except Interrupted:
            raise Interrupted(
                "The session has ended, and no one-time password was given."
            ) from None
        self.reconnect(session)

    def reconnect_briefly(self, session: Session) -> None:
        """As `reconnect`, but fail after a few seconds: the user waits for the command's end."""
        self.connector.ui.say("Storing what has arrived; another Ctrl-C ends the command at once.")
        before, self.connector.patience = self.connector.patience, BRIEF
        try:
            self.reconnect(session)
        finally:
            self.connector.patience = before

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
            connection = undo.enter_context(
                self.connector.connect(facts.link, after=lost.last_request)
            )
            signature = login_signature(identity, labels.SIGN_LOGIN, connection.channel_id)
            try:
                welcome = connection.call(
                    Login(identity.user, signature, None, ticket, None, ""), Welcome
                )
            except LoginRefused:
                raise _ended() from None
            people = session.people
            context = TreeContext(connection, identity, session.memory, people)
            people.check_log_head(context.questions, welcome.log, known)
            open_root(context, welcome.tree, expected=facts.root, mark=mark)
            undo.pop_all()
        tell(self.connector.ui, welcome.notices, people.note_told)
        session.context.reconnected(connection)

    def _with_code(self, facts: AccountFacts, identity: Identity, ended: bytes | None) -> Session:
        """Start a session with a code, or use the new session of another command.

        `ended` is the last ticket that this command knew. Any other one is new.
        """
        if self.connector.via:  # a code may have been consumed already, by the login over SSH
            with suppress(LoginRefused):
                return self._log_in(facts, identity, None, None)

        def log_in(code: str) -> Session:
            ticket = self._profile.ticket()
            if ticket not in (None, ended):
                with suppress(LoginRefused):
                    return self._log_in(facts, identity, None, ticket)
            return self._log_in(facts, identity, code, None)

        codes = self.connector.codes
        with one_login(self._profile.login_lock, codes.source):
            return codes.with_code(self.connector.ui, log_in)

    def _log_in(
        self, facts: AccountFacts, identity: Identity, code: str | None, ticket: bytes | None
    ) -> Session:
        """Log in; after an interrupted rotation, with the new or old keys: those the server has."""
        following = self._profile.next_keyfile()
        if following is None:
            return self._log_in_as(facts, identity, code, ticket)
        self.identity(typed=True)  # the next keys are under the passphrase, too, with another key
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
            lost = tell_losses(place, self._profile.people, self.connector.warn)
            memory = undo.enter_context(closing(SeenVersions(place)))
            people = undo.enter_context(
                closing(KeyDirectory(self._profile.people, identity, self.connector.warn))
            )
            if place is not None:
                tell_older_memory(memory, people, self.connector.warn, lost=lost)
            mark, known = memory.mark(), people.known()
            connection = undo.enter_context(self.connector.connect(facts.link))
            signature = login_signature(identity, labels.SIGN_LOGIN, connection.channel_id)
            shown = place is not None and code is not None
            seen = last_seen(memory, people, facts.root) if shown else None
            try:
                device = "" if code is None else self.connector.device
                ask = Login(identity.user, signature, code, ticket, seen, device)
                welcome = connection.call(ask, Welcome)
            except BehindError as error:
                error.hint = RESTORED
                raise
            self.connector.welcomed(welcome, people)
            context = TreeContext(connection, identity, memory, people)
            if self._accepts_key_log:
                people.accept_older_log(context.questions, welcome.log)
            else:
                people.check_log_head(context.questions, welcome.log, known)
            tree = Tree(context, open_root(context, welcome.tree, expected=facts.root, mark=mark))
            if memory.kept:
                folder, seed = self.connector.profile.listings, identity.signing.seed
                context.stored_listings = StoredListings(folder, seed)
            undo.pop_all()
            return Session(tree)


def _ended() -> LoginRefused:
    return LoginRefused(
        "The connection was lost, and the session has ended.",
        hint="Give the same command again; it asks for a one-time password.",
    )
