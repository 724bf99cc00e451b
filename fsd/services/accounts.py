"""Accounts as the people who have them use them: enrolling, logging in, logging out.

Whatever is wrong with a login, the answer is `LoginRefused` and nothing else; the door sends it
at a fixed time after it was asked, so that neither words nor time tell an unknown user from a
wrong code (see `doors.native`).
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session as Db

from fsd.audit.events import Event
from fsd.audit.log import AuditLog
from fsd.auth.otp import OtpSetting, matching_step, new_secret
from fsd.auth.vault import Vault
from fsd.store import models
from fsd.store.engine import Database
from fsd.store.repos import nodes, sessions, users
from fsproto import __version__, crypto, labels
from fsproto.errors import FsError, InvalidNameError, LoginRefused, SecurityError
from fsproto.keys.grants import RootGrant
from fsproto.keys.identity import VerifiedBundle, verify_bundle
from fsproto.messages.account import Enroll, Login, Status, TreeRoot, Welcome
from fsproto.names import clean_user
from fsproto.sealed.folder import verify_state
from fsproto.sealed.manifest import Kind, verify_author
from fsproto.sealed.prefixtree import PrefixTree
from fsproto.sealed.signed import Signed, open_signed
from fsproto.types import NO_NODE, Random

log = logging.getLogger(__name__)

TICKET_SIZE = 32
FAILURE_WINDOW_MS = 60_000


@dataclass(frozen=True)
class LoginPolicy:
    """What the operator decides about logins."""

    session_ms: int = 12 * 3600 * 1000
    """How long a session lasts."""
    tries_a_minute: int = 5
    """Refused logins of one name from one address after which all are refused for a minute."""


@dataclass(frozen=True)
class Principal:
    """Who is speaking on a connection that logged in."""

    user_id: int
    user: str
    ed25519: bytes
    """The identity key, 32 bytes."""
    session_id: int


_Entered = tuple[Principal, Welcome]


class _Throttled(LoginRefused):
    """Too many were refused; this one was not even looked at."""


@dataclass(frozen=True)
class _Try:
    """One try to log in."""

    user: str
    """The name, or what stands for all that nobody can have."""
    address: str
    at_ms: int

    @property
    def network(self) -> str:
        """What refusals count against: of IPv6 the 64 bits that one guesser has at least."""
        try:
            found = ipaddress.ip_address(self.address)
        except ValueError:
            return self.address
        if isinstance(found, ipaddress.IPv4Address):
            return str(found)
        return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found), 64), strict=False))

    @property
    def shown(self) -> dict[str, str]:
        """What the log says of it."""
        return {"user": self.user, "address": self.address}


class Accounts:
    """Enrolling and logging in; all calls block, none knows of sockets."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        audit: AuditLog,
        policy: LoginPolicy,
        now_ms: Callable[[], int],
        random: Random,
    ) -> None:
        """Take the parts; makes the decoy that stands in for users who do not exist."""
        self._database = database
        self._vault = vault
        self._audit = audit
        self._policy = policy
        self._now_ms = now_ms
        self._random = random
        self._decoy = OtpSetting(new_secret())
        self._decoy_key = crypto.SigningKey(random(crypto.ED25519_SIZE)).public

    def login(self, ask: Login, channel_id: bytes, address: str) -> tuple[Principal, Welcome]:
        """Let somebody in with a one-time password or a ticket, and always the identity key."""
        a_try = _Try(_possible(ask.user), address, self._now_ms())
        # Only a code changes something; a ticket, which nobody can guess, need not wait in line.
        attempt = self._look_up if ask.otp is None else self._attempt
        return attempt(a_try, lambda db: self._login(db, ask, channel_id, a_try))

    def enroll(self, ask: Enroll, channel_id: bytes, address: str) -> tuple[Principal, Welcome]:
        """Register a person's first keys and their empty tree, with a one-time password."""
        a_try = _Try(_possible(ask.user), address, self._now_ms())
        return self._attempt(
            a_try, lambda db: self._enroll(db, ask, channel_id, a_try), Event.ENROLLED
        )

    def logout(self, who: Principal) -> None:
        """End the session for good."""
        with self._database.write() as db:
            sessions.end(db, who.session_id)
            self._audit.record(db, Event.LOGOUT, actor=who.user, subject=who.user)
        log.info("logged out", extra={"user": who.user})

    def still_in(self, who: Principal) -> bool:
        """Tell whether the session of a connection still holds, and its user is not disabled."""
        with self._database.read() as db:
            user = db.get(models.User, who.user_id)
            holds = sessions.alive(db, who.session_id, self._now_ms())
            return user is not None and not user.disabled and holds

    def status(self, who: Principal) -> Status:
        """Return what the server says of itself and of the account."""
        with self._database.read() as db:
            session = db.get(models.Session, who.session_id)
            kinds, stored = users.usage(db, who.user_id)
            return Status(
                server_version=__version__,
                expires_ms=session.expires_ms if session else 0,
                files=kinds.get(Kind.FILE, 0),
                folders=kinds.get(Kind.FOLDER, 0),
                stored_bytes=stored,
            )

    # --- one try

    def _attempt(
        self, a_try: _Try, enter: Callable[[Db], _Entered], event: Event = Event.LOGIN
    ) -> _Entered:
        """Let one try decide, in a transaction that counts it against the next if it fails.

        Tries for one name from one address pass here one after the other, so that a thousand at
        once are no more than a thousand in a row.
        """
        refused: FsError | None = None
        with self._database.read() as db:
            self._check_throttle(db, a_try)  # a flood of them does not get near those who write
        with self._database.write() as db:
            sessions.hold_failures(db, a_try.user, a_try.network)
            self._check_throttle(db, a_try)
            try:
                with db.begin_nested():
                    entered = enter(db)
                self._record(db, event, a_try)
            except (LoginRefused, SecurityError) as error:
                refused = error
                self._log_refusal(a_try, error)
                self._record(db, Event.LOGIN_REFUSED, a_try)
                sessions.note_failure(db, a_try.user, a_try.network, a_try.at_ms)
        if refused is not None:
            raise refused
        log.info("logged in", extra=a_try.shown)
        return entered

    def _record(self, db: Db, event: Event, a_try: _Try) -> None:
        user = a_try.user
        self._audit.record(db, event, actor=user, subject=user, address=a_try.address)

    def _look_up(self, a_try: _Try, enter: Callable[[Db], _Entered]) -> _Entered:
        """Let a ticket decide, which changes nothing.

        It is 256 random bits and of no use without the identity key, so it cannot be guessed: such
        tries are neither counted nor held up, or whoever guesses codes could end a session.
        """
        try:
            with self._database.read() as db:
                entered = enter(db)
        except (LoginRefused, SecurityError) as error:
            self._log_refusal(a_try, error)
            raise
        log.info("logged in", extra=a_try.shown)
        return entered

    def _check_throttle(self, db: Db, a_try: _Try) -> None:
        since = a_try.at_ms - FAILURE_WINDOW_MS
        if sessions.failures(db, a_try.user, a_try.network, since) >= self._policy.tries_a_minute:
            log.warning("login throttled", extra=a_try.shown)
            raise _Throttled

    def _log_refusal(self, a_try: _Try, error: FsError) -> None:
        # Damage in our own records must not look like somebody's wrong code.
        reason = f": {error.sentence}" if isinstance(error, SecurityError) else ""
        log.warning("login refused%s", reason, extra=a_try.shown)

    def _login(self, db: Db, ask: Login, channel_id: bytes, a_try: _Try) -> _Entered:
        now = a_try.at_ms
        user = users.by_name(db, a_try.user)
        bundle = users.bundle(db, user.id) if user else None
        key = bundle.ed25519 if bundle else self._decoy_key
        signed = _signed_by(key, ask.signature, labels.SIGN_LOGIN, channel_id, ask.user)
        step = self._step(user, ask.otp or "", now)
        session = None
        if ask.ticket is not None:
            session = sessions.by_ticket(db, crypto.sha256(ask.ticket), now)
        if user is None or bundle is None or user.disabled or not signed:
            raise LoginRefused
        if session is not None and ask.otp is None:
            if session.user_id != user.id or session.ed25519 != bundle.ed25519:
                raise LoginRefused
            ticket = None
        elif ask.ticket is None and step is not None and users.use_step(db, user.id, step, now):
            session, ticket = self._new_session(db, user.id, bundle.ed25519, a_try)
        else:
            raise LoginRefused
        return self._welcome(db, user, session, ticket)

    def _enroll(self, db: Db, ask: Enroll, channel_id: bytes, a_try: _Try) -> _Entered:
        now = a_try.at_ms
        bundle = _checked_bundle(ask)
        key = bundle.body.ed25519
        if not _signed_by(key, ask.signature, labels.SIGN_ENROLL, channel_id, ask.user):
            raise LoginRefused
        user = users.by_name(db, a_try.user)
        step = self._step(user, ask.otp, now)
        if user is None or user.disabled or step is None:
            raise LoginRefused
        if not users.use_step(db, user.id, step, now):
            raise LoginRefused
        known = users.bundle(db, user.id)
        if known is None:
            _register(db, user.id, bundle, now)
            _plant(db, user, ask.tree, key)
        elif known.payload != bundle.signed.payload:
            raise LoginRefused
        # The very same keys again: the answer to their enrolment was lost on its way.
        session, ticket = self._new_session(db, user.id, key, a_try)
        return self._welcome(db, user, session, ticket)

    def _step(self, user: models.User | None, code: str, now_ms: int) -> int | None:
        """Match a code; for a user who does not exist the same work is done on a decoy."""
        if user is None:
            matching_step(self._decoy, code, now_ms)
            return None
        secret = self._vault.open(user.otp_secret, user.id)
        setting = OtpSetting(secret, user.otp_digits, user.otp_period, user.otp_algorithm)
        return matching_step(setting, code, now_ms)

    def _new_session(
        self, db: Db, user_id: int, ed25519: bytes, a_try: _Try
    ) -> tuple[models.Session, bytes]:
        ticket = self._random(TICKET_SIZE)
        session = models.Session(
            ticket_hash=crypto.sha256(ticket),
            user_id=user_id,
            ed25519=ed25519,
            created_ms=a_try.at_ms,
            expires_ms=a_try.at_ms + self._policy.session_ms,
            address=a_try.address,
        )
        db.add(session)
        db.flush()
        return session, ticket

    def _welcome(
        self, db: Db, user: models.User, session: models.Session, ticket: bytes | None
    ) -> _Entered:
        tree = users.tree(db, user.id)
        if tree is None:
            raise LoginRefused
        (manifest,) = nodes.manifests(db, [tree.root_id])
        state = nodes.state(db, tree.root_id)
        root = TreeRoot(Signed(tree.payload, tree.signature), manifest, nodes.signed(state))
        who = Principal(user.id, user.name, session.ed25519, session.id)
        return who, Welcome(user.name, ticket, session.expires_ms, self._now_ms(), root)


