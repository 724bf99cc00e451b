"""Secrets in memory are overwritten at their end."""

from __future__ import annotations

import subprocess
import sys

from fskit.secret_bytes import SecretBytes
from tests.support.servers import environment


def test_a_wiped_secret_is_zeros_in_every_view_of_it():
    secret = SecretBytes(memoryview(b"k" * 32))
    view = secret.view()
    assert bytes(view) == b"k" * 32
    secret.wipe()
    assert bytes(view) == bytes(32)


def test_a_secret_is_locked_in_memory_and_its_process_leaves_no_core():
    script = """
import resource
from pathlib import Path
from fskit.secret_bytes import SecretBytes, hide_memory
secret = SecretBytes(memoryview(b"k" * 32))
hide_memory()
status = Path("/proc/self/status").read_text()
print([line.split()[1] for line in status.splitlines() if line.startswith("VmLck")])
import ctypes
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["['4']", "(0, 0) 0"]
