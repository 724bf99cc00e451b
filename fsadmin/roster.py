"""Reading a CSV file of new users; all invalid lines are reported."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from fsadmin.account_options import typed_values
from fsd.services.accounts.terms import AccountTerms
from fskit.os_errors import file_error
from fsproto.errors import FsError, UsageError
from fsproto.names import clean_user, for_terminal

NAME = "name"
COLUMNS = {
    "note": "note",
    "expires": "expires_ms",
    "quota_bytes": "quota_bytes",
    "quota_files": "quota_files",
}
"""The name of each column, and the term that it sets."""
_DELIMITERS = ",;\t"
_LONGEST_FILE = 16 << 20
_LONGEST_SHOWN = 80


class RowProblem(NamedTuple):
    """A problem with one line."""

    line: int
    what: str
    """A sentence with the value, and what is allowed."""


class BadRowsError(UsageError):
    """Some lines cannot be used; no user was added."""

    code = "bad-rows"

    def __init__(self, file: Path, wrong: list[RowProblem]) -> None:
        """Describe every line that cannot be used."""
        count = len({one.line for one in wrong})
        lines = "1 line" if count == 1 else f"{count} lines"
        super().__init__(
            f"{lines} of {file} cannot be used; no user was added.",
            hint="Correct the lines listed above, and run the command again.",
        )
        self.details = tuple(f"line {one.line}: {one.what}" for one in sorted(wrong))


@dataclass(frozen=True)
class UserRow:
    """A user to add."""

    line: int
    name: str
    terms: AccountTerms


def read(path: Path, now_ms: int) -> tuple[list[UserRow], list[RowProblem]]:
    """Return the users in a file, and the problems of its lines.

    `UsageError` if it is not such a file, `NotFoundError` or `NotAllowedError` if it cannot
    be read.
    """
    lines = _lines(_text(path))
    try:
        _, header = next(lines)
    except StopIteration:
        raise UsageError(f"{path} is empty.", hint=_allowed()) from None
    header = [cell.strip().lower() for cell in header]
    _check_header(path, header)
    rows: list[UserRow] = []
    wrong: list[RowProblem] = []
    seen: dict[str, int] = {}
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        row = _row(line, header, cells, wrong)
        if row is None:
            continue
        first = seen.setdefault(row.name, line)
        if first != line:
            wrong.append(RowProblem(line, f"'{row.name}' is in line {first} already."))
        elif row.terms.ended(now_ms):
            wrong.append(RowProblem(line, "The account would have expired already."))
        else:
            rows.append(row)
    return rows, wrong


def taken(rows: Iterable[UserRow], names: set[str]) -> list[RowProblem]:
    """Return a problem for each user whose name is already in use."""
    there = "There is already a user"
    return [RowProblem(row.line, f"{there} {row.name}.") for row in rows if row.name in names]


def check(path: Path, rows: list[UserRow], wrong: list[RowProblem]) -> None:
    """Raise `BadRowsError` if there are problems, `UsageError` if there are no users."""
    if wrong:
        raise BadRowsError(path, wrong)
    if not rows:
        raise UsageError(f"{path} contains no users.")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise file_error(f"{path} cannot be read", error) from None
    if len(data) > _LONGEST_FILE:
        raise UsageError(f"{path} is too large for a list of people.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{path} is not UTF-8 in line {line}.", hint="Save it as CSV in UTF-8."
        ) from None


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file, each with the number of its first line.

    Spreadsheet programs put semicolons or tabs between values, too: the first line decides.
    """
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    before = 0
    try:
        for cells in reader:
            yield before + 1, cells
            before = reader.line_num
    except csv.Error as error:
        raise UsageError(f"Line {before + 1} is not CSV: {error}.") from None


def _check_header(path: Path, header: list[str]) -> None:
    unknown = [cell for cell in header if cell != NAME and cell not in COLUMNS]
    if unknown or NAME not in header or len(set(header)) != len(header):
        shown = for_terminal(",".join(header)[:_LONGEST_SHOWN])
        raise UsageError(f"'{shown}' in line 1 of {path} names no columns.", hint=_allowed())


def _allowed() -> str:
    names = f"'{NAME}', and any of {', '.join(COLUMNS)}"
    return f"Line 1 is {names}, with commas, semicolons or tabs between."


def _row(line: int, header: list[str], cells: list[str], wrong: list[RowProblem]) -> UserRow | None:
    """Return the user in a line; for an invalid line, add to `wrong` and return None."""
    if len(cells) != len(header):
        wrong.append(RowProblem(line, f"{len(cells)} values for {len(header)} columns."))
        return None
    values = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
    bad = []
    try:
        clean_user(values[NAME])
    except FsError as error:
        bad.append(f"{NAME}: {error.sentence} {error.hint}")
    terms = AccountTerms()
    for column, term in COLUMNS.items():
        try:
            terms = replace(terms, **typed_values({term: values.get(column) or None}))
        except FsError as error:
            bad.append(f"{column}: {error.sentence}")
    wrong += [RowProblem(line, what) for what in bad]
    return None if bad else UserRow(line, values[NAME], terms)
