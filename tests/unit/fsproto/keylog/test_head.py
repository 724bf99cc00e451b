"""Heads of the key log: their signature, and the short form that signed objects carry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fsproto import crypto, labels
from fsproto.errors import RemoteProtocolError, SignatureError
from fsproto.keylog.head import KeyLogHead, pack_log_head, sign_head, unpack_log_head, verify_head
from fsproto.signed import sign
from fsproto.types import Hash
from tests.support.fixed_keys import TIME_MS, stretch
from tests.support.reference import u64

LOG = crypto.SigningKey(stretch("log", 32))
OTHER = crypto.SigningKey(stretch("another log", 32))
ROOT = Hash(stretch("root", 32))
BODY = KeyLogHead(1, LOG.public, 7, ROOT, TIME_MS)


def test_a_head_is_believed_of_the_pinned_key_and_of_any_where_none_is_pinned():
    signed = sign_head(LOG, 7, ROOT, TIME_MS)
    for pinned in (LOG.public, None):
        assert verify_head(signed, pinned).body == BODY


def test_a_head_of_another_key_than_the_pinned_one_is_refused():
    with pytest.raises(SignatureError, match="ANOTHER KEY"):
        verify_head(sign_head(OTHER, 7, ROOT, TIME_MS), LOG.public)


@pytest.mark.parametrize("pinned", [LOG.public, None])
def test_a_head_that_names_a_key_which_has_not_signed_it_is_refused(pinned: bytes | None):
    with pytest.raises(SignatureError):
        verify_head(sign(OTHER, labels.SIGN_LOG_HEAD, BODY), pinned)


@pytest.mark.parametrize(
    "changes",
    [{"format": 2}, {"root": bytes(31)}, {"root": b""}, {"size": -1}, {"size": 1 << 63}],
    ids=str,
)
def test_a_head_of_another_shape_is_refused(changes: dict[str, Any]):
    body = msgspec.structs.replace(BODY, **changes)
    with pytest.raises(RemoteProtocolError):
        verify_head(sign(LOG, labels.SIGN_LOG_HEAD, body), LOG.public)


def test_what_people_carry_is_size_and_root():
    assert pack_log_head(7, ROOT) == u64(7) + ROOT
    assert unpack_log_head(u64(7) + ROOT) == (7, ROOT)


def test_of_a_log_without_entries_people_carry_nothing():
    assert pack_log_head(0, ROOT) == b""
    assert unpack_log_head(b"") is None


@pytest.mark.parametrize("length", [1, 8, 39, 41])
def test_anything_else_that_is_carried_is_refused(length: int):
    with pytest.raises(RemoteProtocolError):
        unpack_log_head(bytes(length))
