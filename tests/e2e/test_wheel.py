"""The wheel: built, installed in an empty environment, and used to create a database."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

from sqlalchemy import create_engine, inspect

from tests.support.servers import ROOT


def _build_wheel(folder: Path) -> Path:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--wheel-dir",
            str(folder),
            str(ROOT),
        ],
        check=True,
        timeout=120,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _install(wheel: Path, folder: Path) -> Path:
    """Unpack only the wheel; a path file supplies its dependencies from this environment."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site_packages)
    requirements = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages / "zz_requirements.pth").write_text("\n".join(requirements))
    return folder / "bin" / "python"


def test_an_installed_wheel_creates_and_upgrades_a_database(tmp_path):
    wheel = _build_wheel(tmp_path / "dist")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "fsd/migrations/versions/0001_initial.py" in names
    assert "fsd/systemd/fsd.service" in names
    assert not [name for name in names if name.startswith(("migrations/", "tests/", "bench/"))]

    python = _install(wheel, tmp_path / "env")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    source = "import fsd.store.schema as schema; print(schema._MIGRATIONS)"
    found = subprocess.run(
        [python, "-c", source], env=clean, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (tmp_path / "env") in Path(found.stdout.strip()).parents

    home = tmp_path / "data"
    subprocess.run(
        [python, "-m", "fsadmin", "--home", str(home), "db", "upgrade"],
        env=clean,
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    engine = create_engine(f"sqlite:///{home / 'fsd.db'}")
    try:
        assert {"users", "used_otps", "alembic_version"} <= set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
