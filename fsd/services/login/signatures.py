"""Whether a login attempt is signed by the account's identity key or recovery phrase.

For a name that no user has, the check takes as long and fails.
"""

from __future__ import annotations

from sqlalchemy.orm import Session as Db

from fsd.services.login import key_backup
from fsd.services.login.attempts import Attempt
from fsd.services.login.identities import signed_by
from fsd.store import models
from fsd.store.engine import Database
from fsd.store.repos import users
from fsproto import crypto, labels
from fsproto.messages.account import Enroll, Login, Recover
from fsproto.types import Random

_FORMER = 1 + 8
"""Keys of an account, the newest first, that a refused login is compared with."""


class LoginSignatures:
    """Checks signatures of login attempts over the channel id (32 bytes)."""

    def __init__(self, database: Database, random: Random) -> None:
        self._database = database
        self._decoy_key = crypto.SigningKey(random(crypto.ED25519_SIZE)).public

    def by_identity(
        self, a_try: Attempt, ask: Login | Enroll, label: bytes, channel_id: bytes
    ) -> bool:
        """Return whether an attempt is signed by the account's current identity key."""
        with self._database.read() as db:
            _, bundle = named(db, a_try)
        return self.by_bundle(bundle, ask, label, channel_id)

    def by_phrase(self, a_try: Attempt, ask: Recover, channel_id: bytes) -> bool:
        """Return whether an attempt is signed by the recovery phrase of the account's backup."""
        with self._database.read() as db:
            backup = key_backup.find(db, users.by_name(db, a_try.user))
        key = backup.recovery_key if backup else self._decoy_key
        signed = signed_by(key, ask.signature, labels.SIGN_RECOVER, channel_id, ask.user)
        return signed and backup is not None

    def replaced_ms(self, a_try: Attempt, ask: Login, channel_id: bytes) -> int | None:
        """Return when the keys that signed an attempt were replaced; None if they were not."""
        with self._database.read() as db:
            user = users.by_name(db, a_try.user)
            newest, *former = users.latest_bundles(db, user.id, _FORMER) if user else [None]
        for bundle in former:
            if self.by_bundle(bundle, ask, labels.SIGN_LOGIN, channel_id):
                return newest.created_ms if newest else None
        return None

    def by_bundle(
        self, bundle: models.Bundle | None, ask: Login | Enroll, label: bytes, channel_id: bytes
    ) -> bool:
        """Return whether these keys signed an attempt; without keys it takes as long."""
        key = bundle.ed25519 if bundle else self._decoy_key
        return signed_by(key, ask.signature, label, channel_id, ask.user) and bundle is not None


def named(db: Db, a_try: Attempt) -> tuple[models.User | None, models.Bundle | None]:
    """Return the user that an attempt names, and the user's keys; None for each that is missing."""
    user = users.by_name(db, a_try.user)
    return user, users.bundle(db, user.id) if user else None
