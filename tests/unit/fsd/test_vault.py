"""Secrets at rest."""

from __future__ import annotations

import os

import pytest

from fsd.auth.vault import Vault
from fsproto.errors import IntegrityError

KEY = bytes(range(32))


def test_a_sealed_secret_opens_for_its_user_alone():
    vault = Vault(KEY, os.urandom)
    sealed = vault.seal("SECRET", 7)
    assert b"SECRET" not in sealed
    assert vault.open(sealed, 7) == "SECRET"
    with pytest.raises(IntegrityError, match="master key"):
        vault.open(sealed, 8)


def test_another_master_key_does_not_open_it():
    sealed = Vault(KEY, os.urandom).seal("SECRET", 7)
    with pytest.raises(IntegrityError, match="master key"):
        Vault(bytes(32), os.urandom).open(sealed, 7)


@pytest.mark.parametrize("kept", [0, 1, 11, 12, 27, -1])
def test_a_secret_cut_short_is_damage_and_nothing_worse(kept):
    vault = Vault(KEY, os.urandom)
    with pytest.raises(IntegrityError):
        vault.open(vault.seal("SECRET", 7)[:kept], 7)


def test_the_same_secret_sealed_twice_looks_different():
    vault = Vault(KEY, os.urandom)
    assert vault.seal("SECRET", 7) != vault.seal("SECRET", 7)
