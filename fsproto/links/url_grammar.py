"""URLs with a secret after the `#`, read: those of public links and of request links.

Programs that pass a URL on change it: they put it into `<…>`, percent-encode it, add parameters
for tracking, break it over lines, or cut it. `read_url` reads what is complete, and names the fault
of the rest in one sentence.
"""

from __future__ import annotations

import base64
import re

from fsproto.errors import UsageError
from fsproto.values import Value

_MAX_PORT = 65535
_URL = re.compile(
    r"(?P<base>https?://(?:\[[0-9a-f:.]+\]|[^\s/?#<>\"'@\\:\[\]]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[^\s?#<>\"'\\]*)?)"
    r"(?P<query>\?[^\s#<>\"']*)?(?:#(?P<fragment>.*))?\Z",
    re.IGNORECASE | re.DOTALL,
)
_DIGITS = re.compile(r"[A-Za-z0-9_-]*")
_START = re.compile(r"https?://|https?%(?:25)*3a", re.IGNORECASE)
_ESCAPES = re.compile(r"(?:%[0-9a-f]{2})+", re.IGNORECASE)
_UNWRAPPED = 3
"""How often a URL may have been percent-encoded."""


class UrlKind(Value, frozen=True):
    """A kind of URL."""

    page: str
    """The end of its path."""
    size: int
    """Bytes in its fragment."""
    noun: str
    """What it is, in a sentence."""
    other_page: str
    """The end of the path of the other kind, for which it can be mistaken."""
    other: str
    """The sentence about a URL of the other kind."""
    other_hint: str

    @property
    def length(self) -> int:
        """Characters of the fragment in base64url without padding."""
        return -(-self.size * 4 // 3)

    @property
    def looks(self) -> str:
        """Return in a sentence how such a URL looks."""
        start = f"https://HOST{self.page}#"
        return f"It looks like {start} and {self.length} characters; put it in quotes."

    def written(self, base: str, fragment: bytes) -> str:
        """Return the URL as text."""
        return f"{base}{self.page}#{_encoded(fragment)}"


def is_url(text: str) -> bool:
    """Return whether a text is meant as a URL, not as a path."""
    return re.match(r"\s*[<\"'(]?\s*https?(://|%3a)", text, re.IGNORECASE) is not None


def read_url(text: str, kind: UrlKind) -> tuple[str, bytes]:
    """Return the URL before the page, without a final `/`, and the bytes of the fragment.

    `UsageError` with the reason if it is not a URL of this kind.
    """
    match = _matched(_unwrapped(text))
    if match is None:
        raise UsageError(f"This is not the URL of a {kind.noun}.", hint=kind.looks)
    base = _base(match["base"], kind)
    if match["fragment"] is None:
        raise UsageError(
            "The URL has no '#' and nothing after it: a program has cut it off.", hint=kind.looks
        )
    found = _DIGITS.match(match["fragment"])
    digits = found[0] if found else ""
    if len(digits) < kind.length:
        raise UsageError(
            f"The URL is cut: after the '#' it has {len(digits)} of {kind.length} characters.",
            hint="Ask for the whole link again, and put it in quotes.",
        )
    if len(digits) > kind.length:
        raise UsageError(
            f"The URL has too many characters after the '#': {len(digits)} instead of "
            f"{kind.length}.",
            hint=kind.looks,
        )
    return base, _decoded(digits, kind)


def check_base(text: str) -> str:
    """Return the start of links without a final `/`; `UsageError` if links cannot start so."""
    match = _matched(text)
    if match is None or match["query"] or match["fragment"] is not None:
        raise UsageError("Links start with a URL such as https://files.example.org.")
    return match["base"].rstrip("/")


def _encoded(fragment: bytes) -> str:
    return base64.urlsafe_b64encode(fragment).decode().rstrip("=")


def _decoded(digits: str, kind: UrlKind) -> bytes:
    try:
        fragment = base64.b64decode(
            digits + "=" * (-len(digits) % 4), altchars=b"-_", validate=True
        )
    except ValueError:
        raise UsageError("The characters after the '#' of the URL are not valid.") from None
    if len(fragment) != kind.size or _encoded(fragment) != digits:
        raise UsageError(
            "The last character of the URL is not valid: the URL was changed.",
            hint="Ask for the link again.",
        )
    return fragment


def _unwrapped(text: str) -> str:
    """Return a URL without what other programs have put around it or changed in it."""
    text = "".join(text.split())  # mail programs break long lines
    starts = list(_START.finditer(text))
    if not starts:
        return text
    # A program that checks links puts the URL into a parameter of its own URL.
    text = text[starts[-1].start() :]
    for _ in range(_UNWRAPPED):
        if "#" in text and "://" in text:
            break
        text = _ESCAPES.sub(_unquoted, text)
    return text


def _unquoted(escapes: re.Match[str]) -> str:
    return bytes.fromhex(escapes[0].replace("%", "")).decode("utf-8", "replace")


def _base(text: str, kind: UrlKind) -> str:
    path = text.rstrip("/")
    if path.endswith(kind.other_page):
        raise UsageError(kind.other, hint=kind.other_hint)
    if not path.endswith(kind.page):
        raise UsageError(
            f"This is the URL of something else, not of a {kind.noun}.", hint=kind.looks
        )
    return path.removesuffix(kind.page)


def _matched(text: str) -> re.Match[str] | None:
    """Return the parts of a URL; None for a text that is none, or an impossible port."""
    match = _URL.match(text)
    return match if match and 0 < int(match["port"] or 1) <= _MAX_PORT else None
