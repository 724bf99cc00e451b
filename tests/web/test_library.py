"""The library for browsers, in Node: it runs the project's vectors and its own tests."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.support.servers import ROOT

_OLDEST_NODE = 20


def _node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node: the library for browsers is not tested (Debian: apt install nodejs)")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    match = re.match(r"v(\d+)\.", version.stdout)
    if match is None or int(match[1]) < _OLDEST_NODE:
        pytest.skip(f"Node is {version.stdout.strip()}: the library for browsers needs 20 or later")
    return found


def test_the_library_passes_the_vectors_and_its_tests():
    tests = sorted((ROOT / "web" / "test").glob("*.test.js"))
    ran = subprocess.run(
        [_node(), "--test", *map(str, tests)],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"^\D*pass (\d+)$", ran.stdout, re.MULTILINE)
    assert passed, ran.stdout
    assert int(passed[1]) > 100
