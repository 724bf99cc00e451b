"""RSA keys that are made once per test run and used again.

Making one takes a sixth of a second of CPU time, and each new person and each new server needs one.
The keys are real. One is used again only after `SIZE` others, over all processes of the run, so
that people, servers and generations of keys in one test have different ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fsproto.limits import RSA_BITS, RSA_EXPONENT

SIZE = 120
"""More than one test needs at once."""

Generate = Callable[..., rsa.RSAPrivateKey]
_generate: Generate = rsa.generate_private_key


class RsaPool:
    """A folder of keys that the processes of a test run share."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which other processes may use at the same time."""
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def generate(
        self, public_exponent: int, key_size: int, backend: Any = None
    ) -> rsa.RSAPrivateKey:
        """Replace `rsa.generate_private_key`; sizes other than ours are generated as ever."""
        if (public_exponent, key_size) != (RSA_EXPONENT, RSA_BITS):
            return _generate(public_exponent, key_size, backend)
        try:
            turn = self._turn()
        except PermissionError:  # in a program that works as another user
            return _generate(public_exponent, key_size, backend)
        place = self.folder / f"{turn % SIZE}.der"
        if not place.exists():
            self._write(place, _generate(public_exponent, key_size))
        key = serialization.load_der_private_key(
            place.read_bytes(), None, unsafe_skip_rsa_key_validation=True
        )
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    def _turn(self) -> int:
        """Return a number that no other call in any process returns: the length of a file."""
        file = os.open(self.folder / "turns", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, b".")
            return os.lseek(file, 0, os.SEEK_CUR)
        finally:
            os.close(file)

    @staticmethod
    def _write(place: Path, key: rsa.RSAPrivateKey) -> None:
        mine = place.with_suffix(f".{os.getpid()}")
        mine.write_bytes(
            key.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        mine.replace(place)


pool: RsaPool | None = None
"""The pool of this test run; the programs that the tests start use it too."""
