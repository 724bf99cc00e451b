"""The gateway's two key pairs: its host key, and the key that programs log in with.

    gateway/host_key     the gateway's Ed25519 key         gateway/known_hosts  its public half
    gateway/client_key   the key to log in with           gateway/client_key.pub

They are generated once, in the profile (0600 in 0700), in OpenSSH's format: PROTOCOL.key of
OpenSSH. They give access only to the gateway on this machine; a process that can read them can
also read the sealed identity in the same profile.
"""

from __future__ import annotations

import base64
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from fsclient.profile_errors import profile_errors
from fsclient.profile_files import make_private_folder, write_private
from fsproto import crypto

ALIAS = "fs-gateway"
"""The gateway's host alias in OpenSSH's files, the same for every port."""
_KIND = b"ssh-ed25519"
_MAGIC = b"openssh-key-v1\0"
_LINE = 70


@dataclass(frozen=True)
class GatewayKeys:
    """The paths of the key files."""

    folder: Path

    @property
    def host_key(self) -> Path:
        """The gateway's private key."""
        return self.folder / "host_key"

    @property
    def client_key(self) -> Path:
        """The private key that programs log in with."""
        return self.folder / "client_key"

    @property
    def client_public(self) -> Path:
        """Its public half: the only key that the gateway accepts."""
        return self.folder / "client_key.pub"

    @property
    def host_public(self) -> Path:
        """The public half of the gateway's key."""
        return self.folder / "host_key.pub"

    @property
    def staging(self) -> Path:
        """The folder for sealed files that are being written."""
        return self.folder / "staging"


def ensure_keys(profile_folder: Path) -> GatewayKeys:
    """Return the keys of a profile; generate them if they do not exist."""
    keys = GatewayKeys(profile_folder / "gateway")
    for folder in (keys.folder, keys.staging):
        with profile_errors(folder):
            make_private_folder(folder)
    _ensure(keys.host_key, keys.host_public)
    _ensure(keys.client_key, keys.client_public)
    return keys


def public_blob(path: Path) -> bytes:
    """Return the bytes of a public key that a `.pub` file holds."""
    with profile_errors(path):
        return base64.b64decode(path.read_text("ascii").split()[1])


def fingerprint(path: Path) -> str:
    """Return `SHA256:…` of a `.pub` file, as programs show it on first contact."""
    return crypto.fingerprint(public_blob(path))


def _ensure(private: Path, public: Path) -> None:
    with profile_errors(private):
        if private.exists() and public.exists():
            return
    key = crypto.SigningKey(os.urandom(crypto.KEY_SIZE))
    blob = _string(_KIND) + _string(key.public)
    # The public half is written first: if its private half is missing, both are generated again.
    write_private(public, f"{_KIND.decode()} {base64.b64encode(blob).decode()} {ALIAS}\n".encode())
    write_private(private, _armoured(_packed(key, blob)))


def _packed(key: crypto.SigningKey, blob: bytes) -> bytes:
    """Return a private key in the format of PROTOCOL.key, without a passphrase."""
    check = os.urandom(4) * 2  # shows a reader that decryption succeeded
    inner = check + blob + _string(key.seed + key.public) + _string(ALIAS.encode())
    inner += bytes(range(1, -len(inner) % 8 + 1))
    none = _string(b"none") + _string(b"none") + _string(b"")
    return _MAGIC + none + struct.pack(">I", 1) + _string(blob) + _string(inner)


def _armoured(data: bytes) -> bytes:
    text = base64.b64encode(data)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    begin, end = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----END OPENSSH PRIVATE KEY-----"
    return b"\n".join([begin, *lines, end, b""])


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
