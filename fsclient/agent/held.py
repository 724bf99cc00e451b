"""The keys that the agent holds, and when it wipes them: after a time, and after a suspension."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from fsclient.agent.messages import MOST_FILES
from fskit.secret_bytes import SecretBytes
from fsproto import crypto

_SUSPENDED_S = 0.5
"""The least difference between the clocks that counts as a suspension; reading takes less."""


class Clocks(NamedTuple):
    """Two clocks in seconds: one stands still while the machine is suspended, one does not."""

    awake_s: float
    passed_s: float


def read_clocks() -> Clocks:
    """Read the clocks of this machine; equal where there is only one."""
    awake = getattr(time, "CLOCK_UPTIME_RAW", getattr(time, "CLOCK_MONOTONIC", None))
    passed = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
    read = getattr(time, "clock_gettime", None)
    if read is None or awake is None or passed is None:
        return Clocks(time.monotonic(), time.monotonic())
    return Clocks(read(awake), read(passed))


class _Held(NamedTuple):
    digest: bytes
    key: SecretBytes
    ends_s: float


class HeldKeys:
    """Keys by the path of the identity file, each for the same time."""

    def __init__(self, hold_s: float, clocks: Callable[[], Clocks]) -> None:
        """Hold each key for `hold_s` seconds after it was kept."""
        self.hold_s = hold_s
        self._clocks = clocks
        self._held: dict[bytes, _Held] = {}
        now = clocks()
        self._suspended_s = now.passed_s - now.awake_s

    def find(self, path: bytes, digest: bytes) -> memoryview | None:
        """Return the key of the file with this content; wipe the key of any other content."""
        self.refresh()
        held = self._held.get(path)
        if held is None:
            return None
        if not crypto.equal(held.digest, digest):
            self.forget(path)
            return None
        return held.key.view()

    def keep(self, path: bytes, digest: bytes, key: memoryview) -> None:
        """Hold a key; beyond `MOST_FILES`, it replaces the key that would end first."""
        self.refresh()
        self.forget(path)
        if len(self._held) >= MOST_FILES:
            self.forget(min(self._held, key=lambda one: self._held[one].ends_s))
        ends_s = self._clocks().passed_s + self.hold_s
        self._held[path] = _Held(digest, SecretBytes(key), ends_s)

    def forget(self, path: bytes) -> None:
        """Wipe the key of a file, if there is one."""
        held = self._held.pop(path, None)
        if held is not None:
            held.key.wipe()

    def forget_all(self) -> None:
        """Wipe all keys."""
        for path in list(self._held):
            self.forget(path)

    def left_s(self) -> dict[bytes, float]:
        """Return for how many seconds more each file's key is held."""
        self.refresh()
        now = self._clocks().passed_s
        return {path: max(held.ends_s - now, 0) for path, held in self._held.items()}

    def refresh(self) -> None:
        """Wipe the keys whose time has passed; all keys if the machine was suspended."""
        now = self._clocks()
        suspended_s, self._suspended_s = self._suspended_s, now.passed_s - now.awake_s
        if self._suspended_s - suspended_s > _SUSPENDED_S:
            self.forget_all()
        for path in [path for path, held in self._held.items() if held.ends_s <= now.passed_s]:
            self.forget(path)
