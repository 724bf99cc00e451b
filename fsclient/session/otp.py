"""Sources of one-time passwords: an option, a file with the secret, or the keyboard."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from fsclient.connection.refusals import clock_text
from fsclient.local_errors import local_errors
from fsclient.session.otp_secret import read_secret
from fsclient.ui import Ui
from fskit.files import others_may_read
from fskit.user_folders import expanded
from fsproto.errors import LoginRefused, LoginRequired, UsageError
from fsproto.limits import OTP_DIGITS
from fsproto.names import for_terminal

T = TypeVar("T")

_TYPED_TRIES = 3
_RECOVERY_CODE = 24
"""Letters and digits of a recovery code."""
_WHAT_IT_IS = "A one-time password has 6 to 8 digits, a recovery code 24 letters and digits"
_LONGEST_FILE = 64 * 1024
_MARGIN_S = 0.2
"""Seconds into a step at which its code is computed: the server's clock may be a little late."""


class CodeSource:
    """A source of one-time passwords to try, one after the other."""

    def __init__(self, given: str | None, secret_file: Path | None) -> None:
        """Take a code, or a file with the secret; without both, the user is asked for codes."""
        self._given = given
        self._secret_file = secret_file
        self._more = False

    @property
    def source(self) -> bytes | None:
        """A hash that identifies the source of the next codes; None if a person types them."""
        if self._given is not None:
            return hashlib.sha256(b"code " + self._given.encode(errors="replace")).digest()
        if self._secret_file is not None:
            return hashlib.sha256(b"file " + os.fsencode(self._secret_file.absolute())).digest()
        return None

    def with_code(self, ui: Ui, use: Callable[[str], T]) -> T:
        """Call `use` with codes until one is accepted; `LoginRefused` if none is."""
        for code in self.codes(ui):
            try:
                return use(code)
            except LoginRefused as error:
                self.refused(ui, error)
        raise LoginRefused

    def codes(self, ui: Ui) -> Iterator[str]:
        """Yield codes to try; `LoginRequired` without a code and without a terminal."""
        if self._given is not None:
            given, self._given = self._given, None  # a code works once
            if not _looks_right(given):
                raise UsageError(f"{_WHAT_IT_IS}.")
            self._more = False
            yield given
        elif self._secret_file is not None:
            yield from self._computed(ui, self._secret_file)
        elif not ui.can_ask():
            raise LoginRequired(
                "A one-time password is needed, and there is no terminal to ask for it."
            )
        else:
            for tries_left in reversed(range(_TYPED_TRIES)):
                self._more = tries_left > 0
                yield self._typed(ui)

    def refused(self, ui: Ui, error: LoginRefused) -> None:
        """Record that a code was refused; raise `error` if no further code can be tried."""
        if not self._more:
            raise error
        if self._secret_file is None:
            ui.complain(error)
        else:
            ui.say(_why_wait(error))

    def _typed(self, ui: Ui) -> str:
        """Ask until the input can be a code, so that a typing error costs no try."""
        while not _looks_right(code := ui.ask("One-time password: ")):
            ui.warn(f"{_WHAT_IT_IS}; your authenticator app shows the first.")
        return code

    def _computed(self, ui: Ui, path: Path) -> Iterator[str]:
        """Compute the present code; if it was used already, wait for the next one, once."""
        path = expanded(path, "--otp-secret-file or FSCLIENT_OTP_SECRET_FILE")
        shown = for_terminal(str(path))
        with local_errors(path), path.open("rb") as file:
            data = file.read(_LONGEST_FILE)
            is_open = others_may_read(file)
        if is_open:
            ui.warn(
                f"Other users may read '{shown}', which holds your secret; run: chmod 600 {shown}"
            )
        otp = read_secret(data, f"'{shown}'")
        code = otp.now()
        self._more = True
        yield code
        time.sleep(otp.interval - time.time() % otp.interval + _MARGIN_S)
        self._more = False
        yield otp.now()


def _why_wait(error: LoginRefused) -> str:
    """Return what to say while the next computed code is awaited."""
    reason = "it may be used already"
    if error.clock_off_ms:
        reason += f", or the reason is this device's clock, {clock_text(error.clock_off_ms)} the "
        reason += "server's"
    return f"That code was refused: {reason}. Waiting for the next one."


def _looks_right(code: str) -> bool:
    """Return whether this can be a code, however its digits are grouped; the server decides."""
    if sum(character.isalnum() for character in code) == _RECOVERY_CODE:
        return True
    return sum(character.isdecimal() for character in code) in OTP_DIGITS
