"""Safety numbers: 60 digits by which two people check that each has the other's true keys.

    half   = Argon2id("fs/2 safety number" ‖ hash of the person's bundle,
             salt = first 16 bytes of SHA-256("fs/2 safety number" ‖ user),
             3 passes, 4 lanes, 64 MiB, 32 bytes)
    digits = for i = 0 … 5: bytes 5i … 5i + 4 of it, big-endian, mod 100,000, as five digits
    number = the digits of both people, the smaller half first

Each half depends on one person's keys alone. A server that shows a person false keys of another
one therefore needs keys that give exactly the 30 digits of the true keys, about 2^99 attempts of
Argon2id: two false bundles, one for each side, that only agree with each other do not help. The
digits cannot be confused with the words of a recovery phrase. Compare Signal's safety numbers.
"""

from __future__ import annotations

from fsproto import crypto, labels
from fsproto.keys.identity import VerifiedBundle
from fsproto.types import Hash

_PASSES, _LANES, _MEMORY_KIB = 3, 4, 64 * 1024
_SALT_SIZE = 16
_GROUP_BYTES = 5
_HALF_BYTES = 6 * _GROUP_BYTES


def safety_number(one: VerifiedBundle, other: VerifiedBundle) -> list[str]:
    """Return 12 groups of five digits; the order of the two people does not matter.

    Takes a few tenths of a second and 64 MiB of memory.
    """
    first, second = sorted(half_of(each.body.user, each.hash) for each in (one, other))
    return first + second


def half_of(user: str, bundle: Hash) -> list[str]:
    """Return the six groups of five digits of one person's bundle, given by its hash."""
    stretched = crypto.argon2id(
        labels.SAFETY_NUMBER + bundle,
        salt=crypto.sha256(labels.SAFETY_NUMBER, user.encode())[:_SALT_SIZE],
        passes=_PASSES,
        lanes=_LANES,
        memory_kib=_MEMORY_KIB,
    )
    chunks = (stretched[at : at + _GROUP_BYTES] for at in range(0, _HALF_BYTES, _GROUP_BYTES))
    return [f"{int.from_bytes(chunk, 'big') % 100_000:05}" for chunk in chunks]
