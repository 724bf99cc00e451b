"""Files of JSON and TOML that are damaged in every way have one kind of error."""

from __future__ import annotations

import pytest

from fsclient.profile import Profile
from fsd.home.home import Home
from fsd.settings.tomlfile import read
from fskit.json_data import parsed
from fsproto.errors import BadSettingError, FsError, IntegrityError
from fsproto.link import parse_link

DAMAGED = ["", "{", "[" * 100_000, '{"a":' * 50_000, "nonsense", "\x00", b"\xff\xfe"]
LINK = parse_link(f"fs://alice@host/?host-key=SHA256:{'A' * 43}")


@pytest.mark.parametrize("text", DAMAGED)
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        parsed(text)


@pytest.mark.parametrize("text", [*DAMAGED, "[]", "1", "null", '"x"', "{}"])
def test_a_damaged_profile_is_named_by_every_use(tmp_path, text):
    profile = Profile(tmp_path, "default")
    profile.folder.mkdir(parents=True)
    data = text if isinstance(text, bytes) else text.encode()
    (profile.folder / "profile.json").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"profile\.json' is damaged"):
        profile.facts()
    assert profile.via() is None
    for act in (lambda: profile.keep_via("ssh"), lambda: profile.expect(LINK)):
        if text != "{}":
            with pytest.raises(IntegrityError, match=r"profile\.json' is damaged"):
                act()


@pytest.mark.parametrize("text", [*DAMAGED, "[]", "1", "null", '{"at_ms": "x"}'])
def test_damaged_notes_of_a_server_are_none(tmp_path, text):
    home = Home(tmp_path)
    data = text if isinstance(text, bytes) else text.encode()
    for name in ("run.json", "backup.json", "audit-seen.json"):
        (tmp_path / name).write_bytes(data)
    assert home.last_run() == {} or text == '{"at_ms": "x"}'
    assert home.last_backup_ms() is None
    with pytest.raises(FsError, match="is damaged"):
        home.seen_audit()


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 3000 + "]" * 3000,
        ".".join("a" * 3000) + " = 1",
        "a={" * 3000 + "}" * 3000,
        "[" + ".".join("a" * 3000) + "]\nb = 1",
    ],
    ids=["arrays", "a dotted name", "tables", "a dotted section"],
)
def test_a_configuration_file_that_is_nested_too_deep_is_named(tmp_path, text):
    (tmp_path / "fsd.toml").write_text(text)
    with pytest.raises(BadSettingError, match=r"fsd\.toml is nested too deep"):
        read(tmp_path / "fsd.toml")
