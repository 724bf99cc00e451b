"""The client and the protocol start on every system: nothing of one alone is imported at once."""

from __future__ import annotations

import ast

import pytest

from tests.servers import ROOT

ONE_SYSTEM_ONLY = {
    *("curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog"),
    *("termios", "tty", "uvloop", "msvcrt", "winreg", "_winapi"),
}


@pytest.mark.parametrize("package", ["fsproto", "fsclient"])
def test_nothing_that_one_system_alone_has_is_imported_when_a_module_is(package: str):
    found = []
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in getattr(node, "names", [])]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif not isinstance(node, ast.Import):
                continue
            found += [f"{path.name}: {n}" for n in names if n.split(".")[0] in ONE_SYSTEM_ONLY]
    assert found == []
