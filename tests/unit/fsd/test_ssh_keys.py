"""Host keys of the SSH listener: generated once, private, in OpenSSH's format."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from fsd.home.home import SSH_KEYS
from fsd.home.ssh_host_keys import ssh_host_keys
from fsproto import crypto
from fsproto.errors import IntegrityError


def test_ssh_host_keys_are_made_when_the_listener_is_first_enabled_and_then_stay(home):
    assert ssh_host_keys(home) == []
    home.prepare_ssh()
    made = [(key.kind, key.fingerprint) for key in ssh_host_keys(home)]
    assert [kind for kind, _ in made] == ["ED25519", "RSA"]
    home.prepare_ssh()
    assert [(key.kind, key.fingerprint) for key in ssh_host_keys(home)] == made


def test_they_are_for_their_owner_alone(home):
    home.prepare_ssh()
    assert {(home.path / name).stat().st_mode & 0o777 for name in SSH_KEYS} == {0o600}


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no OpenSSH on this machine")
def test_openssh_reads_them_and_shows_the_same_fingerprints(home):
    home.prepare_ssh()
    shown = [
        subprocess.run(
            ["ssh-keygen", "-l", "-f", home.path / name],
            capture_output=True, encoding="utf-8", check=True,
        ).stdout.split()
        for name in SSH_KEYS
    ]  # fmt: skip
    assert [each[0] for each in shown] == ["256", "3072"]
    assert [f"{each[1]} {each[-1]}" for each in shown] == [str(key) for key in ssh_host_keys(home)]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no OpenSSH on this machine")
def test_keys_of_another_sshd_can_be_put_in_their_place(home):
    for name, kind in zip(SSH_KEYS, ("ed25519", "rsa"), strict=True):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", home.path / name], check=True
        )
    before = [(home.path / name).read_bytes() for name in SSH_KEYS]
    home.prepare_ssh()
    assert [key.private.encode() for key in ssh_host_keys(home)] == before


@pytest.mark.parametrize(
    "damage", [b"", b"not a key", b"-----BEGIN OPENSSH PRIVATE KEY-----\n\xff"]
)
def test_a_damaged_one_is_reported_by_its_name(home, damage):
    home.prepare_ssh()
    (home.path / SSH_KEYS[1]).write_bytes(damage)
    with pytest.raises(IntegrityError, match=SSH_KEYS[1]):
        ssh_host_keys(home)


def test_what_is_shown_of_one_is_no_secret(home):
    home.prepare_ssh()
    for key in ssh_host_keys(home):
        assert "PRIVATE" not in repr(key) + str(key)
        assert crypto.ssh_public(key.private.encode())
