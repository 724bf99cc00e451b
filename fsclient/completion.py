"""Completion in the shell: commands, then local paths or names in one's tree."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from typing_extensions import override

Names = Callable[[str], list[str]]


class PathCompleter(Completer):
    """Completes the word before the cursor."""

    def __init__(self, commands: list[str], remote: Names) -> None:
        """Take the commands, and what lists a remote folder."""
        self._commands = commands
        self._remote = remote

    @override
    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        before = document.text_before_cursor
        words = before.split()
        word = "" if before.endswith(" ") or not words else words[-1]
        if len(words) - bool(word) == 0:
            found = [name for name in self._commands if name.lower().startswith(word.lower())]
        else:
            first = words[0] == "put" and len(words) - bool(word) == 1
            found = _paths(word, _local if first else self._remote)
        for one in found:
            yield Completion(one, start_position=-len(word))


def _paths(word: str, names: Names) -> list[str]:
    typed = word.replace("\\ ", " ").strip("'\"")
    folder, _, start = typed.rpartition("/")
    above = f"{folder}/" if folder or typed.startswith("/") else ""
    return [_quoted(above + name) for name in names(above) if name.startswith(start)]


def _quoted(path: str) -> str:
    return path if shlex.quote(path) == path else path.replace(" ", "\\ ")


def _local(folder: str) -> list[str]:
    try:
        entries = sorted(Path(folder or ".").expanduser().iterdir())
    except OSError:
        return []
    return [entry.name + ("/" if entry.is_dir() else "") for entry in entries]
