"""Giving the user's keys again to a server that was restored from a backup older than them.

The restored server has former keys of the user, or none. The device has all of them, so it logs in
with the keys that the server has, and registers each later one as its rotation did: signed by the
one before. The other users have pinned these keys, and accept them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise
from typing import Protocol, TypeVar

from fsclient.session.first_login import FirstLogin
from fsclient.session.key_rotation import register
from fsclient.session.login import SessionOpener
from fsclient.session.session import Session
from fsproto.errors import LoginRefused
from fsproto.keys.identity import Identity

T = TypeVar("T")


class WithCode(Protocol):
    """Calls a function with one-time passwords until one is accepted; returns its result."""

    def __call__(self, use: Callable[[str], T], /) -> T:
        """Call `use`; `LoginRefused` if no code is accepted."""


def republish(opener: SessionOpener, with_code: WithCode, *, enrols: bool) -> int:
    """Register the keys that the server lacks; return how many they were.

    The key log that the server shows takes the place of the one seen. With `enrols`, the server has
    none of the keys. Each registration consumes a one-time password, and so does the login before
    it. Raises `LoginRefused` if the server has none of the keys, and what `register` raises.
    """
    newest = opener.identity()
    keys = [*reversed(newest.former), newest]
    if enrols:
        session = with_code(lambda code: FirstLogin(opener).enroll_again(keys[0], code))
    else:
        session = with_code(lambda code: _logged_in(opener, keys, code))
    with closing(session):
        at = keys.index(session.identity)
    for before, new in pairwise(keys[at:]):
        with closing(opener.open_as(before, None)) as session:
            with_code(partial(register, session, new))
    return len(keys[at + 1 :]) + enrols


def _logged_in(opener: SessionOpener, keys: Sequence[Identity], code: str) -> Session:
    """Log in with the keys that the server has: probably the newest former ones."""
    refused = LoginRefused()
    for identity in (*reversed(keys[:-1]), keys[-1]):
        try:
            return opener.open_as(identity, code)
        except LoginRefused as error:
            refused = error
    raise refused
