"""Where one-time passwords come from: given, computed from a secret file, or typed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from fsclient.errors import local_errors
from fsclient.ui import Ui
from fsproto.errors import LoginRefused, LoginRequired, UsageError

_TYPED_TRIES = 3


class CodeSource:
    """Gives codes to try, one after the other, until it has no more."""

    def __init__(self, given: str | None, secret_file: Path | None) -> None:
        """Take a code that was given, or a file with the secret; neither: the person is asked."""
        self._given = given
        self._secret_file = secret_file

    def codes(self, ui: Ui) -> Iterator[str]:
        """Give codes to try; `LoginRequired` where there is none and nobody to ask."""
        if self._given is not None:
            yield self._given
        elif self._secret_file is not None:
            yield from self._computed(ui, self._secret_file)
        elif not ui.can_ask():
            raise LoginRequired
        else:
            for _ in range(_TYPED_TRIES):
                yield ui.ask("One-time password: ")

    def refused(self, ui: Ui, error: LoginRefused) -> None:
        """Take note that a code was refused; raises it on where no further one can be tried."""
        if self._given is not None:
            raise error
        if self._secret_file is None:
            ui.complain(error)

    def _computed(self, ui: Ui, path: Path) -> Iterator[str]:
        """Compute the code of now; if it is used up already, wait for the next one, once."""
        import pyotp

        with local_errors(path):
            text = path.read_text(encoding="utf-8", errors="replace").strip()
        try:
            otp = pyotp.parse_uri(text) if text.startswith("otpauth:") else pyotp.TOTP(text)
            if not isinstance(otp, pyotp.TOTP):
                raise UsageError(f"{path} holds a secret for counted codes, not for timed ones.")
            yield otp.now()
        except (ValueError, TypeError):
            raise UsageError(
                f"{path} holds no one-time password secret.",
                hint="It is the secret in Base32, or the otpauth URI, as fsadmin printed them.",
            ) from None
        ui.say("That code was used already; waiting for the next one.")
        time.sleep(otp.interval - time.time() % otp.interval + 0.2)
        yield otp.now()
