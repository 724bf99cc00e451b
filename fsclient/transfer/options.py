"""Options of `put`, `get` and `sync`: excluded paths and the treatment of existing files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fsclient.local_errors import local_errors
from fsproto.errors import UsageError
from fsproto.names import canonical_name, for_terminal
from fsproto.values import Value

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class Excludes:
    """Patterns that are matched against paths relative to the transferred folder.

    Both are compared in NFC. Where the local folder folds case, so do the patterns.
    """

    def __init__(self, patterns: Sequence[str] = (), files: Sequence[Path] = ()) -> None:
        """Take patterns, and files with one pattern a line; raise `FsError` if one is invalid."""
        self._spec: GitIgnoreSpec | None = None
        self._folded: GitIgnoreSpec | None = None
        lines = [line for file in files for line in _lines(file)] + list(patterns)
        if lines:
            self._spec = _compiled(lines)
            self._folded = _compiled([line.casefold() for line in lines])

    def __bool__(self) -> bool:
        return self._spec is not None

    def match(self, path: str, *, folder: bool, folds: Callable[[], bool] = lambda: False) -> bool:
        """Return whether a path is excluded; do not ask for paths inside an excluded folder.

        `folds` is called where it matters whether the local folder of the path folds case.
        """
        if self._spec is None or self._folded is None:
            return False
        path = canonical_name(path) + "/" * folder
        return self._spec.match_file(path) or (self._folded.match_file(path.casefold()) and folds())


def _lines(file: Path) -> list[str]:
    try:
        with local_errors(file):
            return file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"The local '{for_terminal(str(file))}' is not a text in UTF-8.") from None


def _compiled(lines: list[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:  # names in a tree are in NFC; typed patterns may not be
        return GitIgnoreSpec.from_lines(canonical_name(line) for line in lines)
    except ValueError as error:
        raise UsageError(f"A pattern to exclude is not understood: {error}.") from None


class TransferOptions(Value, frozen=True):
    """How to treat files that already exist."""

    excludes: Excludes = msgspec.field(default_factory=Excludes)
    update: bool = False
    """Skip files of the same size, time and mode."""
    mirror: bool = False
    """As `update`; if only time or mode differ, compare contents and set just these. Applies to
    folders as well."""
    checksum: bool = False
    """Compare contents even where size, time and mode are the same."""
    since_ns: int | None = None
    """As `update`, but only for files that were transferred since this time (ns)."""
    delete: bool = False
    """Remove files that the source lacks, and replace entries of another kind."""
