"""Everything that the documents name exists: tests, error codes, modules."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from fsproto.errors import ERRORS
from fsproto.messages import MESSAGES
from tests.support.servers import ROOT

DOCS = ROOT / "docs"


def test_every_test_that_the_documents_name_exists():
    papers = [(DOCS / name).read_text() for name in ("threat-model.md", "faults.md")]
    named = set(re.findall(r"`(test_\w+)`", "\n".join(papers)))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 50
    files = re.findall(r"`(tests/[\w/]+\.py)`", "\n".join(papers))
    assert [one for one in files if not (ROOT / one).exists()] == []
    assert {name for name in named if f"def {name}(" not in sources} == set()
    in_soak = {name for path in (ROOT / "tests").rglob("test_*.py") for name in _in_soak(path)}
    assert named & in_soak == set(), "a promise is tested in `make test` too"


def _in_soak(path: Path) -> set[str]:
    """Return the tests of a module that only `make soak` runs."""
    source = path.read_text()
    if "mark.soak" not in source:
        return set()
    parts = ast.parse(source).body
    tests = {one.name: one for one in parts if isinstance(one, ast.FunctionDef)}
    if any(isinstance(one, ast.Assign) and "mark.soak" in ast.unparse(one) for one in parts):
        return set(tests)
    marks = {name: map(ast.unparse, one.decorator_list) for name, one in tests.items()}
    return {name for name, of_it in marks.items() if "pytest.mark.soak" in of_it}


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


def _modules_of_the_map() -> dict[str, str]:
    """Return the text of each row of the architecture tables, by folder or file."""
    rows = {}
    top = ""
    for line in (DOCS / "architecture.md").read_text().splitlines():
        if heading := re.match(r"## (fs\w+):", line):
            top = heading[1]
        elif line.startswith("## "):
            top = ""
        elif top and line.startswith("| `"):
            places, text = line.strip("|").split("|", 1)
            for place in re.findall(r"`(.+?)`", places):
                rows[f"{top}/{place}"] = text
    return rows


def test_the_compose_file_sets_what_there_is() -> None:
    text = (ROOT / "packaging/compose.yaml").read_text()
    known = (ROOT / "docs/configuration.md").read_text()
    named = set(re.findall(r"FSD_[A-Z_]+", text))
    blobs = {"FSD_BLOBS_STORE", "FSD_BLOBS_ENDPOINT", "FSD_BLOBS_REGION"}
    assert named == {"FSD_DATABASE"} | blobs
    assert all(f"`{name}`" in known for name in named)
    image = (ROOT / "packaging/Containerfile").read_text()
    assert "EXPOSE 65432" in image
    assert '- "65432:65432"' in text
    assert "VOLUME /var/lib/fsd" in image
    assert "- fsd:/var/lib/fsd" in text


def test_the_map_names_every_module_and_no_other():
    rows = _modules_of_the_map()
    missing = []
    for package in ("fsproto", "fskit", "fsd", "fsadmin", "fsclient"):
        for path in sorted((ROOT / package).rglob("*.py")):
            folder, name = str(path.parent.relative_to(ROOT)), path.stem
            if name.startswith("__") or folder in {"fsd/store/repos", "fsclient/commands"}:
                continue  # described as a folder, not by module
            if f"{folder}/{path.name}" not in rows and f"`{name}`" not in rows.get(
                f"{folder}/", ""
            ):
                missing.append(f"{folder}/{path.name}")
    assert missing == []
    assert [place for place in rows if not (ROOT / place).exists()] == []


def test_every_path_in_the_map_exists():
    text = (DOCS / "architecture.md").read_text()
    paths = re.findall(r"`((?:fs\w+|migrations|tests|bench)/[\w/]+(?:\.py|/))`", text)
    assert len(paths) > 20
    assert [
        path for path in paths if path != "fsd/migrations/" and not (ROOT / path).exists()
    ] == []


def test_a_riddle_is_found_in_a_document_and_in_an_error(tmp_path):
    document, module = tmp_path / "page.md", tmp_path / "module.py"
    document.write_text("# Title\n\nThe client is told of it.\n\n    code is told\n")
    module.write_text('"""Whoever reads this."""\nraise ValueError("It begins anew.")\n')
    command = [sys.executable, str(ROOT / "scripts" / "check_words.py")]
    found = subprocess.run(
        [*command, str(document), str(module)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert [line.split(":")[1] for line in found.stdout.splitlines()] == ["3", "2", "2"]
    document.write_text("# Title\n\nThe server reports it.\n")
    assert subprocess.run([*command, str(document)], check=False).returncode == 0
