"""RSA keys that are stored with the tests and used again and again.

Making one takes a sixth of a second of CPU time, and each new person and each new server needs one.
Testing that the primes of a key are primes takes a tenth of a second each time that it is read; for
the keys of the pool this is left out.

The keys are real: `python -m tests.support.rsa_pool` made them. One is used again only after all
others, over all processes of the run, so that people, servers and generations of keys in one test
have different ones.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from fsproto.limits import RSA_BITS, RSA_EXPONENT

if TYPE_CHECKING:
    import pytest

STORED = Path(__file__).with_suffix(".txt")
"""The two primes of each key, in hexadecimal; a line for each key."""
SIZE = 96
"""More keys than one test needs at once."""

_met = deque[bytes](maxlen=SIZE // 3)
"""The last keys that this process has read or taken; it takes none of them as a new one."""
Generate = Callable[..., rsa.RSAPrivateKey]
_generate: Generate = rsa.generate_private_key
_load = serialization.load_der_private_key


class RsaPool:
    """The stored keys, and the number of those that the processes of a test run have taken."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of the number, which other processes may use at the same time."""
        self.folder = folder
        folder.mkdir(exist_ok=True)
        _stored()  # read before the helper forks programs, which then need not read it

    def use(self, patch: pytest.MonkeyPatch) -> None:
        """Let this process take new keys from the pool until the patch is undone."""
        patch.setattr(rsa, "generate_private_key", self.generate)
        patch.setattr(serialization, "load_der_private_key", self.load)

    def generate(
        self, public_exponent: int, key_size: int, backend: Any = None
    ) -> rsa.RSAPrivateKey:
        """Replace `rsa.generate_private_key`; sizes other than ours are generated as ever."""
        if (public_exponent, key_size) != (RSA_EXPONENT, RSA_BITS):
            return _generate(public_exponent, key_size, backend)
        keys = list(_stored().items())
        while True:
            try:
                turn = self._turn()
            except PermissionError:  # in a program that works as another user
                return _generate(public_exponent, key_size, backend)
            digest, key = keys[turn % len(keys)]
            if digest not in _met:
                _met.append(digest)
                return key

    @staticmethod
    def load(
        data: bytes | bytearray | memoryview,
        password: bytes | None,
        backend: Any = None,
        *,
        unsafe_skip_rsa_key_validation: bool = False,
    ) -> PrivateKeyTypes:
        """Replace `serialization.load_der_private_key`; other keys are read as ever."""
        digest = hashlib.sha256(data).digest()
        is_stored = digest in _stored()
        if is_stored:
            _met.append(digest)
        intact = unsafe_skip_rsa_key_validation or is_stored
        return _load(data, password, backend, unsafe_skip_rsa_key_validation=intact)

    def _turn(self) -> int:
        """Return a number that no other call in any process returns: the length of a file."""
        file = os.open(self.folder / "turns", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, b".")
            return os.lseek(file, 0, os.SEEK_CUR)
        finally:
            os.close(file)


@cache
def _stored() -> dict[bytes, rsa.RSAPrivateKey]:
    """Return the stored keys by the SHA-256 of their DER, in the order of the file."""
    lines = STORED.read_text("ascii").splitlines()
    keys = [_key(*(int(prime, 16) for prime in line.split())) for line in lines]
    return {hashlib.sha256(_der(key)).digest(): key for key in keys}


def _key(p: int, q: int) -> rsa.RSAPrivateKey:
    d = pow(RSA_EXPONENT, -1, lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(RSA_EXPONENT, p * q)
    numbers = rsa.RSAPrivateNumbers(
        *(p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public)
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _der(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def main() -> None:
    """Store new keys."""
    made = (_generate(RSA_EXPONENT, RSA_BITS).private_numbers() for _ in range(SIZE))
    STORED.write_text("".join(f"{key.p:x} {key.q:x}\n" for key in made), "ascii")


@contextmanager
def pooled() -> Iterator[None]:
    """Take new RSA keys from the pool of this test run, also outside of a test."""
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        if pool is not None:
            pool.use(patch)
        yield


pool: RsaPool | None = None
"""The pool of this test run; the programs that the tests start use it too."""

if __name__ == "__main__":
    main()
