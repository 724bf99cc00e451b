"""URLs of request links: `https://HOST/r#` and the secret and the hash of the owner's bundle."""

from __future__ import annotations

from fsproto import crypto
from fsproto.links.url_grammar import UrlKind, read_url
from fsproto.links.url_secret import SECRET_SIZE
from fsproto.requests.secret import RequestSecret
from fsproto.types import Hash
from fsproto.values import Value

PAGE = "/r"
_KIND = UrlKind(
    page=PAGE,
    size=SECRET_SIZE + crypto.HASH_SIZE,
    noun="request link",
    other_page="/l",
    other="This is a public link: it gives files, and takes none.",
    other_hint="Get its files with 'fsclient get URL'.",
)


class RequestUrl(Value, frozen=True):
    """A request link: the place of the server, the secret, and the keys to seal to."""

    base: str
    """The URL before `/r`, without a final `/`."""
    secret: RequestSecret
    bundle: Hash
    """The hash of the owner's bundle, so that no server can give other keys."""

    def __repr__(self) -> str:
        return f"RequestUrl(base={self.base!r})"

    def __str__(self) -> str:
        return _KIND.written(self.base, self.secret.secret + self.bundle)


def parse_url(text: str) -> RequestUrl:
    """Read the URL of a request link; `UsageError` with the reason if it is not one."""
    base, fragment = read_url(text, _KIND)
    secret = RequestSecret(fragment[:SECRET_SIZE])
    return RequestUrl(base, secret, Hash(fragment[SECRET_SIZE:]))
