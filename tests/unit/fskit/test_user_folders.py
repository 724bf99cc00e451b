"""`~` in paths and default folders, for users with and without a home folder."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from fsclient.gateway.listen import parse_place
from fsclient.session.otp import CodeSource
from fsclient.ui import Ui
from fsd.settings.load import Wanted, load
from fskit.user_folders import default_folder, expanded
from fsproto.errors import BadSettingError, UsageError


def test_a_path_below_a_home_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded(Path("~/x/y"), "--home") == tmp_path / "x" / "y"
    assert expanded(Path("~root"), "--home").is_absolute()
    assert expanded(Path("x/~y"), "--home") == Path("x/~y")


@pytest.mark.parametrize("path", ["~nouser/x", "~nouser", "~54321/x"])
def test_a_home_folder_that_is_not_known_is_named_with_its_option(path):
    with pytest.raises(UsageError) as refused:
        expanded(Path(path), "--home or FSD_HOME")
    assert f"'{path}', given with --home or FSD_HOME" in refused.value.sentence
    assert path.split("/")[0].removeprefix("~") in refused.value.sentence


def test_there_is_no_default_folder_without_a_home_folder():
    assert default_folder(lambda: "~/.config/fsclient") is None  # older versions of platformdirs
    assert default_folder(lambda: "relative/.config") is None
    assert default_folder(lambda: "/srv/x") == Path("/srv/x")

    def unknown() -> str:
        raise RuntimeError

    assert default_folder(unknown) is None


def test_the_default_folder_is_the_one_of_the_system(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = default_folder(lambda: platformdirs.user_config_dir("fsclient"))
    assert found == tmp_path / "fsclient"


def test_every_option_that_takes_a_path_names_itself():
    with pytest.raises(UsageError, match="--otp-secret-file or FSCLIENT_OTP_SECRET_FILE"):
        next(CodeSource(None, Path("~nouser/x")).codes(Ui()))
    with pytest.raises(UsageError, match="--listen"):
        parse_place("unix:~nouser/x")
    for wanted, named in (
        (Wanted(home=Path("~nouser/x")), "--home"),
        (Wanted(config=Path("~nouser/x")), "--config"),
        (Wanted(environment={"FSD_HOME": "~nouser/x"}), "FSD_HOME"),
        (Wanted(environment={"FSD_CONFIG": "~nouser/x"}), "FSD_CONFIG"),
    ):
        with pytest.raises(UsageError, match=f"given with {named}:"):
            load(wanted)


def test_a_setting_with_an_unknown_home_folder_is_a_problem_of_that_setting(tmp_path):
    loaded = load(Wanted(options={"home": "~nouser/x"}))
    with pytest.raises(BadSettingError, match="home is '~nouser/x'"):
        loaded.checked()
    (tmp_path / "fsd.toml").write_text('home = "~nouser/x"\n')
    with pytest.raises(BadSettingError, match="line 1: home is '~nouser/x'"):
        load(Wanted(config=tmp_path / "fsd.toml")).checked()
