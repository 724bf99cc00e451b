"""The secret of a public link, and the values that are derived from it (`url_secret`)."""

from __future__ import annotations

from fsproto import labels
from fsproto.links.url_secret import SecretLabels, UrlKeys, UrlSecret
from fsproto.types import LinkId

LABELS = SecretLabels(
    id=labels.PUBLIC_LINK_ID,
    access=labels.PUBLIC_LINK_ACCESS,
    salt=labels.PUBLIC_LINK_SALT,
    password=labels.PUBLIC_LINK_PASSWORD,
    proof=labels.PUBLIC_LINK_PROOF,
    key=labels.PUBLIC_LINK_KEY,
    access_hash=labels.HASH_LINK_ACCESS,
    proof_hash=labels.HASH_LINK_PROOF,
)


class LinkKeys(UrlKeys, frozen=True):
    """The derived values of one public link."""

    labels = LABELS

    @property
    def link(self) -> LinkId:
        """The id by which the server knows the link."""
        return LinkId(self.id)


class LinkSecret(UrlSecret, frozen=True):
    """The 32 bytes in the fragment of a public link's URL."""

    labels = LABELS

    @property
    def link(self) -> LinkId:
        """The id by which the server knows the link."""
        return LinkId(self.id)

    def keys(self, password: str = "") -> LinkKeys:
        """Derive the keys of the link; `password` is used only if the link has one.

        `UsageError` for a password that no link has. Argon2id takes a part of a second and 64 MiB.
        """
        return LinkKeys(*self.derived(self.base(password)))
