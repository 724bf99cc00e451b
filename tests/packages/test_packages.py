"""The Debian package and the single file: built twice, and tried in a clean root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import TIER
from tests.support.servers import ROOT

pytestmark = [
    pytest.mark.skipif(TIER != "soak", reason="packages are built in `make soak` only"),
    pytest.mark.timeout(1800),
]
COMPLETIONS = (
    "bash-completion/completions/fsclient",
    "zsh/vendor-completions/_fsclient",
    "fish/vendor_completions.d/fsclient.fish",
)
MIRROR = "http://deb.debian.org/debian"


def built_twice(target: str, folder: Path) -> list[Path]:
    """Build in two folders; return the files of the first, which must equal those of the second."""
    made: list[list[Path]] = []
    for name in ("first", "second"):
        where = folder / name
        subprocess.run(
            ["make", "--no-print-directory", target, f"DIST={where}"], cwd=ROOT, check=True
        )
        made.append(sorted(where.iterdir()))
    for one, other in zip(*made, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()
    return made[0]


def said(*command: str | Path, **env: str) -> str:
    done = subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_builds_of_the_wheel_and_the_sdist_are_equal(tmp_path: Path) -> None:
    assert [path.suffix for path in built_twice("dist", tmp_path)] == [".whl", ".gz"]


def test_the_single_file_runs_without_anything_installed(tmp_path: Path) -> None:
    program, _, _ = sorted(built_twice("zipapp", tmp_path), key=lambda path: path.suffix != ".pyz")
    env = {"HOME": str(tmp_path), "PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}
    assert said(program, "--version", **env).startswith("fsclient ")
    refused = subprocess.run(
        [program, "ls"], env=os.environ | env, cwd=tmp_path, capture_output=True, check=False
    )
    assert refused.returncode == 5
    assert b"no enrolment" in refused.stderr


@pytest.mark.skipif(
    not (shutil.which("dpkg-deb") and shutil.which("debootstrap")) or os.geteuid() != 0,
    reason="a clean root takes root, dpkg-deb and debootstrap",
)
def test_the_debian_package_installs_serves_upgrades_and_goes(tmp_path: Path) -> None:
    package, _, _ = sorted(built_twice("deb", tmp_path), key=lambda path: path.suffix != ".deb")
    root = tmp_path / "root"
    made = ["debootstrap", "--variant=minbase", "--include=python3,adduser", "bookworm"]
    subprocess.run([*made, root, MIRROR], check=True, capture_output=True)
    shutil.copy(package, root / "package.deb")

    def inside(script: str) -> str:
        return said("chroot", root, "sh", "-ec", script)

    inside("dpkg -i /package.deb")
    inside("install -d -o fsd -g fsd -m 700 /var/lib/fsd")
    as_fsd = "su -s /bin/sh fsd -c"
    assert "alice" in inside(f"{as_fsd} 'fsadmin --home /var/lib/fsd add-user alice --host h'")
    serve = "timeout 20 fsd --home /var/lib/fsd --listen 127.0.0.1:0"
    assert "fsd ready" in inside(f"{as_fsd} '{serve} | head -n 1'")
    assert "ExecStart=/usr/bin/fsd" in inside("cat /usr/lib/systemd/system/fsd.service")
    inside("test -s /usr/share/man/man8/fsd.8.gz")
    for file in COMPLETIONS:
        inside(f"grep -q _FSCLIENT_COMPLETE /usr/share/{file}")
    inside("dpkg -i /package.deb")  # an upgrade keeps the data
    assert "alice" in inside(f"{as_fsd} 'fsadmin --home /var/lib/fsd list-users'")
    assert "stays in /var/lib/fsd" in inside("dpkg -P fs-sealed")
    assert not (root / "usr/lib/fs-sealed").exists()
    assert (root / "var/lib/fsd/fsd.db").exists()
