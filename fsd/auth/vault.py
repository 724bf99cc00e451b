"""Sealing of secrets at rest under the server's master key."""

from __future__ import annotations

from fsproto import crypto, labels
from fsproto.errors import IntegrityError
from fsproto.types import Random


class Vault:
    """Seals secrets: nonce 12 ‖ AES-256-GCM.

    The id of the user is authenticated with a one-time password secret, the name with a key.
    """

    def __init__(self, master_key: bytes, random: Random) -> None:
        """Initialise with the master key, 32 bytes."""
        self._aead = crypto.Aead(master_key)
        self._master_key = master_key
        self._random = random

    def seal(self, secret: str, user_id: int) -> bytes:
        """Seal a user's secret."""
        nonce = self._random(crypto.NONCE_SIZE)
        return nonce + self._aead.seal(nonce, secret.encode(), _binding(user_id))

    def derived(self, label: bytes) -> bytes:
        """Return a key (32 bytes) for the purpose that `label` names."""
        return crypto.hkdf_expand(self._master_key, label)

    def new_key(self) -> bytes:
        """Return a new random key, 32 bytes, to be sealed by this vault."""
        return self._random(crypto.KEY_SIZE)

    def open(self, sealed: bytes, user_id: int) -> str:
        """Return a user's secret; `IntegrityError` if it was sealed for another user or key."""
        nonce, body = sealed[: crypto.NONCE_SIZE], sealed[crypto.NONCE_SIZE :]
        try:
            return self._aead.open(nonce, body, _binding(user_id)).decode()
        except (crypto.CryptoError, ValueError):  # ValueError: not even a nonce
            raise IntegrityError(
                "A one-time password secret in the database does not open with this master key.",
                hint="Restore the server's master.key; all nodes on one database share it.",
            ) from None

    def seal_key(self, name: str, key: bytes) -> bytes:
        """Seal a key of the server under its name."""
        nonce = self._random(crypto.NONCE_SIZE)
        return nonce + self._aead.seal(nonce, key, labels.SERVER_KEY + name.encode())

    def open_key(self, name: str, sealed: bytes) -> bytes:
        """Return a key of the server; `IntegrityError` if another name or master key sealed it."""
        nonce, body = sealed[: crypto.NONCE_SIZE], sealed[crypto.NONCE_SIZE :]
        try:
            return self._aead.open(nonce, body, labels.SERVER_KEY + name.encode())
        except (crypto.CryptoError, ValueError):
            raise IntegrityError(
                "A key of the server in the database does not open with this master key.",
                hint="Restore the server's master.key; all nodes on one database share it.",
            ) from None


def _binding(user_id: int) -> bytes:
    return labels.SERVER_OTP_SECRET + user_id.to_bytes(8, "big")
