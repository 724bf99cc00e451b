"""Safety words: what two people compare to know that each has the other's true keys.

    words = the 12 words of BIP-39 for the first 16 bytes of
            SHA-256("fs/2 safety words" ‖ the two bundle hashes, the smaller first)

Both compute the same words if, and only if, both have the same two bundles. To make two bundles
that give the same words, somebody would have to try some 2^64 pairs of keys, and before that know
which ones the others will have.
"""

from __future__ import annotations

from fsclient.trust.bip39 import phrase_of
from fsproto import crypto, labels
from fsproto.keys.identity import VerifiedBundle
from fsproto.keys.recovery import SECRET_SIZE


def safety_words(one: VerifiedBundle, other: VerifiedBundle) -> list[str]:
    """Return the words; the order of the two does not matter."""
    first, second = sorted((one.hash, other.hash))
    return phrase_of(crypto.sha256(labels.SAFETY_WORDS, first, second)[:SECRET_SIZE]).split()
