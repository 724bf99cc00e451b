"""The pictures of the page in docs/: the program that takes them works."""

from __future__ import annotations

import shutil

import pytest

from scripts.page_pictures import take


@pytest.mark.soak
def test_the_pictures_of_the_page_can_be_taken_again(tmp_path):
    if not shutil.which("chromedriver"):
        pytest.skip("no Chromium: the pictures are not taken (Debian: apt install chromium-driver)")
    taken = take(tmp_path)
    assert len(taken) == 4
    assert all(path.read_bytes()[8:12] == b"WEBP" for path in taken)
