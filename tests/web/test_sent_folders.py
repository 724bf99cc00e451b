"""Folders on the page of request links: chosen, and dropped there."""

from __future__ import annotations

from pathlib import Path

from tests.support.browser import Page

FILES = {"a.txt": b"a", "sub/deep/b.txt": b"bb", "sub/\u00fc": b"", "sub/a\u202egpj.exe": b"exe"}


def tree(top: Path) -> Path:
    for name, content in FILES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    (top / "empty").mkdir()
    (top / "sub/bell\u0007").write_bytes(b"refused")
    return top


EXPECTED = {f"scans/{name}": content for name, content in FILES.items()}
REFUSED = "scans/sub/bell\\u0007: 'bell\\u0007' cannot name a file or folder."


def test_the_files_of_a_chosen_folder_keep_their_paths(serve, page: Page, tmp_path: Path):
    server = serve()
    page.open(server.url)
    page.wait_for("Send files to alice")
    page.choose_folder(tree(tmp_path / "scans"))
    page.wait_for("scans/sub/a\\u202egpj.exe")
    page.press_send()
    page.wait_for(REFUSED)
    assert {opened.note.name: plain for opened, plain in server.received()} == EXPECTED
    assert {opened.parts[0] for opened, _ in server.received()} == {"scans"}


def test_folders_and_files_can_be_dropped(serve, page: Page, tmp_path: Path):
    server = serve()
    (tmp_path / "single").write_bytes(b"1")
    page.open(server.url)
    page.wait_for("Send files to alice")
    page.drop(tree(tmp_path / "scans"), tmp_path / "single")
    page.wait_for("scans/sub/a\\u202egpj.exe")
    page.press_send()
    page.wait_for(REFUSED)
    received = {opened.note.name: plain for opened, plain in server.received()}
    assert received == EXPECTED | {"single": b"1"}
