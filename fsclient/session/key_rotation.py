"""Replacing the user's own keys: the new ones are on disk before the server receives them.

The same request gives the root of the tree a new key, so that everything below is due: the holder
of the old keys has the keys of the tree, too. If the answer is lost, the client does not know which
keys the server has. It keeps both until a login shows it (`SessionOpener`).
"""

from __future__ import annotations

import os
from collections.abc import Callable

from fsclient.profile import Profile
from fsclient.session.session import Session
from fsclient.tree.root import RenewedRoot, renewed_root
from fskit.clock import now_ms
from fsproto.errors import (
    ConflictError,
    LoginRefused,
    LoginRequired,
    NotAllowedError,
    UsageError,
)
from fsproto.keylog.entries import sign_rotation
from fsproto.keys.identity import Identity
from fsproto.keys.key_file import seal_identity
from fsproto.messages.base import Done
from fsproto.messages.keylog import Rotate

_TRIES = 5
"""Attempts, in case other commands of the same person change the root in between."""

Prepare = Callable[[Session, Identity], Callable[[str], None]]
"""Returns what registers the successor of a session's keys under a one-time password."""
WithCode = Callable[[Callable[[str], None]], None]
"""Calls a function with one-time passwords until one is accepted."""


def rotate(
    session: Session,
    profile: Profile,
    passphrase: str | None,
    with_code: WithCode,
    prepare: Prepare,
    *,
    renews: bool,
) -> Identity:
    """Make new keys, have the old ones sign them, and register them as prepared; return them.

    `renews` records in the profile that the whole tree must take new keys after that. Raises
    `LoginRefused` if no code is accepted, `NotAllowedError` if the server allows no further
    rotation now; the old keys stay then.
    """
    old = session.identity
    new = old.successor(now_ms(), os.urandom)
    profile.keep_next_keyfile(seal_identity(new, passphrase, os.urandom))
    if renews:
        profile.note_renewal(new.bundle.fingerprint)
    try:
        with_code(prepare(session, new))
    except (LoginRefused, LoginRequired, NotAllowedError, ConflictError, UsageError):
        profile.settle_keyfile(took_next=False)  # the server has said that it has the old ones
        raise
    profile.settle_keyfile(took_next=True)
    return new


def register(session: Session, new: Identity, code: str) -> None:
    """Register the successor of the session's keys, signed by these, under a one-time password.

    A code that the server has not consumed serves for the next try.
    """
    tree = session.tree
    for tries_left in reversed(range(_TRIES)):
        state = tree.view(tree.root.keyed, []).state
        keyed = tree.root.keyed.renewed(os.urandom)
        root = renewed_root(tree.root, keyed, state, new, session.people.log_head)
        try:
            send_rotation(session, new, root, code)
        except ConflictError:
            if not tries_left:
                raise
        else:
            return


def send_rotation(session: Session, new: Identity, root: RenewedRoot, code: str) -> None:
    """Send the successor of the session's keys; the server makes the parts that it has of it."""
    old, link = session.identity, session.connection
    signature = sign_rotation(old.signing, old.bundle.hash, new.bundle.hash)
    request = link.send(Rotate(code, new.bundle.signed, signature, root.sent))
    link.answer(request, Done, slow=True)
