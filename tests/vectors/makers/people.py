"""What people do: compare keys, log in, type codes and names."""

from __future__ import annotations

from fsclient.trust.safety_number import half_of, safety_number
from fsd.auth import recovery_codes
from fsd.auth.otp import OtpSetting, normalise_code
from fsproto import crypto, labels
from fsproto.errors import FsError, InvalidNameError
from fsproto.names import clean_name, is_assigned, is_user
from tests.support.fixed_keys import identity, person, rsa_key, stretch
from tests.vectors import Vector
from tests.vectors.makers import Files, Kept


def make(kept: Kept) -> Files:
    """Return the four files."""
    return {"safety": _safety(), "login": _logins(), "otp": _codes(), "names": _names()}


def _safety() -> list[Vector]:
    alice, bob = person("alice").bundle, person("bob").bundle
    false = identity("carol", rsa_key("other-host")).bundle
    halves = {one: " ".join(half_of(one.body.user, one.hash)) for one in (alice, bob, false)}
    true, other = (" ".join(safety_number(alice, one)) for one in (bob, false))
    return [
        {
            "name": name,
            "people": [
                {
                    "user": one.body.user,
                    "bundle": one.hash.hex(),
                    "half": halves[one],
                }
                for one in pair
            ],
            "number": number,
            "error": None,
        }
        for name, pair, number in (
            ("safety_alice_and_bob", (alice, bob), true),
            ("safety_bob_and_alice", (bob, alice), true),
            ("safety_alice_and_carol", (alice, false), other),
        )
    ]


def _logins() -> list[Vector]:
    channel = stretch("channel", 32)

    def vector(message: str, label: bytes, user: str) -> Vector:
        key = crypto.SigningKey(stretch(f"{user} ed25519", crypto.ED25519_SIZE))
        return {
            "name": f"login_{message}_{user}",
            "message": message,
            "user": user,
            "private": key.seed.hex(),
            "public": key.public.hex(),
            "channel_id": channel.hex(),
            "signature": key.sign(label, channel, user.encode()).hex(),
            "error": None,
        }

    return [
        vector("login", labels.SIGN_LOGIN, "alice"),
        vector("login", labels.SIGN_LOGIN, "bob"),
        vector("enroll", labels.SIGN_ENROLL, "alice"),
        vector("recover", labels.SIGN_RECOVER, "alice"),
    ]


# --- codes


SHA1_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
SHA256_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA"
SHA512_SECRET = (
    "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA"
)


def _codes() -> list[Vector]:
    settings = {
        "sha1": OtpSetting(SHA1_SECRET, digits=8),
        "sha256": OtpSetting(SHA256_SECRET, digits=8, algorithm="SHA256"),
        "sha512": OtpSetting(SHA512_SECRET, digits=8, algorithm="SHA512"),
        "defaults": OtpSetting(SHA1_SECRET),
        "seven_digits_a_minute": OtpSetting(SHA1_SECRET, digits=7, period=60),
    }
    timed = [
        {
            "name": f"otp_{name}_{time_s}",
            "secret": setting.secret,
            "digits": setting.digits,
            "period": setting.period,
            "algorithm": setting.algorithm,
            "time_s": time_s,
            "code": setting.code(setting.step(time_s * 1000)),
            "error": None,
        }
        for name, setting in settings.items()
        for time_s in (59, 1111111109, 20000000000)
    ]
    typed = {
        "blanks": " 123 456 ",
        "separators": "12-34_5.6,7'8",
        "invisible": "\ufeff123\u200b456",
        "no_break_space": "123\u00a0456",
        "full_width": "\uff11\uff12\uff13\uff14\uff15\uff16",
        "arabic_indic": "\u0661\u0662\u0663\u0664\u0665\u0666",
        "recovery": "0123-4567-89AB-CDEF-GHJK-MNPQ",
        "recovery_lower_case": "rstv wxyz 0123 4567 89ab cdef",
        "recovery_misread": "OoIi-LlAB-CDEF-GHJK-MNPQ-RSTV",
        "recovery_with_u": "UUUU-4567-89AB-CDEF-GHJK-MNPQ",
        "recovery_short": "0123-4567-89AB-CDEF-GHJK-MNP",
        "too_long": "1 2 3 4 5 6" + " " * 60,
    }
    return timed + [
        {
            "name": f"otp_typed_{name}",
            "typed": text,
            "normal": normalise_code(text),
            "recovery_code": recovery_codes.canonical(normalise_code(text)),
            "error": None,
        }
        for name, text in typed.items()
    ]


# --- names


def _names() -> list[Vector]:
    good = {
        "ascii": "report.pdf",
        "blank_at_both_ends": " a ",
        "three_dots": "...",
        "backslash_and_colon": "a\\b:c",
        "composed": "\u00fcbersicht",
        "decomposed": "u\u0308bersicht",
        "hangul_decomposed": "\u1100\u1161",
        "compatibility_stays": "\ufb01le \u2460",
        "right_to_left_mark": "a\u202eb",
        "zero_width_joiner": "a\u200db",
        "private_use": "\ue000",
        "unassigned": "\u0378",
        "non_character": "\uffff",
        "emoji": "\U0001f600",
        "bytes_255": "x" * 255,
        "bytes_255_in_two": "\u00fc" * 127 + "x",
        "bytes_255_after_nfc": "u\u0308" * 127 + "x",
    }
    bad = {
        "empty": "",
        "dot": ".",
        "dot_dot": "..",
        "slash": "a/b",
        "zero_byte": "a\0b",
        "newline": "a\nb",
        "escape": "a\x1bb",
        "delete": "a\x7fb",
        "c1_control": "a\x9bb",
        "line_separator": "a\u2028b",
        "paragraph_separator": "a\u2029b",
        "surrogate": "a\ud800b",
        "bytes_256": "x" * 256,
        "bytes_256_in_two": "\u00fc" * 128,
        "grows_with_nfc": "\U0001d15e" * 63 + "abcd",
    }

    def vector(name: str, typed: str, error: type[FsError] | None = None) -> Vector:
        kept = None if error else clean_name(typed)
        return {
            "name": f"name_{name}",
            "typed": typed,
            "kept": kept,
            "new": kept is not None and is_assigned(kept),
            "bytes": None if kept is None else len(kept.encode()),
            "error": error.code if error else None,
        }

    users = ["a", "0", "a.b_c-d", "x" * 64, "A", "-a", "a-", "a b", "", "x" * 65, "\u00fc", "a/b"]
    return [
        *(vector(name, typed) for name, typed in good.items()),
        *(vector(name, typed, InvalidNameError) for name, typed in bad.items()),
        *(
            {"name": f"name_of_user_{at}", "user": user, "valid": is_user(user), "error": None}
            for at, user in enumerate(users)
        ),
    ]
