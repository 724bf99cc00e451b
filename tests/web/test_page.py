"""The page of public links: one file, which is the same on every machine and loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from fsd.web_page import made_page, page_hash
from tests.support.servers import run


def test_the_page_is_one_small_file_whose_policy_names_its_script_and_style():
    page = made_page()
    assert len(page) < 150_000
    text = page.decode()
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert len(policy) == 1
    assert policy[0].startswith("default-src 'none';")
    for element in ("script", "style"):
        inline = re.findall(rf"<{element}[^>]*>(.*?)</{element}>", text, re.DOTALL)
        assert len(inline) == 1
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy[0]
    assert re.findall(r"""(?:src|href)=["'](?!data:,)""", text) == []


def test_fsadmin_writes_the_page_and_names_its_hash(tmp_path):
    folder = tmp_path / "new" / "page"
    told = json.loads(run("fsadmin", "page", str(folder), "--json").stdout)
    written = (folder / "index.html").read_bytes()
    assert written == made_page()
    assert told == {"sha256": page_hash(written), "path": str(folder / "index.html")}
    assert run("fsadmin", "page").stdout == f"{page_hash(written)}  index.html\n"


def test_a_page_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    ran = run("fsadmin", "page", str(tmp_path / "file"))
    assert ran.returncode == 8
    assert ran.stderr.startswith("fsadmin: Cannot write the page to ")
