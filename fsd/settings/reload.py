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
    """What is different, and what comes of it."""

    settings: Settings
    """Those that count from now on."""
    taken: tuple[str, ...]
    """Names of settings that have changed and count from now on."""
    waiting: tuple[str, ...]
    """Names of settings that have changed and count after a restart."""


def compare(running: Settings, read: Settings) -> SettingChanges:
    """Take over what can be taken over."""
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
