"""The examples for a cluster: the configuration of HAProxy, and the script that starts one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.support import object_store
from tests.support.servers import ROOT


def haproxy() -> str:
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if found is None:
        pytest.skip("THE EXAMPLE FOR HAPROXY IS NOT TESTED: there is no haproxy")
    return found


def test_haproxy_accepts_the_example() -> None:
    example = ROOT / "packaging" / "haproxy.cfg"
    done = subprocess.run(
        [haproxy(), "-c", "-f", str(example)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr


@pytest.mark.soak
def test_the_demo_runs_on_a_cluster() -> None:
    haproxy()
    weed = object_store.weed()
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "cluster.py"), "--weed", weed],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing is wrong." in done.stdout
