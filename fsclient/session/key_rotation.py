"""Replacing one's keys: the new ones are on disk before the server hears of them.

If it is interrupted, nobody knows which of the two the server has; both are kept until a login has
shown it (`Keeper`), and the ones that lost are forgotten.
"""

from __future__ import annotations

import os

from fsclient.profile import Profile
from fsclient.session.login import Session
from fskit.clock import now_ms
from fsproto.keylog.entries import sign_rotation
from fsproto.keys.grants import grant_root
from fsproto.keys.identity import Identity
from fsproto.keys.key_file import seal_identity
from fsproto.messages.base import Done
from fsproto.messages.keylog import Rotate


def rotate(session: Session, profile: Profile, passphrase: str | None) -> Identity:
    """Make new keys, have the old ones sign them, and register them; return them."""
    old, at_ms = session.identity, now_ms()
    new = old.successor(at_ms, os.urandom)
    profile.keep_next_keyfile(seal_identity(new, passphrase, os.urandom))
    root = grant_root(session.tree.root.keyed, new, at_ms, os.urandom)
    signature = sign_rotation(old.signing, old.bundle.hash, new.bundle.hash)
    session.connection.call(Rotate(new.bundle.signed, signature, root), Done)
    profile.settle_keyfile(took_next=True)
    return new
