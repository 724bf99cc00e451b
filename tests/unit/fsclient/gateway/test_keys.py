"""The gateway's keys, where the profile's folder cannot take them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsclient.gateway.keys import ensure_keys
from fsproto.errors import FsError


@pytest.mark.parametrize("in_the_way", ["gateway", "gateway/staging", "gateway/client_key.pub"])
def test_what_is_in_the_way_of_the_keys_is_named_with_a_remedy(tmp_path: Path, in_the_way: str):
    place = tmp_path / in_the_way
    place.parent.mkdir(exist_ok=True)
    if place.suffix:
        place.mkdir()
    else:
        place.write_bytes(b"")
    with pytest.raises(FsError) as refused:
        ensure_keys(tmp_path)
    assert str(place) in refused.value.sentence
    assert refused.value.hint
