"""One-time passwords (TOTP, RFC 6238): pure functions over a secret, a code and a time.

That a step works only once is not decided here but by the database (`repos.users.use_step`).
"""

from __future__ import annotations

import hmac
import math
import re
import unicodedata
from dataclasses import dataclass, field
from hashlib import sha1, sha256, sha512

import pyotp

from fsproto.errors import UsageError
from fsproto.limits import OTP_DIGITS, OTP_PERIODS_S

DRIFT_STEPS = 1
"""How many steps a clock may be early or late."""
SECRET_CHARACTERS = 32
"""Base32 characters of a new secret: 160 bits, as RFC 4226 section 4 recommends."""
ALGORITHMS = {"SHA1": sha1, "SHA256": sha256, "SHA512": sha512}

CLOCK_STEPS = 20
"""How many steps to both sides are searched for a wrong code, to name a wrong clock."""
_MINUTE_S = 60
_MOST_TYPED = 64
"""Characters of a code with everything that people put between its digits."""
_SEPARATORS = re.compile(r"[\s\-_.,'\u200b\ufeff]+")


@dataclass(frozen=True)
class OtpSetting:
    """The values that a code depends on, except the time."""

    secret: str = field(repr=False)
    """Base32, as authenticator apps take it."""
    digits: int = 6
    period: int = 30
    """Seconds a step lasts."""
    algorithm: str = "SHA1"

    def __post_init__(self) -> None:
        if self.digits not in OTP_DIGITS:
            raise UsageError(f"A code has 6, 7 or 8 digits, not {self.digits}.")
        if self.period not in OTP_PERIODS_S:
            raise UsageError(
                f"A code lasts {OTP_PERIODS_S[0]} to {OTP_PERIODS_S[-1]} seconds, "
                f"not {self.period}."
            )
        if self.algorithm not in ALGORITHMS:
            raise UsageError(f"The algorithm is one of {', '.join(ALGORITHMS)}.")

    def _totp(self) -> pyotp.TOTP:
        return pyotp.TOTP(
            self.secret, digits=self.digits, digest=ALGORITHMS[self.algorithm], interval=self.period
        )

    def code(self, step: int) -> str:
        """Return the code of a step."""
        return self._totp().generate_otp(step)

    def step(self, now_ms: int) -> int:
        """Return the step that contains a time."""
        return now_ms // 1000 // self.period

    def uri(self, user: str, issuer: str) -> str:
        """Return the otpauth URI that authenticator apps read from a QR code."""
        return self._totp().provisioning_uri(name=user, issuer_name=issuer)


def new_secret() -> str:
    """Return a new random secret in Base32, from the operating system's randomness."""
    return pyotp.random_base32(SECRET_CHARACTERS)


def normalise_code(code: str) -> str:
    """Return a code without the blanks and separators that people type.

    Decimal digits of any script become ASCII, as some keyboards type others (full-width,
    Arabic-Indic). A text that is far too long for a code gives an empty string at once.
    """
    if len(code) > _MOST_TYPED:
        return ""
    return "".join(str(unicodedata.decimal(c, c)) for c in _SEPARATORS.sub("", code))


def matching_step(setting: OtpSetting, code: str, now_ms: int, drift_ms: int = 0) -> int | None:
    """Return the step of a code; None if no step that is valid now has this code.

    Valid are the current step, one before it and one after it. If the user's clock is known to be
    ahead of the server's by `drift_ms` (or behind it, if negative), more steps on that side are
    valid: one from three quarters of a step of drift, two from one and three quarters, and so on.
    All candidates are compared in constant time. If two steps have the same code, the later one is
    returned, so that the code cannot be used a second time.
    """
    given = normalise_code(code).encode(errors="replace")
    drift_steps = drift_ms / 1000 / setting.period
    now, more = setting.step(now_ms), int(drift_steps + math.copysign(0.25, drift_steps))
    first, last = now - DRIFT_STEPS + min(0, more), now + DRIFT_STEPS + max(0, more)
    found = None
    for step in range(first, last + 1):
        if hmac.compare_digest(setting.code(step).encode(), given):
            found = step
    return found


def step_at_another_time(setting: OtpSetting, code: str, now_ms: int) -> int | None:
    """Return the step within `CLOCK_STEPS` of now that has this code, the nearest one.

    For reports to the administrator alone: no such code is accepted.
    """
    given = normalise_code(code).encode(errors="replace")
    now, found = setting.step(now_ms), None
    for away in range(CLOCK_STEPS, 0, -1):
        for step in (now + away, now - away):
            if hmac.compare_digest(setting.code(step).encode(), given):
                found = step
    return found


def off_text(off_ms: int) -> str:
    """Return a distance from now as text: `4 min ago`, `45 s in the future`."""
    seconds = round(abs(off_ms) / 1000)
    span = f"{seconds} s" if seconds < 2 * _MINUTE_S else f"{round(seconds / _MINUTE_S)} min"
    return f"{span} {'ago' if off_ms < 0 else 'in the future'}"


def learned_drift(
    setting: OtpSetting, step: int, now_ms: int, drift_ms: int, *, most_ms: int
) -> int:
    """Return how far a user's clock is ahead of the server's, in ms, after a valid code of `step`.

    The code is a measurement of the drift: 0 if it belongs to the current step, otherwise the
    distance from now to the middle of its step. The known drift moves halfway to this measurement,
    and is limited to `most_ms` in both directions. One code that was typed late measures less than
    one and a half steps. Half of this is too little for `matching_step` to accept a further step,
    so a correct clock keeps the normal window. Compare RFC 6238, section 6.
    """
    said = 0
    if step != setting.step(now_ms):
        said = step * setting.period * 1000 + setting.period * 500 - now_ms
    return max(-most_ms, min(most_ms, int((drift_ms + said) / 2)))
