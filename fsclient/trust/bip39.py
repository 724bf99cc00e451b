"""Recovery phrases: 12 words of the English list of BIP-39, for 16 bytes and a checksum of 4 bits.

What is typed may be in any case, with any blanks, numbers and punctuation between the words, and
each word may end after its fourth letter, which tells it from all others.
"""

from __future__ import annotations

import re
import unicodedata

from fsproto.errors import UsageError
from fsproto.keys.recovery import SECRET_SIZE

WORDS = 12
_ENOUGH = 4
"""Letters that tell a word of the list from all others."""
_LANGUAGE = "english"


def phrase_of(secret: bytes) -> str:
    """Return the words, a blank between them, that stand for a secret (16 bytes)."""
    from mnemonic import Mnemonic

    if len(secret) != SECRET_SIZE:
        raise ValueError("a recovery secret has 16 bytes")
    return Mnemonic(_LANGUAGE).to_mnemonic(secret)


def secret_of(typed: str, *, echo: bool = False) -> bytes:
    """Return the secret (16 bytes) of a phrase; `UsageError` says what is wrong with the words.

    The error shows a wrong word only with `echo`: when the person has just typed it.
    """
    from mnemonic import Mnemonic

    known = Mnemonic(_LANGUAGE)
    letters = unicodedata.normalize("NFKC", typed).lower()
    given = re.findall(r"[^\W\d_]+", letters)
    if len(given) != WORDS:
        raise UsageError(f"A recovery phrase has {WORDS} words, not {len(given)}.")
    words = [known.expand_word(word) if len(word) >= _ENOUGH else word for word in given]
    for number, word in enumerate(words, 1):
        if word not in known.wordlist:
            raise _unknown(number, word, known.wordlist, echo=echo)
    try:
        return bytes(known.to_entropy(words))
    except ValueError:
        raise UsageError(
            "These words do not belong together: one of them is wrong, or they are out of order."
        ) from None


def _unknown(number: int, word: str, known: list[str], *, echo: bool) -> UsageError:
    """Return the error for a word outside the list."""
    if not echo:
        return UsageError(f"Word {number} of the recovery phrase is not in the list of words.")
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return UsageError(
        f"Word {number} of the recovery phrase, '{word}', is not in the list of words.",
        hint=f"Did you mean '{near[0]}'?" if near else None,
    )
