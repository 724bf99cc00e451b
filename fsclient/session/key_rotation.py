"""Replacing the user's own keys: the new ones are on disk before the server receives them.

The same request gives the root of the tree a new key, so that everything below is due: the holder
of the old keys has the keys of the tree, too. If the answer is lost, it is not known which keys the
server has. The client keeps both until a login shows it (`SessionOpener`).
"""

from __future__ import annotations

import os
from collections.abc import Callable

from fsclient.profile import Profile
from fsclient.session.session import Session
from fsclient.tree.root import renewed_root
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
"""How often another command of the same person may change the root in between."""

WithCode = Callable[[Callable[[str], None]], None]
"""Calls a function with one-time passwords until one is accepted."""


def rotate(
    session: Session,
    profile: Profile,
    passphrase: str | None,
    with_code: WithCode,
    *,
    renews: bool,
) -> Identity:
    """Make new keys, have the old ones sign them, and register them; return them.

    `renews` notes in the profile that the whole tree is to take new keys after that. Raises
    `LoginRefused` if no code is accepted, `NotAllowedError` if the server allows no further
    rotation now; the old keys stay then.
    """
    old = session.identity
    new = old.successor(now_ms(), os.urandom)
    profile.keep_next_keyfile(seal_identity(new, passphrase, os.urandom))
    if renews:
        profile.note_renewal(new.bundle.fingerprint)
    try:
        with_code(lambda code: _register(session, new, code))
    except (LoginRefused, LoginRequired, NotAllowedError, ConflictError, UsageError):
        profile.settle_keyfile(took_next=False)  # the server has said that it has the old ones
        raise
    profile.settle_keyfile(took_next=True)
    return new


def _register(session: Session, new: Identity, code: str) -> None:
    """Send the new keys; a code that the server has not consumed serves for the next try."""
    tree, old = session.tree, session.identity
    signature = sign_rotation(old.signing, old.bundle.hash, new.bundle.hash)
    for tries_left in reversed(range(_TRIES)):
        state = tree.view(tree.root.keyed, []).state
        root = renewed_root(tree.root, state, new, session.people.log_head)
        try:
            session.connection.call(Rotate(code, new.bundle.signed, signature, root), Done)
        except ConflictError:
            if not tries_left:
                raise
        else:
            return
