"""How a line of the shell falls into words, and how a word is quoted to stay one.

Quotes work as in any shell. A backslash takes the meaning from what follows, except on Windows,
where paths are written with it.
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
    """The word that is being typed."""

    text: str
    """What it says so far, quotes taken away."""
    length: int
    """How many characters it was typed with."""
    quote: str
    """The quotation mark that is still open, if one is."""


def split(line: str, escape: str = _ESCAPE) -> list[str]:
    """Split a whole line; `UsageError` if a quotation mark is left open."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.escape = escape
    try:
        return list(lexer)
    except ValueError as error:
        raise UsageError(f"That line cannot be read: {str(error).lower()}.") from None


def split_unfinished(line: str, escape: str = _ESCAPE) -> tuple[list[str], Word]:
    """Split a line that is being typed into its whole words and the last one."""
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
    """Return a word as it is typed; a `quote` that was opened stays open for more."""
    if quote == "'" and "'" not in word:
        return quote + word
    special = f'"{escape}' if quote or not escape else f"\"'{escape} \t"
    text = "".join(escape + c if c in special else c for c in word)
    needs_quote = quote or (not escape and text and set(" '\t") & set(word))
    return f'"{text}' if needs_quote else text
