"""Collects the settings: defaults, then the file, the environment and the command line.

A later source overrides an earlier one. All problems are found at once. Each has one sentence that
names the place, the setting, the value and the allowed values.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsd.home.home import SETTINGS_FILE, Home
from fsd.home.places import SYSTEM_HOME, default_home
from fsd.settings import tomlfile
from fsd.settings.model import Settings
from fsd.settings.table import BY_NAME, BY_VARIABLE, SETTINGS, Setting
from fskit.user_folders import expanded
from fsproto.errors import BadSettingError, UsageError
from fsproto.names import for_terminal

CONFIG_VARIABLE = "FSD_CONFIG"
HOME_VARIABLE = "FSD_HOME"
_LONGEST_SHOWN = 60
_HINT = "'fsd --check-config' shows all settings with their values, docs/configuration.md each one."


@dataclass(frozen=True)
class Wanted:
    """The settings of one run of a program from sources other than the file."""

    home: Path | None = None
    config: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """Values by setting's name, with those of `--set` among them."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """The command-line option of each setting that has one."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """One problem in the settings."""

    sentence: str
    setting: str | None
    """The name of the setting; None if the problem is about no setting."""


@dataclass(frozen=True)
class Loaded:
    """All settings, the source of each, and the problems in them."""

    settings: Settings
    sources: Mapping[str, str]
    """The source of each setting that is not at its default."""
    problems: tuple[Problem, ...]
    file: Path | None
    """The file that was read; None if there is none."""

    def checked(self, only: Iterable[str] | None = None) -> Settings:
        """Return the settings; `BadSettingError` for the first problem.

        With `only`, problems of other settings are ignored.
        """
        wanted = None if only is None else {None, *only}
        found = [p for p in self.problems if wanted is None or p.setting in wanted]
        if not found:
            return self.settings
        more = f"And {len(found) - 1} more. " if len(found) > 1 else ""
        raise BadSettingError(found[0].sentence, hint=more + _HINT)


def load(wanted: Wanted) -> Loaded:
    """Collect all settings.

    `UsageError` only for a file that cannot be read at all, or for a `~` without a home folder.
    """
    reader = _Reader()
    config = _place(wanted.config, wanted.environment, CONFIG_VARIABLE, "--config")
    home = _place(wanted.home, wanted.environment, HOME_VARIABLE, "--home") or default_home()
    own = None if home is None else home / SETTINGS_FILE
    file = config or (own if own and os.path.exists(own) else None)  # noqa: PTH110 - never raises
    if file is not None:
        reader.take_file(file, may_name_home=config is not None)
    reader.take_environment(wanted.environment)
    for name, value in wanted.options.items():
        reader.take_word(name, value, wanted.flags.get(name, f"--set {name}"))
    if wanted.home is not None:
        reader.values["home"] = Home(expanded(wanted.home, "--home"))
        reader.sources["home"] = "--home"
    reader.need_home(home)
    return Loaded(_built(reader.values), reader.sources, tuple(reader.problems), file)


def parse_set(words: Iterable[str]) -> dict[str, str]:
    """Parse the NAME=VALUE of `--set`; `UsageError` if it has another form."""
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise UsageError(f"'{for_terminal(word)}' is not NAME=VALUE.")
        found[name.strip()] = value.strip()
    return found


class _Reader:
    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.sources: dict[str, str] = {}
        self.problems: list[Problem] = []

    def take_file(self, path: Path, *, may_name_home: bool) -> None:
        for written in tomlfile.read(path):
            where = f"{path}, line {written.line}"
            setting = self._known(written.name, where)
            if setting is None:
                continue
            if setting.name == "home" and not may_name_home:
                self._wrong(f"{where}: the file in the home cannot name another home.", "home")
                continue
            self._take(setting, written.value, setting.kind.read, where)

    def take_environment(self, environment: Mapping[str, str]) -> None:
        for variable, value in environment.items():
            setting = BY_VARIABLE.get(variable)
            if setting is not None:
                self.take_word(setting.name, value, variable)
            elif variable.startswith("FSD_") and variable != CONFIG_VARIABLE:
                # Other programs may use the prefix; only a name close to a setting is an error.
                near = difflib.get_close_matches(variable, BY_VARIABLE, n=1, cutoff=0.85)
                if near:
                    self._wrong(
                        f"{for_terminal(variable)} in the environment is not a setting; "
                        f"did you mean {near[0]}?"
                    )

    def take_word(self, name: str, word: str, where: str) -> None:
        setting = self._known(name, where)
        if setting is not None:
            self._take(setting, word, setting.kind.parse, where)

    def need_home(self, default: Path | None) -> None:
        """Note a problem if there is neither a data directory nor a default place for one."""
        if "home" in self.values:
            return
        if default is None and not any(problem.setting == "home" for problem in self.problems):
            self._wrong(
                "There is no default place for the data directory, because HOME is not set and the "
                "system knows no home folder of this user; give one with --home or FSD_HOME.",
                "home",
            )
        self.values["home"] = Home(default or SYSTEM_HOME)

    def _known(self, name: str, where: str) -> Setting | None:
        if name in BY_NAME:
            return BY_NAME[name]
        last = name.rpartition(".")[2]
        near = [other for other in BY_NAME if other.rpartition(".")[2] == last]
        near += difflib.get_close_matches(name, BY_NAME, n=1)
        meant = (
            f"did you mean '{near[0]}'?" if near else "all of them are in docs/configuration.md."
        )
        self._wrong(f"{where}: '{for_terminal(name[:_LONGEST_SHOWN])}' is not a setting; {meant}")
        return None

    def _take(self, setting: Setting, raw: Any, read: Callable[[Any], object], where: str) -> None:  # noqa: ANN401 - whatever TOML has
        try:
            self.values[setting.name] = read(raw)
        except ValueError:
            shown = "…" if setting.secret else for_terminal(str(raw)[:_LONGEST_SHOWN])
            self._wrong(
                f"{where}: {setting.name} is '{shown}', but must be {setting.kind.allowed}.",
                setting.name,
            )
        else:
            self.sources[setting.name] = where

    def _wrong(self, sentence: str, setting: str | None = None) -> None:
        self.problems.append(Problem(sentence, setting))


def _place(
    option: Path | None, environment: Mapping[str, str], variable: str, flag: str
) -> Path | None:
    """Return the path of an option, else of a variable; None if neither gives one."""
    if option is not None:
        return expanded(option, flag)
    word = environment.get(variable)
    return expanded(Path(word), variable) if word else None


def _built(values: Mapping[str, Any]) -> Settings:
    """Put values into the defaults, each where its setting says."""
    settings = Settings(values["home"])
    for setting in SETTINGS:
        if setting.name in values:
            settings = put(settings, setting, values[setting.name])
    return settings


def put(settings: Settings, setting: Setting, value: object) -> Settings:
    """Return settings in which one has another value."""
    changed: Settings = _with(settings, setting.onto.split("."), value)
    return changed


def _with(owner: Any, path: list[str], value: object) -> Any:  # noqa: ANN401 - any dataclass
    first, *rest = path
    if rest:
        value = _with(getattr(owner, first), rest, value)
    return dataclasses.replace(owner, **{first: value})
