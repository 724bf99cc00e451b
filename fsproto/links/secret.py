"""The secret of a public link, and all that is derived from it.

    base             = secret, or with a password:
                       HKDF(secret ‖ Argon2id(password, salt), "", "fs/2 public link password")
    salt             = HKDF-Expand(secret, "fs/2 public link salt", 16)
    link id          = HKDF-Expand(secret, "fs/2 public link id", 16)
    access           = HKDF-Expand(secret, "fs/2 public link access", 16)
    proof            = HKDF-Expand(base, "fs/2 public link proof", 32)
    key ‖ commitment = HKDF-Expand(base, "fs/2 public link key", 64)
    access hash      = SHA-256("fs/2 stored link access" ‖ link id ‖ access)
    proof hash       = SHA-256("fs/2 stored link proof" ‖ link id ‖ proof)

The server has the link id and the two hashes. `access` shows that a receiver has the URL, `proof`
that the receiver has the password, too. So only people with the URL can lock a link with wrong
passwords, not a person who saw its id in the log of a proxy.

The first bit of the secret says whether the link has a password, so that a program asks for it
without a question to the server: the server answers a wrong proof like an unknown link.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import UsageError
from fsproto.limits import MAX_PUBLIC_LINK_PASSWORD
from fsproto.types import Hash, LinkId
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


class LinkSecret(Value, frozen=True):
    """The 32 bytes in the fragment of a public link's URL."""

    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_SIZE:
            raise ValueError("the secret of a public link has 32 bytes")

    def __repr__(self) -> str:
        return "LinkSecret(…)"

    @classmethod
    def new(cls, *, guarded: bool, random: Random) -> LinkSecret:
        """Draw a secret; `guarded`: the link has a password."""
        drawn = random(SECRET_SIZE)
        first = drawn[0] | _GUARDED if guarded else drawn[0] & ~_GUARDED
        return cls(bytes([first]) + drawn[1:])

    @property
    def guarded(self) -> bool:
        """Whether the link has a password."""
        return bool(self.secret[0] & _GUARDED)

    @property
    def link(self) -> LinkId:
        """The id by which the server knows the link."""
        return LinkId(crypto.hkdf_expand(self.secret, labels.PUBLIC_LINK_ID, LINK_ID_SIZE))

    def keys(self, password: str = "") -> LinkKeys:
        """Derive the keys of the link; `password` is used only if the link has one.

        `UsageError` for a password that no link has. Argon2id takes a part of a second and 64 MiB.
        """
        base = self._stretched(clean_password(password)) if self.guarded else self.secret
        both = crypto.hkdf_expand(base, labels.PUBLIC_LINK_KEY, 2 * crypto.KEY_SIZE)
        return LinkKeys(
            self.link,
            crypto.hkdf_expand(self.secret, labels.PUBLIC_LINK_ACCESS, ACCESS_SIZE),
            crypto.hkdf_expand(base, labels.PUBLIC_LINK_PROOF, PROOF_SIZE),
            both[: crypto.KEY_SIZE],
            both[crypto.KEY_SIZE :],
        )

    def _stretched(self, password: bytes) -> bytes:
        salt = crypto.hkdf_expand(self.secret, labels.PUBLIC_LINK_SALT, _SALT_SIZE)
        slow = crypto.argon2id(
            password, salt=salt, passes=_PASSES, lanes=_LANES, memory_kib=_MEMORY_KIB
        )
        return crypto.hkdf(self.secret + slow, salt=b"", info=labels.PUBLIC_LINK_PASSWORD)


class LinkKeys(Value, frozen=True):
    """The derived values of one public link."""

    link: LinkId
    access: bytes
    """16 bytes by which the receiver shows to have the URL."""
    proof: bytes
    """32 bytes by which the receiver shows to have the password, too."""
    key: bytes
    """32 bytes that open the description."""
    commitment: bytes
    """32 bytes that commit to the key."""

    def __repr__(self) -> str:
        return f"LinkKeys(link={self.link!r})"

    @property
    def shown(self) -> bytes:
        """What the receiver sends to the server (48 bytes)."""
        return self.access + self.proof

    @property
    def access_hash(self) -> Hash:
        """The hash of `access` (32 bytes), which the server stores."""
        return access_hash(self.link, self.access)

    @property
    def proof_hash(self) -> Hash:
        """The hash of the proof (32 bytes), which the server stores."""
        return proof_hash(self.link, self.proof)


def access_hash(link: LinkId, access: bytes) -> Hash:
    """Return the hash with which the server compares `access`."""
    return Hash(crypto.sha256(labels.HASH_LINK_ACCESS, link, access))


def proof_hash(link: LinkId, proof: bytes) -> Hash:
    """Return the hash with which the server compares a proof."""
    return Hash(crypto.sha256(labels.HASH_LINK_PROOF, link, proof))


def clean_password(password: str) -> bytes:
    """Return a password as Argon2id gets it; `UsageError` if no link can have it.

    Blanks, tabs and line ends at both ends do not count: they come from copying.
    """
    try:
        cleaned = unicodedata.normalize("NFC", password).strip(_BLANKS).encode()
    except UnicodeEncodeError:
        raise UsageError("The password has a character in it that is not valid text.") from None
    if not cleaned:
        raise UsageError("The password is empty.")
    if len(cleaned) > MAX_PUBLIC_LINK_PASSWORD:
        raise UsageError(f"The password is longer than {MAX_PUBLIC_LINK_PASSWORD} bytes of UTF-8.")
    return cleaned
