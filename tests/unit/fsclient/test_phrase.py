"""Recovery phrases: the vectors of BIP-39, and variants that people type."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from fsclient.trust.bip39 import phrase_of, secret_of
from fsproto.errors import UsageError
from tests.support import strategies as our

# https://github.com/trezor/python-mnemonic/blob/master/vectors.json
BIP39 = {
    "00000000000000000000000000000000": "abandon " * 11 + "about",
    "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f": "legal winner thank year wave sausage worth useful legal "
    "winner thank yellow",
    "80808080808080808080808080808080": "letter advice cage absurd amount doctor acoustic avoid "
    "letter advice cage above",
    "ffffffffffffffffffffffffffffffff": "zoo " * 11 + "wrong",
}
WORDS = BIP39["7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f"].split()
SECRET = b"\x7f" * 16


@pytest.mark.parametrize(("secret", "phrase"), BIP39.items())
def test_words_and_secret_are_those_of_bip39(secret, phrase):
    assert phrase_of(bytes.fromhex(secret)) == phrase
    assert secret_of(phrase) == bytes.fromhex(secret)


@given(our.exactly(16))
def test_a_secret_comes_back_from_its_words(secret):
    assert secret_of(phrase_of(secret)) == secret


@pytest.mark.parametrize(
    "typed",
    [
        "  ".join(WORDS).upper() + "\n",
        "\u00a0\t".join(word.capitalize() for word in WORDS),
        ", ".join(WORDS) + ".",
        "-".join(WORDS),
        "\n".join(f"{number:2}. {word}" for number, word in enumerate(WORDS, 1)),
        " ".join(word[:4] for word in WORDS),
        "\uff4c\uff45\uff47\uff41\uff4c " + " ".join(WORDS[1:]),
    ],
)
def test_case_blanks_numbers_and_shortened_words_do_not_matter(typed):
    assert secret_of(typed) == SECRET


@given(our.exactly(16), st.randoms())
def test_four_letters_of_each_word_are_enough(secret, random):
    words = phrase_of(secret).split()
    assert secret_of(" ".join(word[: random.randint(4, 8)] for word in words)) == secret


@pytest.mark.parametrize("count", [0, 1, 11, 13, 24])
def test_a_wrong_number_of_words_is_reported(count):
    with pytest.raises(UsageError, match=f"has 12 words, not {count}"):
        secret_of(" ".join(["zoo"] * count))


def with_word(number: int, word: str) -> str:
    return " ".join([*WORDS[: number - 1], word, *WORDS[number:]])


@pytest.mark.parametrize(
    ("number", "word", "near"),
    [(1, "leagl", "legal"), (7, "wurth", "worth"), (12, "yelow", "yellow"), (3, "tha", None)],
)
def test_a_word_outside_the_list_is_shown_to_the_person_who_typed_it(number, word, near):
    with pytest.raises(UsageError) as refused:
        secret_of(with_word(number, word), echo=True)
    assert f"Word {number} " in refused.value.sentence
    assert f"'{word}'" in refused.value.sentence
    if near is not None:
        assert f"'{near}'" in str(refused.value.hint)


def test_scripts_get_only_the_place_of_a_wrong_word():
    with pytest.raises(UsageError, match="Word 7 of") as refused:
        secret_of(with_word(7, "wurth"))
    assert "wurth" not in f"{refused.value.sentence}{refused.value.hint}"


@pytest.mark.parametrize("typed", [with_word(4, "zoo"), " ".join([WORDS[1], WORDS[0], *WORDS[2:]])])
def test_a_failed_checksum_is_reported(typed):
    with pytest.raises(UsageError, match="do not belong together") as refused:
        secret_of(typed, echo=True)
    assert not [word for word in WORDS if re.search(rf"\b{word}\b", refused.value.sentence)]


def test_the_list_is_that_of_bip39():
    words = Mnemonic("english").wordlist
    assert len(words) == len({word[:4] for word in words}) == 2048
    assert words == sorted(words)


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_only_sixteen_bytes_are_a_secret(size):
    with pytest.raises(ValueError):
        phrase_of(bytes(size))
