"""Completion in the shell: commands, local paths, remote paths, and groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from typing_extensions import override

from fsclient.shell.words import Word, quoted, split_unfinished

Names = Callable[[str], list[str]]


class PathCompleter(Completer):
    """A completer of the word before the cursor."""

    def __init__(self, commands: list[str], remote: Names, groups: Callable[[], list[str]]) -> None:
        """`remote` lists a remote folder; `groups` returns the groups in the user's shares."""
        self._commands = commands
        self._remote = remote
        self._groups = groups

    @override
    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        before, last = split_unfinished(document.text_before_cursor)
        for one in self._found(before, last):
            shown = one.rstrip("/:'\"").replace(":", "/").rpartition("/")[2]
            ends = "/" if one.rstrip("'\"").endswith("/") else ""
            yield Completion(one, start_position=-last.length, display=shown + ends or one)

    def _found(self, before: list[str], last: Word) -> Iterable[str]:
        if not before:
            start = last.text.lower()
            return [name for name in self._commands if name.lower().startswith(start)]
        # The first path is a source; a later one may be a source or the target.
        later = any(not word.startswith("-") for word in before[1:])
        match before[0].lower():
            case "lcd" | "lls":
                places: list[Names] = [local_names]
            case "put" | "send_file" | "sync" | "check":
                places = [local_names, self._remote] if later else [local_names]
            case "get" | "request_file":
                places = [self._remote, local_names] if later else [self._remote]
            case "share" | "unshare" if later and last.text.startswith("@"):
                groups = (f"@{group}" for group in self._groups())
                return [group for group in groups if group.startswith(last.text)]
            case _:
                places = [self._remote]
        return dict.fromkeys(path for names in places for path in _paths(last, names))


def _paths(last: Word, names: Names) -> list[str]:
    folder, slash, start = last.text.rpartition("/")
    if not slash and names is not local_names:  # a share of another user: `alice:re…`
        folder, slash, start = last.text.rpartition(":")
    above = folder + slash
    return [quoted(above + name, last.quote) for name in names(above) if name.startswith(start)]


def local_names(folder: str) -> list[str]:
    """Return the names in a local folder, folders with a `/`; empty if it cannot be read."""
    try:
        entries = sorted(Path(folder or ".").expanduser().iterdir())
        return [entry.name + ("/" if entry.is_dir() else "") for entry in entries]
    except (OSError, RuntimeError):
        return []
