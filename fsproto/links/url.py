"""URLs of public links: `https://HOST/l#SECRET`, written and read.

Programs that pass a URL on change it: they put it into `<…>`, percent-encode it, add parameters
for tracking, break it over lines, or cut it. `parse_url` reads what is complete, and names the
fault of the rest in one sentence.
"""

from __future__ import annotations

import base64
import binascii
import re

from fsproto.errors import UsageError
from fsproto.links.secret import SECRET_SIZE, LinkSecret
from fsproto.values import Value

PAGE = "/l"
_MAX_PORT = 65535
_LENGTH = 43
"""Characters of a secret in base64url without padding."""
_URL = re.compile(
    r"(?P<base>https?://(?:\[[0-9a-f:.]+\]|[^\s/?#<>\"'@\\:\[\]]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[^\s?#<>\"'\\]*)?)"
    r"(?P<query>\?[^\s#<>\"']*)?(?:#(?P<fragment>.*))?\Z",
    re.IGNORECASE | re.DOTALL,
)
_SECRET = re.compile(r"[A-Za-z0-9_-]*")
_START = re.compile(r"https?://|https?%(?:25)*3a", re.IGNORECASE)
_ESCAPES = re.compile(r"(?:%[0-9a-f]{2})+", re.IGNORECASE)
_UNWRAPPED = 3
"""How often a URL may have been percent-encoded."""
_LOOKS = "It looks like https://HOST/l# and 43 characters; put it in quotes."


class LinkUrl(Value, frozen=True):
    """A public link: the place of the server, and the secret."""

    base: str
    """The URL before `/l`, without a final `/`."""
    secret: LinkSecret

    def __repr__(self) -> str:
        return f"LinkUrl(base={self.base!r})"

    def __str__(self) -> str:
        encoded = base64.urlsafe_b64encode(self.secret.secret).decode().rstrip("=")
        return f"{self.base}{PAGE}#{encoded}"


def is_url(text: str) -> bool:
    """Return whether a text is meant as the URL of a public link, not as a path."""
    return re.match(r"\s*[<\"'(]?\s*https?(://|%3a)", text, re.IGNORECASE) is not None


def parse_url(text: str) -> LinkUrl:
    """Read the URL of a public link; `UsageError` with the reason if it is not one."""
    found = _unwrapped(text)
    match = _matched(found)
    if match is None:
        raise UsageError("This is not the URL of a link.", hint=_LOOKS)
    base = _base(match["base"])
    if match["fragment"] is None:
        raise UsageError(
            "The URL has no '#' and nothing after it: a program has cut it off.", hint=_LOOKS
        )
    secret = _SECRET.match(match["fragment"])
    digits = secret[0] if secret else ""
    if len(digits) < _LENGTH:
        raise UsageError(
            f"The URL is cut: after the '#' it has {len(digits)} of {_LENGTH} characters.",
            hint="Ask for the whole link again, and put it in quotes.",
        )
    if len(digits) > _LENGTH:
        raise UsageError(
            f"The URL has too many characters after the '#': {len(digits)} instead of {_LENGTH}.",
            hint=_LOOKS,
        )
    return LinkUrl(base, _decoded(digits))


def check_base(text: str) -> str:
    """Return the start of links without a final `/`; `UsageError` if links cannot start so."""
    match = _matched(text)
    if match is None or match["query"] or match["fragment"] is not None:
        raise UsageError("Links start with a URL such as https://files.example.org.")
    return match["base"].rstrip("/")


def _decoded(digits: str) -> LinkSecret:
    try:
        secret = base64.b64decode(digits + "=", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise UsageError("The characters after the '#' of the URL are not valid.") from None
    if len(secret) != SECRET_SIZE or base64.urlsafe_b64encode(secret).decode()[:-1] != digits:
        raise UsageError(
            "The last character of the URL is not valid: the URL was changed.",
            hint="Ask for the link again.",
        )
    return LinkSecret(secret)


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


def _base(text: str) -> str:
    path = text.rstrip("/")
    if not path.endswith(PAGE):
        raise UsageError("This is the URL of something else, not of a link.", hint=_LOOKS)
    return path.removesuffix(PAGE)


def _matched(text: str) -> re.Match[str] | None:
    """Return the parts of a URL; None for a text that is none, or an impossible port."""
    match = _URL.match(text)
    return match if match and 0 < int(match["port"] or 1) <= _MAX_PORT else None
