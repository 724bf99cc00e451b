"""Reload of the settings while the server runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsd.home.home import Home
from fsd.settings.load import put
from fsd.settings.table import SETTINGS

if TYPE_CHECKING:
    from fsd.settings.model import Settings


@dataclass(frozen=True)
class SettingChanges:
    """The changed settings, and which of them need a restart."""

    settings: Settings
    """The settings in force after the reload."""
    taken: tuple[str, ...]
    """Names of changed settings that apply at once."""
    waiting: tuple[str, ...]
    """Names of changed settings that apply after a restart."""


def compare(running: Settings, read: Settings) -> SettingChanges:
    """Return the settings after a reload, and the names of those that changed."""
    now = dataclasses.replace(running)
    taken, waiting = [], []
    for setting in SETTINGS:
        value = setting.of(read)
        if _same(value, setting.of(running)):
            continue
        if setting.reloads:
            now = put(now, setting, value)
            taken.append(setting.name)
        else:
            waiting.append(setting.name)
    return SettingChanges(now, tuple(taken), tuple(waiting))


def _same(one: object, other: object) -> bool:
    if isinstance(one, Home) and isinstance(other, Home):
        return one.path == other.path
    return one == other
