"""Progress reports of a transfer: plain lines, JSON lines."""

from __future__ import annotations

import json
from math import ceil
from typing import Protocol

from fsclient.transfer.report.rate import FileSnapshot, Snapshot
from fsclient.ui import Ui
from fskit.text import count_text, duration_text, size_text, took_text


class ProgressReporter(Protocol):
    """A receiver of progress reports."""

    every_s: float
    """Seconds between two reports."""

    def tell(self, now: Snapshot) -> None:
        """Report the progress of the whole transfer."""

    def moved(self, file: FileSnapshot, seconds: float) -> None:
        """Report that a large file is complete, and how long it took."""

    def end(self, last: Snapshot | None) -> None:
        """Report the end of the transfer; `last` is None if it failed."""


def report_of(kind: str, ui: Ui) -> ProgressReporter | None:
    """Return the reporter for a kind that `Ui.progress_kind` returned."""
    match kind:
        case "bar":
            from fsclient.transfer.report.bars import Bars

            return Bars(ui)
        case "plain":
            return PlainLines(ui)
        case "json":
            return JsonLines(ui)
    return None


class PlainLines:
    """A reporter that prints a plain line periodically, and one for each large file."""

    every_s = 2.0

    def __init__(self, ui: Ui) -> None:
        self._ui = ui

    def tell(self, now: Snapshot) -> None:
        """Say how far everything is."""
        files, moved = str(now.files), size_text(now.bytes)
        if now.files_expected is not None:
            files = f"{files} of {count_text(now.files_expected, 'file')}"
        else:
            files = count_text(now.files, "file")
        if now.bytes_expected is not None:
            moved = f"{moved} of {size_text(now.bytes_expected)}"
        parts = [f"{now.verb} {files}", moved]
        if now.rate is not None:
            parts.append(f"{size_text(now.rate)}/s")
        if now.seconds_left is not None:
            parts.append(f"{duration_text(ceil(now.seconds_left))} left")
        self._ui.say_progress(", ".join(parts))

    def moved(self, file: FileSnapshot, seconds: float) -> None:
        """Say that a file has been moved."""
        parts = [file.name, size_text(file.bytes), took_text(file.bytes, seconds)]
        self._ui.say_progress(", ".join(filter(None, parts)))

    def end(self, last: Snapshot | None) -> None:
        """Say nothing: the totals come next."""


class JsonLines:
    """A reporter that prints JSON lines: periodically, for each large file, and at the end."""

    every_s = 1.0

    def __init__(self, ui: Ui) -> None:
        self._ui = ui

    def tell(self, now: Snapshot) -> None:
        """Say how far everything is."""
        self._say(
            event="progress",
            files=now.files,
            files_expected=now.files_expected,
            bytes=now.bytes,
            bytes_expected=now.bytes_expected,
            seconds=round(now.seconds, 3),
        )

    def moved(self, file: FileSnapshot, seconds: float) -> None:
        """Say that a file has been moved."""
        self._say(event="file", path=file.name, bytes=file.bytes, seconds=round(seconds, 3))

    def end(self, last: Snapshot | None) -> None:
        """Print the last state, unless the transfer failed."""
        if last is not None:
            self.tell(last)

    def _say(self, **event: object) -> None:
        self._ui.say_progress(json.dumps(event))
