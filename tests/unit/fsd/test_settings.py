"""Settings: one table, four sources, and the errors for invalid values."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from fsd.home.home import Home
from fsd.settings import reference
from fsd.settings.load import Loaded, Wanted, load, parse_set
from fsd.settings.model import Settings
from fsd.settings.reload import compare
from fsd.settings.table import BY_NAME, BY_VARIABLE, SETTINGS, Setting
from fsproto.errors import BadSettingError, UsageError
from tests.support.servers import ROOT


def of_file(path: Path, text: str, **more) -> Loaded:
    path.write_text(text)
    return load(Wanted(config=path, **more))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fsd.toml"


# --- the table


def fields(owner: object, above: str = "") -> set[str]:
    found = set()
    for one in dataclasses.fields(owner):  # type: ignore[arg-type]
        value = getattr(owner, one.name)
        parted = dataclasses.is_dataclass(value)
        parts = {"logins", "door", "ssh", "person", "blobs", "uploads", "keep", "quota"}
        parts |= {"drops", "hooks", "web", "links", "requests"}
        if parted and one.name in parts:
            found |= fields(value, f"{above}{one.name}.")
        else:
            found.add(above + one.name)
    return found


def test_every_field_that_an_operator_decides_about_has_its_line_and_only_one(tmp_path):
    defaults = Settings(Home(tmp_path))
    assert sorted(setting.onto for setting in SETTINGS) == sorted(fields(defaults))
    assert len(BY_NAME) == len(BY_VARIABLE) == len(SETTINGS)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_default_is_allowed_and_reads_as_what_is_written(setting: Setting, tmp_path):
    default = setting.of(Settings(Home(tmp_path)))
    shown = setting.kind.show(default)
    value = tomllib.loads(f"x = {shown}")["x"]
    read = setting.kind.read(value)
    assert (read.path if isinstance(read, Home) else read) == (
        tmp_path if isinstance(default, Home) else default
    )
    word = value if isinstance(value, str) else shown
    again = setting.kind.parse(word)
    assert isinstance(again, Home) or again == default


def test_the_page_about_settings_is_what_the_table_says():
    assert (ROOT / "docs" / "configuration.md").read_text() == reference.page()


def test_what_is_shown_as_in_force_is_a_file_that_says_the_same(file):
    first = of_file(file, 'listen = "[::1]:7"\n[login]\nsession = "90 min"\n[door]\nidle = 11.5\n')
    again = of_file(file, reference.in_force(first))
    assert again.problems == ()
    assert compare(first.settings, again.settings).taken == ()
    assert compare(first.settings, again.settings).waiting == ()
    assert again.settings.logins.session_ms == 90 * 60 * 1000


# --- the sources


def test_the_environment_goes_above_the_file_and_the_command_line_above_both(file):
    text = "[login]\nfree_tries = 2\n[door]\nidle = 20\nstall = 20\n"
    loaded = of_file(
        file,
        text,
        environment={"FSD_DOOR_IDLE": "30", "FSD_DOOR_STALL": "30"},
        options={"door.stall": "40"},
    )
    found = loaded.checked()
    assert (found.logins.free_tries, found.door.idle_s, found.door.stall_s) == (2, 30, 40)
    assert loaded.sources == {
        "login.free_tries": f"{file}, line 2",
        "door.idle": "FSD_DOOR_IDLE",
        "door.stall": "--set door.stall",
    }


def test_the_file_of_the_home_is_found_there_and_may_not_name_another(tmp_path):
    (tmp_path / "fsd.toml").write_text('listen = "127.0.0.1:7"\n')
    for wanted in (Wanted(home=tmp_path), Wanted(environment={"FSD_HOME": str(tmp_path)})):
        assert load(wanted).checked().listen.port == 7
    (tmp_path / "fsd.toml").write_text('home = "/elsewhere"\n')
    with pytest.raises(BadSettingError, match=r"line 1: .*cannot name another"):
        load(Wanted(home=tmp_path)).checked()


def test_a_file_that_was_named_may_name_the_home_and_must_be_there(tmp_path, file):
    assert of_file(file, f'home = "{tmp_path}/there"').checked().home.path == tmp_path / "there"
    environment = {"FSD_CONFIG": str(file)}
    assert load(Wanted(environment=environment)).checked().home.path == tmp_path / "there"
    with pytest.raises(BadSettingError, match="cannot be read"):
        load(Wanted(config=tmp_path / "missing"))


# --- errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n[login]\nsesion = 3", r"line 3: 'login\.sesion' .* did you mean 'login\.session'"),
        ("session = 3", r"line 1: 'session' .* did you mean 'login\.session'"),
        ("[logins]\nsession = 3", r"line 2: 'logins\.session' .* mean 'login\.session'"),
        ("login = {sesion = 3}", r"line 1: 'login\.sesion'"),
        (
            "# x\nlogin.session = '3 weeks'",
            r"line 2: login\.session is '3 weeks', .* 1 min to 90 d",
        ),
        ("[login]\nfree_tries = 0", r"line 2: login\.free_tries is '0', .* 1 to 1000"),
        ("[login]\nfree_tries = true", "line 2"),
        ("[login]\nfree_tries = '5'", "line 2"),
        ("[door]\nidle = nan", "line 2: door.idle is 'nan'"),
        ("[door]\nidle = '-5 s'", "line 2"),
        ("listen = 'here:there'", r"listen is 'here:there', but must be an address"),
        ("metrics_listen = '0.0.0.0:9464'", "loopback"),
        ("log_format = 'xml'", '"text" or "json"'),
        ("door = 5", "'door' is not a setting"),
    ],
)
def test_a_wrong_setting_is_reported_with_line_value_and_allowed_values(file, text, words):
    with pytest.raises(BadSettingError, match=words) as refusal:
        of_file(file, text).checked()
    assert str(file) in refusal.value.sentence
    assert refusal.value.exit_status == 2


@pytest.mark.parametrize("text", ["listen = ", "[login", "a = 1\na = 2", b"\xff\xfe"])
def test_invalid_toml_is_one_sentence_with_the_line(file, text):
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadSettingError, match=r"line \d|end of document|UTF-8"):
        load(Wanted(config=file))


def test_everything_that_is_wrong_is_found_at_once(file):
    loaded = of_file(
        file, "a = 1\nlisten = 3\n", environment={"FSD_DOOR_IDEL": "3", "FSD_LOGIN_SESSION": "x"}
    )
    assert len(loaded.problems) == 4
    with pytest.raises(BadSettingError) as refusal:
        loaded.checked()
    assert "3 more" in (refusal.value.hint or "")


def test_what_others_call_alike_in_the_environment_is_theirs(file):
    environment = {"FSD_PORT_65432_TCP": "tcp://10.0.0.1", "FSD_SERVICE_HOST": "10.0.0.1"}
    assert of_file(file, "", environment=environment).problems == ()


def test_a_password_in_a_url_is_never_shown(file):
    loaded = of_file(file, 'database = "postgresql+psycopg://fsd:hunter2@/fsd"\nlisten = 1')
    assert "hunter2" not in reference.in_force(loaded)
    bad = of_file(file, 'database = "postgresql:fsd:hunter2@/fsd"')
    assert bad.problems
    assert "hunter2" not in bad.problems[0].sentence


def test_who_needs_the_database_alone_is_not_kept_from_it_by_another_mistake(file):
    loaded = of_file(file, "database = ''\n[door]\nidle = 0\n")
    assert loaded.checked(("home", "database")).database is None
    with pytest.raises(BadSettingError):
        loaded.checked()


def test_set_needs_a_name_and_a_value():
    assert parse_set(["a=b=c", "d= e "]) == {"a": "b=c", "d": "e"}
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_set(["login.session"])


# --- reloading


def test_what_cannot_be_taken_over_waits_and_the_rest_counts(file):
    before = of_file(file, "").settings
    after = of_file(file, 'listen = "127.0.0.1:9"\n[login]\nsession = 60\n').settings
    changes = compare(before, after)
    assert (changes.taken, changes.waiting) == (("login.session",), ("listen",))
    assert changes.settings.listen == before.listen
    assert changes.settings.logins.session_ms == 60_000


def test_the_example_on_the_page_is_in_order(file):
    example = re.findall(r"```toml\n(.*?)```", reference.page(), re.DOTALL)
    assert example
    assert of_file(file, example[0]).problems == ()
