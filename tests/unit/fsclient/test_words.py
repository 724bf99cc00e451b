from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsclient.shell.words import Word, quoted, split, split_unfinished
from fsproto.errors import UsageError
from fsproto.names import clean_name

UNIX, WINDOWS = "\\", ""
ESCAPES = [UNIX, WINDOWS]

words = st.text(min_size=1, max_size=12).filter(lambda word: not set(word) & set("\0\r\n"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("   ", []),
        ("ls", ["ls"]),
        ("put  a\tb ", ["put", "a", "b"]),
        ("put 'a b' \"c d\"", ["put", "a b", "c d"]),
        ("put a\\ b", ["put", "a b"]),
        ("put 'it'\"'\"'s'", ["put", "it's"]),
        ("ls # no comment", ["ls", "#", "no", "comment"]),
        ("ls ''", ["ls", ""]),
        ("ls *.txt $HOME ~", ["ls", "*.txt", "$HOME", "~"]),
        ('ls "a\\"b"', ["ls", 'a"b']),
    ],
)
def test_a_line_falls_into_words_as_in_any_shell(line, expected):
    assert split(line, UNIX) == expected


def test_on_windows_a_backslash_is_a_part_of_a_path():
    assert split("put C:\\Users\\me\\x 'a b\\c'", WINDOWS) == ["put", "C:\\Users\\me\\x", "a b\\c"]


@pytest.mark.parametrize("line", ["'open", '"open', "a 'b"])
def test_an_unclosed_quotation_mark_is_reported(line):
    with pytest.raises(UsageError, match="closing quotation"):
        split(line, UNIX)


@pytest.mark.parametrize("escape", ESCAPES)
@given(words)
def test_a_quoted_word_is_that_word_again(escape, word):
    if escape == WINDOWS and '"' in word:
        return  # not allowed in Windows file names
    line = quoted(word, escape=escape)
    closed = line + ('"' if line.startswith('"') else "")
    assert split(f"put {closed} after", escape) == ["put", word, "after"]


@pytest.mark.parametrize("quote", ["'", '"'])
@given(words)
def test_within_an_open_quote_it_is_that_word_again(quote, word):
    line = quoted(word, quote, UNIX)
    assert split(f"put {line}{line[0]}", UNIX) == ["put", word]


@pytest.mark.parametrize("escape", ESCAPES)
@given(st.lists(words, max_size=2), words)
def test_an_unfinished_line_has_the_words_before_and_the_last_one(escape, before, last):
    if escape == WINDOWS and any('"' in word for word in [*before, last]):
        return
    start = "".join(f"{_closed(quoted(word, escape=escape))} " for word in before)
    typed = quoted(last, escape=escape)
    words_before, word = split_unfinished(start + typed, escape)
    assert words_before == before
    assert word == Word(last, len(typed), '"' if typed.startswith('"') else "")


def _closed(word: str) -> str:
    return word + '"' if word.startswith('"') else word


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ([], Word("", 0, ""))),
        ("pu", ([], Word("pu", 2, ""))),
        ("put ", (["put"], Word("", 0, ""))),
        ("put a\\ b", (["put"], Word("a b", 4, ""))),
        ("put 'a b", (["put"], Word("a b", 4, "'"))),
        ('put "a \\"b', (["put"], Word('a "b', 6, '"'))),
        ("put 'a b'c", (["put"], Word("a bc", 6, ""))),
        ("put a\\", (["put"], Word("a", 2, ""))),
        ("put '' b", (["put", ""], Word("b", 1, ""))),
    ],
)
def test_what_is_being_typed_is_understood(line, expected):
    assert split_unfinished(line, UNIX) == expected


@given(st.text(max_size=30))
def test_no_line_is_too_odd_to_be_typed(line):
    for escape in ESCAPES:
        words_before, word = split_unfinished(line, escape)
        assert all(isinstance(one, str) for one in [*words_before, word.text])
        assert 0 <= word.length <= len(line)


def test_plain_names_are_typed_as_they_are():
    for name in ("report.pdf", "ünïcödé", "a:b", "-x", "*"):
        assert quoted(clean_name(name), escape=UNIX) == name
