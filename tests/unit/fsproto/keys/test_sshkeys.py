"""SSH public keys: keys of ssh-keygen are read, and malformed keys are refused."""

from __future__ import annotations

import base64
import shutil
import subprocess

import pytest

from fsproto.errors import UsageError
from fsproto.keys.ssh_keys import LONGEST, read_ssh_key

ED25519 = (
    b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f scanner\n"
)
"""An Ed25519 key whose 32 bytes are 0, 1, 2 …."""


def made(tmp_path, *kind: str) -> bytes:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed here, so its keys cannot be tried")
    path = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-N", "", "-C", "of the scanner", "-f", str(path), *kind], check=True
    )
    public: bytes = (tmp_path / "key.pub").read_bytes()
    return public


def shown(tmp_path) -> str:
    command = ["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]


@pytest.mark.parametrize(
    ("kind", "called"),
    [
        (("-t", "ed25519"), "ssh-ed25519"),
        (("-t", "ecdsa", "-b", "256"), "ecdsa-sha2-nistp256"),
        (("-t", "ecdsa", "-b", "521"), "ecdsa-sha2-nistp521"),
        (("-t", "rsa", "-b", "2048"), "ssh-rsa"),
    ],
)
def test_keys_of_ssh_keygen_are_read_and_have_its_fingerprint(tmp_path, kind, called):
    key = read_ssh_key(b"# a comment\n\n" + made(tmp_path, *kind))
    assert (key.kind, key.comment) == (called, "of the scanner")
    assert key.fingerprint == shown(tmp_path)


def test_a_short_rsa_key_is_refused(tmp_path):
    with pytest.raises(UsageError, match="1024 bits"):
        read_ssh_key(made(tmp_path, "-t", "rsa", "-b", "1024"))


def test_a_private_key_is_refused_and_not_repeated(tmp_path):
    made(tmp_path, "-t", "ed25519")
    private = (tmp_path / "key").read_bytes()
    with pytest.raises(UsageError, match="private key") as refused:
        read_ssh_key(private)
    assert private.splitlines()[1].decode() not in str(refused.value)


def test_a_key_is_what_travels_in_ssh():
    key = read_ssh_key(ED25519)
    assert key.public == bytes.fromhex("0000000b") + b"ssh-ed25519" + bytes.fromhex(
        "00000020"
    ) + bytes(range(32))
    assert key.comment == "scanner"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"# nothing\n",
        b"\xff\xfe",
        ED25519 * 2,
        b'command="x" ' + ED25519,
        b"no-pty " + ED25519,
        ED25519[:40],
        ED25519.replace(b"scanner", b"")[:-20] + b"\n",
        ED25519.replace(b"AAAAC3", b"AAAAC4"),
        b"ssh-rsa " + ED25519.split()[1],
        b"ssh-ed25519",
        b"ssh-ed25519 !!!!",
        b"ssh-dss AAAAB3NzaC1kc3MAAAAA",
        b"sk-ssh-ed25519@openssh.com AAAA",
        b"ssh-ed25519-cert-v01@openssh.com AAAA",
        b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n",
        b"ssh-ed25519 " + base64.b64encode(base64.b64decode(ED25519.split()[1]) + b"more"),
        b"x" * (LONGEST + 1),
    ],
)
def test_an_invalid_key_is_refused(data):
    with pytest.raises(UsageError):
        read_ssh_key(data)
