"""The SSH listener's host keys on disk, in OpenSSH's format.

    ssh_host_ed25519_key    for most clients
    ssh_host_rsa_key        RSA-3072, for old clients without Ed25519

They are created when the SSH listener is first enabled. An administrator may replace them by the
keys of an existing SSH server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsd.home.home import SSH_KEYS
from fsproto import crypto
from fsproto.errors import IntegrityError

if TYPE_CHECKING:
    from fsd.home.home import Home

_KINDS = ("ED25519", "RSA")


@dataclass(frozen=True)
class SshHostKey:
    """One host key."""

    kind: str
    """OpenSSH's name of the key type, in capitals."""
    fingerprint: str
    """In OpenSSH's notation."""
    private: str
    """The file's text."""

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return f"{self.fingerprint} ({self.kind})"


def ssh_host_keys(home: Home) -> list[SshHostKey]:
    """Return the host keys of a home, none if there are none yet; `IntegrityError` for damage."""
    if not any((home.path / name).exists() for name in SSH_KEYS):
        return []
    keys = []
    for kind, name in zip(_KINDS, SSH_KEYS, strict=True):
        private = home.read(name)
        try:
            public = crypto.ssh_public(private)
            keys.append(SshHostKey(kind, crypto.fingerprint(public), private.decode("ascii")))
        except (crypto.CryptoError, UnicodeDecodeError):
            raise IntegrityError(
                f"{home.path / name} is not a private key of SSH without a passphrase.",
                hint="Restore it from a backup; without the file, a new key is made, and "
                "clients must trust it.",
            ) from None
    return keys
