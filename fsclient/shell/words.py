"""Splitting a line of the shell into words, and quoting a word.

Quotes work as in a POSIX shell. A backslash escapes the next character, except on Windows, where
it separates the parts of paths.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass

from fsproto.errors import UsageError

_BLANKS = " \t\r\n"
_ESCAPE = "" if os.name == "nt" else "\\"


@dataclass(frozen=True)
class Word:
    """The word before the cursor."""

    text: str
    """The text so far, without quotes."""
    length: int
    """The number of characters typed, with quotes and escapes."""
    quote: str
    """The open quotation mark; empty if there is none."""


def split(line: str, escape: str = _ESCAPE) -> list[str]:
    """Split a complete line; `UsageError` if a quotation mark is not closed."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.escape = escape
    try:
        return list(lexer)
    except ValueError as error:
        raise UsageError(f"That line cannot be read: {str(error).lower()}.") from None


def split_unfinished(line: str, escape: str = _ESCAPE) -> tuple[list[str], Word]:
    """Split an unfinished line into its complete words and the last word."""
    words: list[str] = []
    text, start, quote, inside = "", 0, "", False
    at = 0
    while at < len(line):
        character, following = line[at], line[at + 1 : at + 2]
        if character == escape and quote != "'" and (not quote or following in (quote, escape)):
            text, inside = text + following, True
            at += 1
        elif quote:
            text, quote = (text, "") if character == quote else (text + character, quote)
        elif character in "'\"":
            quote, inside = character, True
        elif character in _BLANKS:
            words += [text] if inside else []
            text, start, inside = "", at + 1, False
        else:
            text, inside = text + character, True
        at += 1
    return words, Word(text, len(line) - start, quote)


def quoted(word: str, quote: str = "", escape: str = _ESCAPE) -> str:
    """Return a word in quoted form; an open `quote` stays open for more input."""
    if quote == "'" and "'" not in word:
        return quote + word
    special = f'"{escape}' if quote or not escape else f"\"'{escape} \t"
    text = "".join(escape + c if c in special else c for c in word)
    needs_quote = quote or (not escape and text and set(" '\t") & set(word))
    return f'"{text}' if needs_quote else text
