"""Padding: one form for each value, and no byte that an author could choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsproto.sealed.padding import LONG, SHORT, fill, unfill


@pytest.mark.parametrize("length", [SHORT, LONG], ids=["short", "long"])
@given(packed=st.binary(max_size=600))
def test_a_value_comes_back_and_its_size_is_a_multiple(length, packed):
    filled = fill(packed, length)
    assert len(filled) % 128 == 0
    assert len(filled) - len(packed) < 128 + length.size
    assert unfill(filled, length) == packed


@pytest.mark.parametrize("length", [SHORT, LONG], ids=["short", "long"])
def test_any_other_form_is_refused(length):
    filled = fill(b"a value", length)
    for wrong in (
        b"",
        filled[: length.size - 1],
        filled[:-1],
        filled[:-1] + b"\1",
        filled + bytes(128),
        length.pack(200) + filled[length.size :],
    ):
        assert unfill(wrong, length) is None
