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

DRIFT_STEPS = 1
"""How many steps a clock may be early or late."""
SECRET_CHARACTERS = 32
"""Base32 characters of a new secret: 160 bits, as RFC 4226 section 4 recommends."""
ALGORITHMS = {"SHA1": sha1, "SHA256": sha256, "SHA512": sha512}
DIGITS = (6, 7, 8)
PERIODS = range(15, 121)

_MOST_TYPED = 64
"""Characters of a code with everything that people put between its digits."""
_SEPARATORS = re.compile(r"[\s\-_.,'\u200b\ufeff]+")


@dataclass(frozen=True)
class OtpSetting:
    """What a code depends on besides the time."""

    secret: str = field(repr=False)
    """Base32, as authenticator apps take it."""
    digits: int = 6
    period: int = 30
    """Seconds a step lasts."""
    algorithm: str = "SHA1"

    def __post_init__(self) -> None:
        if self.digits not in DIGITS:
            raise UsageError(f"A code has 6, 7 or 8 digits, not {self.digits}.")
        if self.period not in PERIODS:
            raise UsageError(
                f"A code lasts {PERIODS[0]} to {PERIODS[-1]} seconds, not {self.period}."
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
        """Return the step a time is in."""
        return now_ms // 1000 // self.period

    def uri(self, user: str, issuer: str) -> str:
        """Return the otpauth URI that authenticator apps read from a QR code."""
        return self._totp().provisioning_uri(name=user, issuer_name=issuer)


def new_secret() -> str:
    """Return a new random secret in Base32, from the operating system's randomness."""
    return pyotp.random_base32(SECRET_CHARACTERS)


def normal(code: str) -> str:
    """Return a code without the blanks and separators people type; done before anything else.

    Decimal digits of any script become ASCII: that is what some keyboards type (full-width,
    Arabic-Indic). What is far too long for a code is none, and costs nothing to look at.
    """
    if len(code) > _MOST_TYPED:
        return ""
    return "".join(str(unicodedata.decimal(c, c)) for c in _SEPARATORS.sub("", code))


def matching_step(setting: OtpSetting, code: str, now_ms: int, drift_ms: int = 0) -> int | None:
    """Return the step whose code this is; None if it is none of those that count now.

    These are the present one, one before and one after; and, where the person's clock is known to
    be ahead of ours by `drift_ms` (or behind), as many more on that side: one from three quarters
    of a step on, and so forth. All candidates are compared, in constant time; of two equal ones
    the later counts, so that neither can be used after the other.
    """
    given = normal(code).encode(errors="replace")
    drift_steps = drift_ms / 1000 / setting.period
    now, more = setting.step(now_ms), int(drift_steps + math.copysign(0.25, drift_steps))
    first, last = now - DRIFT_STEPS + min(0, more), now + DRIFT_STEPS + max(0, more)
    found = None
    for step in range(first, last + 1):
        if hmac.compare_digest(setting.code(step).encode(), given):
            found = step
    return found


def learned_drift(
    setting: OtpSetting, step: int, now_ms: int, drift_ms: int, *, most_ms: int
) -> int:
    """Return how far a person's clock is ahead of ours, in ms, once a code of `step` was right.

    What was known moves halfway to what the code says: nothing if it is of the present step, else
    the way to the middle of its own; never beyond `most_ms` either way. One code that was typed
    late tells of less than a step and a half, so that a clock that is right is not found to be off
    by what `matching_step` would make something of. Compare RFC 6238, section 6.
    """
    said = 0
    if step != setting.step(now_ms):
        said = step * setting.period * 1000 + setting.period * 500 - now_ms
    return max(-most_ms, min(most_ms, int((drift_ms + said) / 2)))
