"""Patterns to exclude: the same paths as `pathspec` and git exclude, in bounded time."""

from __future__ import annotations

import shutil
import subprocess
import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from fsclient.operations.conditions import Conditions
from fsclient.transfer.filters import Filters, Patterns
from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.patterns import gitignore
from fsproto.errors import UsageError
from fsproto.sealed.manifest import Mode

PIECES = ("a", "b", "ab", "*", "*", "**", "?", "/", "/", "[ab]", "[!/a]", "!", "/**/", "**/", ".")
PATTERNS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join)
NAMES = st.text("abc.", min_size=1, max_size=5).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)


@given(st.lists(PATTERNS, min_size=1, max_size=3), st.lists(PATHS, min_size=1), st.booleans())
@example(["**/a/**/b"], ["a/b/c/a/b", "a/b/c"], False)
@example(["*a*", "!a/*b*b"], ["a/bab", "cac"], False)
@example(["**/a**b/**/a/"], ["ab/a", "x/ab/y/a", "ab/a/c"], True)
def test_the_same_paths_are_excluded_as_by_the_library(
    patterns: list[str], paths: list[str], folder: bool
) -> None:
    try:
        library = GitIgnoreSpec.from_lines(patterns)
    except ValueError:
        with pytest.raises(ValueError, match="pattern"):
            gitignore(patterns)
        return
    ours = gitignore(patterns)
    for path in (one + "/" * folder for one in paths):
        assert ours.match_file(path) == library.match_file(path), (patterns, path)


GIT = (
    "*[!a]*b", "a*b?c", "**/a/**/b*c", "/a*/b", "*.[!o]", "a/**", "**/x", "[a-c]*[0-9]", "!ab",
    "b*/", "a**b", "***b", "a/*/c", "[!a]", "a[!b]c",
)  # fmt: skip
GIT_PATHS = (
    "ab", "a/b", "a/c", "aXbYc", "x", "a/x", "a/b/x", "bb", "bb/x", "b/ab", "a/q/b2c", "q.o",
    "q.c", "b7", "d7", "a/d/c", "a/d/d/c", "abc", "a/", "axc", "a/c/b", "bbaa/bcba",
)  # fmt: skip


def test_the_same_paths_are_excluded_as_by_git(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("no git on this machine")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for pattern in GIT:
        (tmp_path / ".gitignore").write_text(f"{pattern}\n")
        ask = ["git", "-C", tmp_path, "check-ignore", "--no-index", "--stdin"]
        names = "\n".join(GIT_PATHS)
        done = subprocess.run(ask, input=names, capture_output=True, encoding="utf-8", check=False)
        ours = {path for path in GIT_PATHS if gitignore([pattern]).match_file(path)}
        assert ours == set(done.stdout.splitlines()), pattern


TYPED = (
    "#recycle",
    "#*",
    "ends ",
    "tab\t",
    " ",
    " lead",
    "\\#recycle",
    "!ends ",
    "[ab]",
    "/a",
    "a",
    "/d/",
)
TYPED_PATHS = (
    "#recycle",
    "#b",
    "ends ",
    "ends",
    "tab\t",
    "tab",
    " ",
    " lead",
    "lead",
    "a",
    "d/a",
    "c",
)


def test_a_typed_pattern_excludes_what_it_excludes_in_the_command_line_of_git(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("no git on this machine")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for path in TYPED_PATHS:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    ask = ["git", "-C", tmp_path, "ls-files", "-z", "--others", "--ignored"]
    for pattern in TYPED:
        done = subprocess.run(
            [*ask, f"--exclude={pattern}"], stdout=subprocess.PIPE, encoding="utf-8", check=True
        )
        filters = Filters(Patterns(exclude=[pattern]))
        ours = {path for path in TYPED_PATHS if _is_left_out(filters, path)}
        assert ours == set(done.stdout.split("\0")[:-1]), pattern


def _is_left_out(filters: Filters, path: str) -> bool:
    above = (folder for folder in ("d",) if path.startswith(f"{folder}/"))
    file = LocalStat(0, 0, Mode.REGULAR)
    return any(map(filters.leave_out, above)) or filters.leave_out(path, lambda: file)


@pytest.mark.parametrize("pattern", ["", "/", "//a", "./a", "a/../b", "a//b", "!", "[", "[ab"])
@pytest.mark.parametrize("option", ["exclude", "include", "filter_from"])
def test_a_typed_pattern_that_matches_nothing_is_a_usage_error(tmp_path, pattern, option):
    rules = tmp_path / "rules"
    rules.write_text(f"- {pattern}\n")
    given = [rules] if option == "filter_from" else [pattern]
    with pytest.raises(UsageError, match="not understood"):
        Filters(Patterns(**{option: given}))


def test_a_line_with_a_hash_in_a_filter_file_is_a_rule(tmp_path):
    rules = tmp_path / "rules"
    rules.write_text("# a comment\n- #recycle\n")
    filters = Filters(Patterns(filter_from=[rules]))
    assert filters.leave_out("#recycle")
    assert not filters.leave_out("# a comment")


@pytest.mark.parametrize("pattern", ["[z-a]", "x[9-0]*y", "a\\"])
def test_an_invalid_pattern_is_a_usage_error(pattern):
    with pytest.raises(UsageError, match="pattern"):
        Filters(Patterns(exclude=[pattern]))


NAME, DEEP = "a" * 250 + "bc", "/".join(["a" * 30] * 126) + "/bc"
MANY_STARS = {
    "a few": ("a*a*a*a*a*b", NAME),
    "many": ("a*" * 120 + "b", NAME),
    "only stars": ("*" * 250 + "b", NAME),
    "with single characters": ("?*" * 120 + "b", NAME),
    "with classes": ("[a-z]*" * 80 + "[0-9]", NAME),
    "in many names": ("a*a*a*/" * 20 + "b", DEEP),
    "of folders": ("**/a*/" * 40 + "b", DEEP),
    "of folders and names": ("**/a*a*a/" * 30 + "b/", DEEP),
    "between two letters": ("a*b*" * 60 + "/c", "ab" * 120 + "/d/c"),
}
SOON_S = 1.0
"""Each of these patterns takes years if all combinations are tried."""


@pytest.mark.parametrize("which", MANY_STARS)
def test_a_pattern_of_many_stars_is_matched_soon(which):
    pattern, path = MANY_STARS[which]
    filters = Filters(Patterns(exclude=[pattern]))
    started = time.process_time()
    assert not filters.leave_out(path, lambda: LocalStat(0, 0, Mode.REGULAR))
    assert filters.leave_out("/".join(["a" * 30] * 126) + "/b") in (True, False)
    assert time.process_time() - started < SOON_S


@pytest.mark.parametrize("which", MANY_STARS)
def test_wildcards_and_find_match_soon_too(which):
    pattern = MANY_STARS[which][0].replace("/", "")
    started = time.process_time()
    assert not fnmatchcase(NAME, pattern)  # as the wildcards of commands do
    Conditions(names=(pattern,)).test()
    assert time.process_time() - started < SOON_S
