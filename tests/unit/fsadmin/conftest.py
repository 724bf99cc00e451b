"""Fixtures of the administration tool's own tests."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from fsd import app
from fsd.home import Home


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person who runs the tests has set is not what they are about."""
    for name in ("FSD_HOME", "FSD_DATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def home_with_alice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where nothing ran yet, with one account; to be copied and not to be used."""
    home = Home(tmp_path_factory.mktemp("prepared") / "home")
    home.prepare()
    with closing(app.open_database(home, None)) as database:
        app.people(home, database).add("alice", digits=6, period=30, algorithm="SHA1")
    return home.path
