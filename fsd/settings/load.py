"""Where values come from: defaults, below the file, below the environment, below the command line.

Everything that is wrong is found at once, and each thing said in one sentence that names the
place, the setting, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsd.home.home import SETTINGS_FILE, Home, default_home
from fsd.settings import tomlfile
from fsd.settings.model import Settings
from fsd.settings.table import BY_NAME, BY_VARIABLE, SETTINGS, Setting
from fsproto.errors import BadSettingError, UsageError
from fsproto.names import for_terminal

CONFIG_VARIABLE = "FSD_CONFIG"
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
    """One thing that is wrong."""

    sentence: str
    setting: str | None
    """The setting's name, if it is about one."""


@dataclass(frozen=True)
class Loaded:
    """All settings, the source of each, and the problems in them."""

    settings: Settings
    sources: Mapping[str, str]
    """Of those that are not at their default."""
    problems: tuple[Problem, ...]
    file: Path | None
    """The file that was read; None if there is none."""

    def checked(self, only: Iterable[str] | None = None) -> Settings:
        """Return the settings; `BadSettingError` for the first thing that is wrong.

        `only` names the settings that matter to who asks.
        """
        wanted = None if only is None else {None, *only}
        found = [p for p in self.problems if wanted is None or p.setting in wanted]
        if not found:
            return self.settings
        more = f"And {len(found) - 1} more. " if len(found) > 1 else ""
        raise BadSettingError(found[0].sentence, hint=more + _HINT)


def load(wanted: Wanted) -> Loaded:
    """Collect all settings; `BadSettingError` only for a file that cannot be read at all."""
    reader = _Reader()
    config = wanted.config or _path(wanted.environment.get(CONFIG_VARIABLE))
    at_home = wanted.home or _path(wanted.environment.get("FSD_HOME"))
    own = (at_home or default_home()).expanduser() / SETTINGS_FILE
    file = config or (own if os.path.exists(own) else None)  # noqa: PTH110 - never raises
    if file is not None:
        reader.take_file(file, may_name_home=config is not None)
    reader.take_environment(wanted.environment)
    for name, value in wanted.options.items():
        reader.take_word(name, value, wanted.flags.get(name, f"--set {name}"))
    if wanted.home is not None:
        reader.values["home"] = Home(wanted.home.expanduser())
        reader.sources["home"] = "--home"
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
                # Others may use the prefix, too; what is nearly one of ours was meant to be it.
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


def _path(word: str | None) -> Path | None:
    return Path(word).expanduser() if word else None


def _built(values: Mapping[str, object]) -> Settings:
    """Put values into the defaults, each where its setting says."""
    home = values.get("home")
    settings = Settings(home if isinstance(home, Home) else Home(default_home()))
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