def _possible(user: str) -> str:
    """Return the name if there could be such a user, else one that nobody can have.

    What a stranger sends as a name goes no further: not into a query, a log or the table of
    refused logins, which an endless name would fill and a NUL would break.
    """
    try:
        return clean_user(user)
    except InvalidNameError:
        return "?"


def _signed_by(key: bytes, signature: bytes, label: bytes, channel_id: bytes, user: str) -> bool:
    try:
        crypto.verify(key, signature, label, channel_id, user.encode())
    except (crypto.CryptoError, ValueError):  # ValueError: a name that is no UTF-8
        return False
    return True


def _checked_bundle(ask: Enroll) -> VerifiedBundle:
    try:
        bundle = verify_bundle(ask.bundle, ask.user)
    except FsError:
        raise LoginRefused from None
    if bundle.body.version != 1:
        raise LoginRefused
    return bundle


def _register(db: Db, user_id: int, bundle: VerifiedBundle, now_ms: int) -> None:
    db.add(
        models.Bundle(
            user_id=user_id,
            version=bundle.body.version,
            payload=bundle.signed.payload,
            signature=bundle.signed.signature,
            ed25519=bundle.body.ed25519,
            created_ms=now_ms,
        )
    )


def _plant(db: Db, user: models.User, tree: TreeRoot, key: bytes) -> None:
    """Store a person's empty tree; `SecurityError` if its parts do not fit together."""
    grant = open_signed(tree.grant, RootGrant, labels.SIGN_ROOT_GRANT, key)
    manifest = verify_author(tree.manifest, user.name, key)
    state = verify_state(tree.state, manifest.body.node, user.name, key)
    body = manifest.body
    fits = (
        grant.node == body.node,
        grant.user == user.name,
        body.parent == NO_NODE,
        body.kind is Kind.FOLDER,
        body.version == state.body.version == 1,
        state.body.root == PrefixTree().root,
        nodes.get(db, body.node) is None,
    )
    if not all(fits):
        raise LoginRefused
    nodes.insert_all(db, user.id, [manifest])
    nodes.put_states(db, [state])
    payload, signature = tree.grant.payload, tree.grant.signature
    db.add(models.Tree(user_id=user.id, root_id=body.node, payload=payload, signature=signature))
