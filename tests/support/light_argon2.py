"""Argon2id at its lowest cost, for tests of what is done with a passphrase and not of its cost.

A passphrase, and each half of a safety number, takes a fifth of a second of CPU time and 64 MiB.
The costs are written into what is sealed, so programs at full cost open it too. Those of public
links are fixed, so such a link opens only in a process like this. The vectors and the unit tests of
`fsproto.keys.passphrase` and `fsclient.trust.safety_number` use the full costs.
"""

from __future__ import annotations

from collections.abc import Callable

from fsclient.trust import safety_number
from fsd.backup import encrypt
from fsproto.keys import passphrase
from fsproto.links import url_secret

_LOWEST = {"_PASSES": 1, "_LANES": 1, "_MEMORY_KIB": 8}


def use(setattr_: Callable[[object, str, object], None] = setattr) -> None:
    """Let this process derive keys at the lowest cost; a `MonkeyPatch` can undo it."""
    for module in (passphrase, safety_number, encrypt, url_secret):
        for name, value in _LOWEST.items():
            setattr_(module, name, value)
