"""SSH public keys as OpenSSH writes them (`ssh-ed25519 AAAA… comment`), for the drop box.

The reader is strict: exactly one key, of a kind that is still secure, without `authorized_keys`
options before it (they have no effect here, so they are refused).
"""

from __future__ import annotations

import base64

from fsproto import crypto
from fsproto.errors import UsageError
from fsproto.values import Value

LONGEST = 16 * 1024
"""Largest key file in bytes; an RSA key of 16,384 bits has about 3,000."""
_RSA_BITS = 2048
_KINDS = {
    "ssh-ed25519": "ed25519",
    "ecdsa-sha2-nistp256": "ecdsa",
    "ecdsa-sha2-nistp384": "ecdsa",
    "ecdsa-sha2-nistp521": "ecdsa",
    "ssh-rsa": "rsa",
}


class SshKey(Value, frozen=True):
    """One public key."""

    kind: str
    """OpenSSH's name for the kind of key."""
    public: bytes
    """The key in the wire format of SSH (RFC 4253, section 6.6)."""
    comment: str

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` shows it."""
        return crypto.fingerprint(self.public)


def read_ssh_key(data: bytes) -> SshKey:
    """Read the one key of a key file; `UsageError` says what is wrong with it."""
    if len(data) > LONGEST:
        raise UsageError("That is too large for a file with an SSH public key.")
    text = data.decode("utf-8", "replace")
    if "PRIVATE KEY" in text:
        raise UsageError(
            "That is a private key, which must stay on its device.",
            hint="Give the file of the same name with .pub.",
        )
    lines = [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]
    if any(line.startswith("---- BEGIN SSH2") for line in lines):
        raise UsageError(
            "That key is not in OpenSSH's format.", hint="'ssh-keygen -i -f FILE' converts it."
        )
    if len(lines) != 1:
        raise UsageError(f"There must be one SSH public key in the file, not {len(lines)}.")
    return _read(lines[0])


def _read(line: str) -> SshKey:
    kind, _, rest = line.partition(" ")
    packed, _, comment = rest.strip().partition(" ")
    if kind not in _KINDS:
        raise UsageError(
            "This is not an SSH public key of an accepted kind.",
            hint="It starts with ssh-ed25519, ecdsa-sha2-nistp256 (384, 521) or ssh-rsa; "
            "'ssh-keygen -t ed25519' makes one.",
        )
    try:
        public = base64.b64decode(packed, validate=True)
        is_kind, bits = crypto.ssh_public_key(f"{kind} {packed}".encode())
    except (ValueError, crypto.CryptoError):
        raise UsageError("The SSH public key is damaged.") from None
    if is_kind != _KINDS[kind]:
        raise UsageError("The SSH public key is not of the kind that it names.")
    if is_kind == "rsa" and bits < _RSA_BITS:
        raise UsageError(
            f"The RSA key has {bits} bits; {_RSA_BITS} are the least.",
            hint="'ssh-keygen -t ed25519' makes a better one.",
        )
    return SshKey(kind, public, comment.strip())
