"""The programs, run by a user without HOME and without an entry in the list of users.

Containers often run programs so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import ROOT, is_open_to_all

UID = 54321
SETPRIV = shutil.which("setpriv")

pytestmark = pytest.mark.skipif(
    SETPRIV is None or os.geteuid() != 0, reason="only root with setpriv acts as such a user"
)


def run(cwd: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # The interpreter may be in a folder of root's, so the process keeps the right to read.
    kept = "+dac_read_search,+dac_override"
    me = f"--reuid={UID} --regid={UID} --clear-groups --inh-caps={kept} --ambient-caps={kept}"
    return subprocess.run(
        [str(SETPRIV), *me.split(), sys.executable, "-m", *words],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("words", "environment", "named"),
    [
        ("fsclient ls", {}, ("--home", "FSCLIENT_HOME")),
        ("fsclient --home ~/x status", {}, ("--home", "FSCLIENT_HOME", "HOME is not set")),
        ("fsclient ls", {"FSCLIENT_HOME": "~/x"}, ("--home", "FSCLIENT_HOME", "'~/x'")),
        ("fsd --check-config", {}, ("--home", "FSD_HOME")),
        ("fsd --home ~/x", {}, ("given with --home", "'~/x'")),
        ("fsd", {"FSD_HOME": "~nouser/x"}, ("given with FSD_HOME", "'nouser'")),
        ("fsadmin list-users", {}, ("--home", "FSD_HOME")),
        ("fsadmin add-user alice", {"FSD_HOME": "~/x"}, ("given with FSD_HOME", "'~/x'")),
    ],
)
def test_without_a_home_folder_a_sentence_says_what_to_give(tmp_path, words, environment, named):
    if Path("/var/lib/fsd").is_dir():
        pytest.skip("there is a server of this machine")
    ended = run(tmp_path, *words.split(), **environment)
    assert ended.returncode == 2, ended.stderr
    assert all(word in ended.stderr for word in named), ended.stderr
    assert "unexpected" not in ended.stderr
    assert list(tmp_path.iterdir()) == []  # no folder with the name '~'


@pytest.mark.skipif(
    not is_open_to_all(ROOT), reason=f"other users cannot read the programs in {ROOT}"
)
def test_with_a_folder_given_nothing_needs_a_home_folder(tmp_path):
    home = tmp_path / "fsd"
    added = run(tmp_path, "fsadmin", "add-user", "alice", FSD_HOME=str(home))
    assert added.returncode == 0, added.stderr
    listed = run(tmp_path, "fsadmin", "--home", str(home), "list-users")
    assert (listed.returncode, "alice" in listed.stdout) == (0, True), listed.stderr
    config = tmp_path / "fsd.toml"
    config.write_text(f'home = "{home}"\n')
    checked = run(tmp_path, "fsd", "--check-config", FSD_CONFIG=str(config))
    assert checked.returncode == 0, checked.stderr
    asked = run(tmp_path, "fsclient", "--home", str(tmp_path / "client"), "ls")
    assert asked.returncode == 5, asked.stderr
