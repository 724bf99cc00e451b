"""The secret of a URL, and all that is derived from it: of public links and of request links.

    base             = secret, or with a password:
                       HKDF(secret ‖ Argon2id(password, salt), "", label of the password)
    salt             = HKDF-Expand(secret, label of the salt, 16)
    id               = HKDF-Expand(secret, label of the id, 16)
    access           = HKDF-Expand(secret, label of access, 16)
    proof            = HKDF-Expand(base, label of the proof, 32)
    key ‖ commitment = HKDF-Expand(base, label of the key, 64)
    access hash      = SHA-256(label of the access hash ‖ id ‖ access)
    proof hash       = SHA-256(label of the proof hash ‖ id ‖ proof)

The server has the id and the two hashes. `access` shows that a person has the URL, `proof` that the
person has the password, too. So only people with the URL can lock it with wrong passwords, not a
person who saw its id in the log of a proxy.

The first bit of the secret says whether there is a password, so that a program asks for it without
a question to the server: the server answers a wrong proof like an unknown id.

The key seals one value, with a nonce of zeros: a client draws a new secret for each. The commitment
keeps anybody from making one sealed value that opens differently under two keys.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, ClassVar, Self

from fsproto import crypto
from fsproto.errors import UsageError
from fsproto.limits import MAX_PUBLIC_LINK_PASSWORD
from fsproto.types import Hash
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.types import Random

SECRET_SIZE = 32
LINK_ID_SIZE = 16
ACCESS_SIZE = 16
PROOF_SIZE = 32
_SALT_SIZE = 16
_GUARDED = 0x80
_BLANKS = " \t\n\r"
_PASSES, _LANES, _MEMORY_KIB = 3, 4, 64 * 1024
_NONCE = bytes(crypto.NONCE_SIZE)


class SecretLabels(Value, frozen=True):
    """The labels of one kind of URL, so that no value of one kind is one of another kind."""

    id: bytes
    access: bytes
    salt: bytes
    password: bytes
    proof: bytes
    key: bytes
    access_hash: bytes
    proof_hash: bytes


class UrlSecret(Value, frozen=True):
    """The 32 secret bytes in the fragment of a URL."""

    secret: bytes
    labels: ClassVar[SecretLabels]

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_SIZE:
            raise ValueError("the secret of a URL has 32 bytes")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    @classmethod
    def new(cls, *, guarded: bool, random: Random) -> Self:
        """Draw a secret; `guarded`: there is a password."""
        drawn = random(SECRET_SIZE)
        first = drawn[0] | _GUARDED if guarded else drawn[0] & ~_GUARDED
        return cls(bytes([first]) + drawn[1:])

    @property
    def guarded(self) -> bool:
        """Whether there is a password."""
        return bool(self.secret[0] & _GUARDED)

    @property
    def id(self) -> bytes:
        """The id by which the server knows the URL (16 bytes)."""
        return crypto.hkdf_expand(self.secret, self.labels.id, LINK_ID_SIZE)

    def base(self, password: str) -> bytes:
        """Return the base of the keys (32 bytes); `password` is used only if there is one.

        `UsageError` for a password that no URL has. Argon2id takes a part of a second and 64 MiB.
        """
        if not self.guarded:
            return self.secret
        slow = crypto.argon2id(
            clean_password(password),
            salt=crypto.hkdf_expand(self.secret, self.labels.salt, _SALT_SIZE),
            passes=_PASSES,
            lanes=_LANES,
            memory_kib=_MEMORY_KIB,
        )
        return crypto.hkdf(self.secret + slow, salt=b"", info=self.labels.password)

    def derived(self, base: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        """Return id, access, proof, key and commitment, for a base of the keys."""
        both = crypto.hkdf_expand(base, self.labels.key, 2 * crypto.KEY_SIZE)
        return (
            self.id,
            crypto.hkdf_expand(self.secret, self.labels.access, ACCESS_SIZE),
            crypto.hkdf_expand(base, self.labels.proof, PROOF_SIZE),
            both[: crypto.KEY_SIZE],
            both[crypto.KEY_SIZE :],
        )


class UrlKeys(Value, frozen=True):
    """The derived values of one URL."""

    id: bytes
    """16 bytes by which the server knows the URL."""
    access: bytes
    """16 bytes that show that a person has the URL."""
    proof: bytes
    """32 bytes that show that a person has the password, too."""
    key: bytes
    """32 bytes that open the description."""
    commitment: bytes
    """32 bytes that commit to the key."""
    labels: ClassVar[SecretLabels]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"

    @property
    def shown(self) -> bytes:
        """What a client sends to the server (48 bytes)."""
        return self.access + self.proof

    @property
    def access_hash(self) -> Hash:
        """The hash of `access` (32 bytes), which the server stores."""
        return access_hash(self.labels, self.id, self.access)

    @property
    def proof_hash(self) -> Hash:
        """The hash of the proof (32 bytes), which the server stores."""
        return proof_hash(self.labels, self.id, self.proof)

    def seal(self, filled: bytes, binding: bytes) -> bytes:
        """Seal the one value that the key ever seals, behind the commitment."""
        return self.commitment + crypto.Aead(self.key).seal(_NONCE, filled, binding)

    def open(self, sealed: bytes, binding: bytes) -> bytes:
        """Open the sealed value; `CryptoError` if it is another one."""
        commitment, rest = sealed[: crypto.KEY_SIZE], sealed[crypto.KEY_SIZE :]
        if not crypto.equal(commitment, self.commitment):
            raise crypto.CryptoError("another key")
        try:
            return crypto.Aead(self.key).open(_NONCE, rest, binding)
        except ValueError:
            raise crypto.CryptoError("too short") from None


def access_hash(labels: SecretLabels, of: bytes, access: bytes) -> Hash:
    """Return the hash with which the server compares the `access` of an id."""
    return Hash(crypto.sha256(labels.access_hash, of, access))


def proof_hash(labels: SecretLabels, of: bytes, proof: bytes) -> Hash:
    """Return the hash with which the server compares a proof of an id."""
    return Hash(crypto.sha256(labels.proof_hash, of, proof))


def clean_password(password: str) -> bytes:
    """Return a password as Argon2id gets it; `UsageError` if no URL can have it.

    Blanks, tabs and line ends at both ends do not count: they come from copying.
    """
    try:
        cleaned = unicodedata.normalize("NFC", password).strip(_BLANKS).encode()
    except UnicodeEncodeError:
        raise UsageError("The password contains an invalid character.") from None
    if not cleaned:
        raise UsageError("The password is empty.")
    if len(cleaned) > MAX_PUBLIC_LINK_PASSWORD:
        raise UsageError(f"The password is longer than {MAX_PUBLIC_LINK_PASSWORD} bytes of UTF-8.")
    return cleaned
