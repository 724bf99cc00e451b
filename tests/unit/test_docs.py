"""What the papers name is there: tests, error codes, files of the map."""

from __future__ import annotations

import re

from fsproto.errors import ERRORS
from fsproto.messages import MESSAGES
from tests.support.servers import ROOT

DOCS = ROOT / "docs"


def test_every_test_that_the_threat_model_names_exists():
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "threat-model.md").read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 50
    assert {name for name in named if f"def {name}(" not in sources} == set()


def test_the_protocol_names_every_error_code_with_its_exit_status():
    table = (DOCS / "protocol.md").read_text().split("## 11. Errors")[1]
    cells = re.findall(r"\|([^|\n]*)\|\s*(\d+)\s*(?=\|)", table)
    status = {
        code: int(exit_status)
        for codes, exit_status in cells
        for code in re.findall("`(.+?)`", codes)
    }
    assert status == {code: error.exit_status for code, error in ERRORS.items()}


def test_the_protocol_names_every_message():
    table = (DOCS / "protocol.md").read_text().split("## 4. Messages")[1].split("## 5.")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert named == {kind.__name__.lower() for kind in MESSAGES}


def test_every_link_in_the_papers_leads_somewhere():
    for paper in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", paper.read_text()):
            if "://" not in link:
                assert (paper.parent / link).exists(), f"{paper.name}: {link}"
