"""Patterns of paths, as in `.gitignore`, that are matched in bounded time.

`pathspec` translates a pattern into a regular expression in which each `*` and each `**` tries all
lengths, in all combinations: a pattern with ten stars takes years for some names. But for a part
between two stars, its first place is as good as any later one, so no other needs to be tried. This
is what `fnmatch` of the standard library does, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

_STAR, _ANY_ABOVE, _ANY_BETWEEN = "[^/]*", "(?:.+/)?", "(?:/.+)?"
_TOKENS = re.compile(
    r"\(\?:\.\+/\)\?|\(\?:/\.\+\)\?"  # `**` at the start, and between two others
    r"|\(\?:\(\?P<ps_d>/\)\|\$\)|\(\?P<ps_d>/\)"  # the end
    r"|\[\^/\][*+]?|\[\^?\]?[^\]]*\]|\\.|.",  # wildcards of one name, and characters
    re.DOTALL,
)


def gitignore(lines: Iterable[str]) -> GitIgnoreSpec:
    """Return the compiled patterns; `ValueError` if one is invalid."""
    return GitIgnoreSpec.from_lines(lines, _pattern)


def typed(pattern: str) -> str:
    """Return the line of a `.gitignore` for a pattern that was typed as one word.

    Such a word is never a comment, and its final blanks are part of it, as for git. `ValueError` if
    the pattern matches no path: then the user meant another one.
    """
    names = pattern.removeprefix("!").removeprefix("/").removesuffix("/").split("/")
    if not {"", ".", ".."}.isdisjoint(names):
        raise ValueError(f"'{pattern}' matches nothing; write NAME, FOLDER/NAME or /NAME")
    line = f"\\{pattern}" if pattern.startswith("#") else pattern
    if line[-1].isspace() and line[-2:-1] != "\\":
        line = f"{line[:-1]}[{line[-1]}]"
    if GitIgnoreSpecPattern.pattern_to_regex(line)[0] is None:
        raise ValueError(f"'{pattern}' has a '[' without its ']'; for the character, write '[[]'")
    return line


def _pattern(line: str) -> GitIgnoreSpecPattern:
    regex, include = GitIgnoreSpecPattern.pattern_to_regex(line)
    if regex is None:  # an empty line, or a comment
        return GitIgnoreSpecPattern(line)
    try:
        return GitIgnoreSpecPattern(re.compile(bounded(regex)), include)
    except re.error:  # a range that ends before it starts
        raise ValueError(f"'{line}' has an invalid range") from None


def bounded(regex: str) -> str:
    """Return a regular expression of `pathspec` that matches the same paths in bounded time."""
    if not regex.startswith("^"):
        return regex
    first, *others = _split(_TOKENS.findall(regex[1:]), _ANY_BETWEEN)
    above = first[:1] == [_ANY_ABOVE]
    blocks = [_names(first[above:]), *map(_names, others)]
    done = "^"
    for at, block in enumerate(blocks):
        before = ("" if at else _ANY_ABOVE * above) or _ANY_BETWEEN * bool(at)
        if at == len(blocks) - 1:
            done += before + block  # greedy: the last place says whether it is a folder's
        elif before:  # the shortest way to it
            done += f"(?>{before.replace('+', '+?')}?{block}(?=/))"
        else:
            done += block
    return done


def _split(tokens: list[str], at: str) -> Iterator[list[str]]:
    part: list[str] = []
    for token in tokens:
        if token == at:
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _names(tokens: list[str]) -> str:
    """Return the expression of names with slashes between them."""
    return "/".join(_name(name) for name in _split(tokens, "/"))


def _name(tokens: list[str]) -> str:
    """Return the expression of one name, with the end of the pattern if it is the last one."""
    # No wildcard matches a slash, as for git; `pathspec` lets `[!a]` match one.
    named = ["(?!/)" + one if one[0] == "[" and one != _STAR else one for one in tokens]
    first, *others = ("".join(part) for part in _split(named, _STAR))
    if not others:
        return first
    middle = "".join(f"(?>{_STAR}?{part})" for part in others[:-1])
    return first + middle + _STAR + others[-1]
