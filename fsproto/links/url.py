"""URLs of public links: `https://HOST/l#SECRET`, written and read (`url_grammar`)."""

from __future__ import annotations

from fsproto.links.secret import LinkSecret
from fsproto.links.url_grammar import UrlKind, read_url
from fsproto.links.url_secret import SECRET_SIZE
from fsproto.values import Value

PAGE = "/l"
_KIND = UrlKind(
    page=PAGE,
    size=SECRET_SIZE,
    noun="link",
    other_page="/r",
    other="This is a request link: it takes files, and gives none.",
    other_hint="Send files with 'fsclient drop URL FILE…'.",
)


class LinkUrl(Value, frozen=True):
    """A public link: the place of the server, and the secret."""

    base: str
    """The URL before `/l`, without a final `/`."""
    secret: LinkSecret

    def __repr__(self) -> str:
        return f"LinkUrl(base={self.base!r})"

    def __str__(self) -> str:
        return _KIND.written(self.base, self.secret.secret)


def parse_url(text: str) -> LinkUrl:
    """Read the URL of a public link; `UsageError` with the reason if it is not one."""
    base, secret = read_url(text, _KIND)
    return LinkUrl(base, LinkSecret(secret))
