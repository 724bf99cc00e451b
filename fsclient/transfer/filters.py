"""The rules that choose files: by patterns of their paths, by size and by time.

All commands use these rules. Patterns are those of a `.gitignore`, for paths relative to the folder
that a command is about. The first of these that matches a file decides:

1. `--exclude` and `--exclude-from` leave it out;
2. the lines of `--filter-from`, in their order: `+ PATTERN` takes it, `- PATTERN` leaves it out;
3. `--include` takes it; where there is an include, all other files are left out.

A folder that matches a rule which leaves out is not even looked into, unless a rule before it takes
something: then its files are decided one by one. Sizes and times are those of files and links.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fsclient.local_errors import local_errors
from fsproto.errors import UsageError
from fsproto.names import canonical_name, for_terminal
from fsproto.values import Value

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_TAKES = {"+": True, "-": False}


class Facts(Protocol):
    """Size and time of a file."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def mtime_ns(self) -> int:
        """Nanoseconds since 1970."""


class Limits(Value, frozen=True):
    """Limits of size and time, which must all hold; None holds always."""

    min_size: int | None = None
    max_size: int | None = None
    newer_s: float | None = None
    """Only what changed after this time, in seconds since the epoch."""
    older_s: float | None = None

    def fit(self, facts: Facts) -> bool:
        """Return whether a file is within the limits."""
        return self.size_fits(facts) and self.time_fits(facts)

    @property
    def limit_sizes(self) -> bool:
        """Whether there is a limit of size."""
        return self.min_size is not None or self.max_size is not None

    def size_fits(self, facts: Facts) -> bool:
        """Return whether the size of a file is within the limits."""
        least, most = self.min_size or 0, self.max_size
        return least <= facts.size and (most is None or facts.size <= most)

    def time_fits(self, facts: Facts) -> bool:
        """Return whether the time of a file or folder is within the limits."""
        changed_s = facts.mtime_ns / 1e9
        newer_s, older_s = self.newer_s, self.older_s
        return (newer_s is None or changed_s > newer_s) and (older_s is None or changed_s < older_s)

    def __bool__(self) -> bool:
        return self != _NO_LIMITS


_NO_LIMITS = Limits()


class Patterns(Value, frozen=True):
    """The patterns that a user gives."""

    exclude: Sequence[str] = ()
    exclude_from: Sequence[Path] = ()
    filter_from: Sequence[Path] = ()
    include: Sequence[str] = ()


class Filters:
    """The rules of one command. Patterns and paths are compared in NFC.

    Where the local folder folds case, so do the patterns.
    """

    def __init__(self, patterns: Patterns | None = None, limits: Limits = _NO_LIMITS) -> None:
        """Read the files that `patterns` names; raise `FsError` if a pattern is invalid."""
        given = patterns or Patterns()
        self._limits = limits
        excludes = [line for file in given.exclude_from for line in _lines(file)]
        self._rules = _rules([(False, [*excludes, *_typed(given.exclude)])])
        self._rules += _rules(one for file in given.filter_from for one in _read_rules(file))
        self._rules += _rules([(True, _typed(given.include))])
        self._others_stay_out = bool(given.include)

    def __bool__(self) -> bool:
        return bool(self._rules or self._limits)

    @property
    def choose_files(self) -> bool:
        """Whether a folder may be left with no file; such a folder is not transferred."""
        return bool(self._limits) or any(one.takes for one in self._rules)

    def leave_out(
        self,
        path: str,
        facts: Callable[[], Facts | None] | None = None,
        folds: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Return whether a path is left out; do not ask for paths inside such a folder.

        `facts` returns size and time of a file, None if they are unknown; for a folder, `facts`
        itself is None. `folds` is called where it matters whether the local folder of the path
        folds case.
        """
        if not self:
            return False
        if self._rules and not self._take(canonical_name(path), folds, folder=facts is None):
            return True
        if facts is None or not self._limits:
            return False
        found = facts()
        return found is not None and not self._limits.fit(found)

    def _take(self, path: str, folds: Callable[[], bool], *, folder: bool) -> bool:
        matched = path + "/" * folder
        for rule in self._rules:
            if folder and rule.takes:
                return True  # what is below may match this rule
            if rule.matches(matched, folds):
                return rule.takes
        return folder or not self._others_stay_out


class _Rule:
    """Patterns that all take files, or all leave files out."""

    def __init__(self, lines: list[str], *, takes: bool) -> None:
        self.takes = takes
        self._spec = _compiled(lines)
        self._folded = _compiled([line.casefold() for line in lines])

    def matches(self, path: str, folds: Callable[[], bool]) -> bool:
        return self._spec.match_file(path) or (self._folded.match_file(path.casefold()) and folds())


def _rules(given: Iterable[tuple[bool, list[str]]]) -> list[_Rule]:
    """Return rules in their order; neighbours that decide alike are one rule."""
    rules = []
    for takes, some in groupby(given, key=lambda one: one[0]):
        lines = [line for _, patterns in some for line in patterns]
        if lines:
            rules.append(_Rule(lines, takes=takes))
    return rules


def _read_rules(file: Path) -> Iterator[tuple[bool, list[str]]]:
    """Yield the rules of a filter file, one for each line; lines with `#` or `;` are comments."""
    for number, line in enumerate(_lines(file), 1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        sign, _, pattern = text.partition(" ")
        if sign not in _TAKES or not pattern.strip() or pattern.strip()[0] == "!":
            raise UsageError(
                f"Line {number} of the local '{for_terminal(str(file))}' is not understood: "
                f"'{for_terminal(text)}'.",
                hint="A line is '+ PATTERN' to take files, or '- PATTERN' to leave them out.",
            )
        yield _TAKES[sign], _typed([pattern.strip()])


def _lines(file: Path) -> list[str]:
    try:
        with local_errors(file):
            return file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"The local '{for_terminal(str(file))}' is not a text in UTF-8.") from None


def _typed(patterns: Sequence[str]) -> list[str]:
    """Return the lines for patterns that were typed one by one."""
    if not patterns:
        return []
    from fsclient.transfer.patterns import typed  # only where there are patterns

    with _named():
        return [typed(one) for one in patterns]


def _compiled(lines: list[str]) -> GitIgnoreSpec:
    from fsclient.transfer.patterns import gitignore

    with _named():  # names in a tree are in NFC; typed patterns may not be
        return gitignore(canonical_name(line) for line in lines)


@contextmanager
def _named() -> Iterator[None]:
    """Name the pattern that cannot be used."""
    try:
        yield
    except ValueError as error:
        raise UsageError(f"A pattern is not understood: {error}.") from None
