"""Fixtures of the administration tool's own tests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fsadmin.cli import main
from fsd import factory
from fsd.home.home import Home
from tests.support.json_results import checked
from tests.support.rsa_pool import RsaPool


@pytest.fixture(autouse=True)
def _new_rsa_keys_are_pooled(pooled_rsa_keys: None) -> None:
    """Take new RSA keys from the pool of the test run."""


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the environment variables that choose a data directory or a database."""
    for name in ("FSD_HOME", "FSD_DATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def home_with_alice(tmp_path_factory: pytest.TempPathFactory, rsa_keys: RsaPool) -> Path:
    """A data directory with one account, where no fsd ran; tests copy it and do not change it."""
    home = Home(tmp_path_factory.mktemp("prepared") / "home")
    with pytest.MonkeyPatch.context() as patch:
        rsa_keys.use(patch)
        home.prepare()
    with closing(factory.open_database(home, None)) as database:
        factory.people(home, database).add("alice", digits=6, period=30, algorithm="SHA1")
    return home.path


@pytest.fixture
def admin(
    home_with_alice: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int | str | None, str, str]]:
    """Run fsadmin on its own data directory; return its exit status, stdout and stderr."""
    home = shutil.copytree(home_with_alice, tmp_path / "home")

    def run(*args: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["fsadmin", "--home", str(home), *args])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        if "--json" in args and out:
            checked("fsadmin", args, out)
        return ended.value.code, out, err

    return run
