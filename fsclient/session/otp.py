"""Where one-time passwords come from: given, computed from a secret file, or typed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.ui import Ui
from fsproto.errors import LoginRefused, LoginRequired, UsageError
from fsproto.names import for_terminal

_TYPED_TRIES = 3
_DIGITS = range(6, 9)
_RECOVERY_CODE = 24
"""Letters and digits of a recovery code."""
_WHAT_IT_IS = "A one-time password has 6 to 8 digits, a recovery code 24 letters and digits"
_MARGIN_S = 0.2
"""How far into a step its code is computed, so that no clock calls it early."""


class CodeSource:
    """A source of one-time passwords to try, one after the other."""

    def __init__(self, given: str | None, secret_file: Path | None) -> None:
        """Take a code that was given, or a file with the secret; neither: the person is asked."""
        self._given = given
        self._secret_file = secret_file
        self._more = False

    @property
    def source(self) -> bytes | None:
        """A hash of what the next codes come from; None if a person types them."""
        if self._given is not None:
            return hashlib.sha256(b"code " + self._given.encode(errors="replace")).digest()
        if self._secret_file is not None:
            return hashlib.sha256(b"file " + os.fsencode(self._secret_file.absolute())).digest()
        return None

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
        """Take note that a code was refused; raises it on where no further one can be tried."""
        if not self._more:
            raise error
        if self._secret_file is None:
            ui.complain(error)

    def _typed(self, ui: Ui) -> str:
        """Ask until something is typed that can be a code: a slip costs no try."""
        while not _looks_right(code := ui.ask("One-time password: ")):
            ui.warn(f"{_WHAT_IT_IS}; your authenticator app shows the first.")
        return code

    def _computed(self, ui: Ui, path: Path) -> Iterator[str]:
        """Compute the code of now; if it is used up already, wait for the next one, once."""
        import pyotp

        with local_errors(path):
            text = path.expanduser().read_text(encoding="utf-8", errors="replace")
            readable = path.expanduser().stat().st_mode & 0o077 and os.name == "posix"
        if readable:
            ui.warn(
                f"Other users may read '{for_terminal(str(path))}', which holds your secret; "
                f"run: chmod 600 {for_terminal(str(path))}"
            )
        secret, shown = "".join(text.split()), for_terminal(str(path))
        try:
            otp = (
                pyotp.parse_uri(_bare(secret))
                if secret.lower().startswith("otpauth:")
                else pyotp.TOTP(secret)
            )
            if not isinstance(otp, pyotp.TOTP):
                raise UsageError(f"'{shown}' holds a secret for counted codes, not for timed ones.")
            code = otp.now()
        except (ValueError, TypeError):
            raise UsageError(
                f"'{shown}' holds no one-time password secret.",
                hint="It is the secret in Base32, or the otpauth URI, as fsadmin printed them.",
            ) from None
        self._more = True
        yield code
        ui.say("That code was refused: it may be used already. Waiting for the next one.")
        time.sleep(otp.interval - time.time() % otp.interval + _MARGIN_S)
        self._more = False
        yield otp.now()


def _bare(uri: str) -> str:
    """Return an otpauth URI with only what a code depends on: not its label, issuer or picture."""
    from urllib.parse import parse_qsl, urlencode, urlsplit

    parts = urlsplit(uri)
    given = {name.lower(): value for name, value in parse_qsl(parts.query)}
    wanted = ("secret", "algorithm", "digits", "period", "counter")
    kept = urlencode({name: given[name].strip("= ") for name in wanted if name in given})
    return f"otpauth://{parts.netloc.lower()}/x?{kept}"


def _looks_right(code: str) -> bool:
    """Return whether this can be a code, however its digits are grouped; the server decides."""
    if sum(character.isalnum() for character in code) == _RECOVERY_CODE:
        return True
    return sum(character.isdecimal() for character in code) in _DIGITS
