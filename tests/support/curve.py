"""Edwards25519 in the plainest form, to make signatures that no honest signer would make.

Affine coordinates and slow; for test vectors alone (RFC 8032 section 5.1).
"""

from __future__ import annotations

import hashlib

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, FIELD) % FIELD

Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def add(one: Point, other: Point) -> Point:
    """Return the sum of two points."""
    (x1, y1), (x2, y2) = one, other
    k = D * x1 * x2 * y1 * y2 % FIELD
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, FIELD) % FIELD
    return x, (y1 * y2 + x1 * x2) * pow(1 - k, -1, FIELD) % FIELD


def times(number: int, point: Point) -> Point:
    """Return a multiple of a point."""
    total = NEUTRAL
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def _with_y(y: int) -> Point:
    """Return the point with this y and an even x."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if x * x % FIELD != square:
        x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    if x * x % FIELD != square:
        raise ValueError("no point has this y")
    return (FIELD - x if x & 1 else x), y


BASE = _with_y(4 * pow(5, -1, FIELD) % FIELD)
TORSION = _with_y(0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826)
"""A point of order 8."""


def encoded(point: Point) -> bytes:
    """Return the 32 bytes of a point."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def scalar(number: int) -> bytes:
    """Return the 32 bytes of a number modulo the order of the base point."""
    return (number % ORDER).to_bytes(32, "little")


def secret_scalar(seed: bytes) -> int:
    """Return the secret scalar of a seed."""
    half = bytearray(hashlib.sha512(seed).digest()[:32])
    half[0] &= 248
    half[31] = half[31] & 127 | 64
    return int.from_bytes(half, "little")


def challenge(commitment: bytes, public: bytes, message: bytes) -> int:
    """Return k of a signature."""
    digest = hashlib.sha512(commitment + public + message).digest()
    return int.from_bytes(digest, "little") % ORDER
