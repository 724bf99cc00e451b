"""The secret of a request link, and the values that are derived from it.

They are those of `fsproto.links.url_secret`, under other labels, and one more:

    mark = HKDF-Expand(base, "fs/2 request link mark", 32)

The mark enters the keys of each drop (`drop`). The owner has it in the record of the request link,
and the server does not have it. So a server that does not have the URL (and the password) cannot
make a drop that looks as if it was sent with the request link.
"""

from __future__ import annotations

from fsproto import crypto, labels
from fsproto.links.url_secret import SecretLabels, UrlKeys, UrlSecret
from fsproto.types import RequestId

MARK_SIZE = 32
LABELS = SecretLabels(
    id=labels.REQUEST_ID,
    access=labels.REQUEST_ACCESS,
    salt=labels.REQUEST_SALT,
    password=labels.REQUEST_PASSWORD,
    proof=labels.REQUEST_PROOF,
    key=labels.REQUEST_KEY,
    access_hash=labels.HASH_REQUEST_ACCESS,
    proof_hash=labels.HASH_REQUEST_PROOF,
)


class RequestKeys(UrlKeys, frozen=True):
    """The derived values of one request link."""

    mark: bytes
    """32 bytes that enter the keys of each drop."""
    labels = LABELS

    def __repr__(self) -> str:
        return f"RequestKeys(id={self.id!r})"

    @property
    def request(self) -> RequestId:
        """The id by which the server knows the request link."""
        return RequestId(self.id)


class RequestSecret(UrlSecret, frozen=True):
    """The first 32 bytes in the fragment of a request link's URL."""

    labels = LABELS

    @property
    def request(self) -> RequestId:
        """The id by which the server knows the request link."""
        return RequestId(self.id)

    def keys(self, password: str = "") -> RequestKeys:
        """Derive the keys; `password` is used only if the request link has one.

        `UsageError` for a password that none has. Argon2id takes a part of a second and 64 MiB.
        """
        base = self.base(password)
        mark = crypto.hkdf_expand(base, labels.REQUEST_MARK, MARK_SIZE)
        return RequestKeys(*self.derived(base), mark)
