"""Sessions of users: starting one, and the answer that welcomes its client."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session as Db

from fsd.policies import LoginPolicy
from fsd.principal import Principal
from fsd.services.files.key_log import KeyLogWriter
from fsd.services.login.attempts import (
    Attempt,
    RefusalReason,
    RefusedAttempt,
    session_ends_ms,
)
from fsd.store import models
from fsd.store.repos import drops, logins, nodes, sessions, shares, users
from fsproto import crypto
from fsproto.limits import TICKET_SIZE
from fsproto.messages.account import Notice, TreeRoot, Welcome
from fsproto.signed import Signed
from fsproto.types import Random

TOUCH_MS = 10 * 60_000
"""Accuracy of the time at which a session was last resumed."""
NOTE_WITHIN_S = 1.0
"""How long a login waits for other changes to end before it leaves the use unnoted."""

Entered = tuple[Principal, Welcome]


class SessionStarter:
    """Starts sessions, and makes the answers to successful logins."""

    def __init__(
        self,
        log: KeyLogWriter,
        policy: LoginPolicy,
        *,
        admit: Callable[[int], None],
        now_ms: Callable[[], int],
        random: Random,
    ) -> None:
        self._admit = admit
        self._log = log
        self._policy = policy
        self._now_ms = now_ms
        self._random = random

    def start(
        self, db: Db, user: models.User, ed25519: bytes, a_try: Attempt, *, enrols: bool = False
    ) -> Entered:
        """Start a session of a user with this identity key (32 bytes); return its welcome.

        The client of an enrolment has no notices yet.
        """
        ticket = self._random(TICKET_SIZE)
        session = new_session(db, user, ed25519, a_try, self._policy, ticket=ticket)
        told = [] if enrols else new_notices(db, session, a_try.at_ms)
        return self.welcome(db, user, session, ticket, told)

    def welcome(
        self,
        db: Db,
        user: models.User,
        session: models.Session,
        ticket: bytes | None = None,
        told: list[Notice] | None = None,
    ) -> Entered:
        """Return the user's principal and the answer to a login; the ticket only of a new one.

        `OutOfSpaceError` if the user has too many connections to resume a session.
        """
        if ticket is None:
            self._admit(user.id)
        tree = users.tree(db, user.id)
        if tree is None:
            raise RefusedAttempt(RefusalReason.NOT_ENROLLED)
        (manifest,) = nodes.manifests(db, [tree.root_id])
        state = nodes.state(db, tree.root_id)
        root = TreeRoot(Signed(tree.payload, tree.signature), manifest, nodes.signed(state))
        who = Principal(user.id, user.name, session.ed25519, session.id, session.address)
        now_ms = self._now_ms()
        head = self._log.head(db)
        return who, Welcome(user.name, ticket, session.expires_ms, now_ms, root, head, told or [])


def new_session(
    db: Db,
    user: models.User,
    ed25519: bytes,
    a_try: Attempt,
    policy: LoginPolicy,
    *,
    ticket: bytes,
    ssh_key: bytes | None = None,
) -> models.Session:
    """Store a new session; if the user has too many, the longest unused one ends.

    `ed25519` is the user's identity key (32 bytes), `ticket` the secret that resumes the session,
    `ssh_key` the hash of the SSH key that it is bound to (None: it was started natively).
    """
    sessions.make_room(db, user.id, policy.most_sessions, a_try.at_ms)
    session = models.Session(
        ticket_hash=crypto.sha256(ticket),
        user_id=user.id,
        ed25519=ed25519,
        created_ms=a_try.at_ms,
        expires_ms=session_ends_ms(user, a_try.at_ms, policy),
        used_ms=a_try.at_ms,
        address=a_try.address,
        ssh_key=ssh_key,
        device="".join(filter(str.isprintable, a_try.device)),
    )
    db.add(session)
    db.flush()
    return session


def new_notices(db: Db, session: models.Session, now_ms: int) -> list[Notice]:
    """Return the notices for a session, which gets each only once.

    The number of a notice about drops is how many wait: a sender may have replaced or removed
    some. If none is left, there is no such notice.
    """
    told = []
    new = logins.notices(db, session.user_id, session.id, now_ms)
    for each in new:
        count = each.count
        if each.kind == logins.DROPPED:
            count, _ = drops.load(db, session.user_id)
            if not count:
                continue
        if each.kind == logins.SHARED and not shares.has_any(db, session.user_id):
            continue  # all of it was taken away again
        told.append(Notice(each.kind, each.at_ms, count, each.address))
    logins.note_told(db, session.user_id, session.id, [each.kind for each in new], now_ms)
    return told
