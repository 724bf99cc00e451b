"""Recovery codes, for users without their authenticator app: made, read as typed, hashed.

A code has 120 random bits, so it cannot be guessed, and is stored under an approved hash (NIST SP
800-63B, 5.1.2.2: from 112 bits on neither a salt nor a slow hash is required). The database ensures
that each code works once (`repos.recovery`).
"""

from __future__ import annotations

from fsproto import crypto, labels
from fsproto.types import Random

COUNT = 10
"""How many a person has at once."""
LOW = 3
"""At this many codes left or fewer, the user gets a notice."""
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's Base32: nothing in it is easily taken for something else."""
LENGTH = 24
_GROUP = 4
_MISREAD = str.maketrans("OIL", "011")


def new_codes(random: Random) -> list[str]:
    """Return new codes as people write them down: `XXXX-XXXX-XXXX-XXXX-XXXX-XXXX`."""
    return [_shown(random(LENGTH)) for _ in range(COUNT)]


def _shown(drawn: bytes) -> str:
    code = "".join(ALPHABET[byte % len(ALPHABET)] for byte in drawn)  # 256 is a multiple of 32
    return "-".join(code[start : start + _GROUP] for start in range(0, LENGTH, _GROUP))


def canonical(typed: str) -> str | None:
    """Return a code, blanks and separators gone, as it is hashed; None if it cannot be one."""
    code = typed.upper().translate(_MISREAD)
    return code if len(code) == LENGTH and all(c in ALPHABET for c in code) else None


def hashes(user_id: int, codes: list[str]) -> list[bytes]:
    """Return the hashes of codes that were just made."""
    return [hashed(user_id, code.replace("-", "")) for code in codes]


def hashed(user_id: int, code: str) -> bytes:
    """Return the hash that a user's canonical code is kept and found by (32 bytes)."""
    return crypto.sha256(labels.SERVER_RECOVERY_CODE, user_id.to_bytes(8, "big"), code.encode())
