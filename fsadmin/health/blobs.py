"""Checks of the object store, if the server stores contents in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fsadmin.health.report import CheckResult, bad, fine
from fsproto.errors import BadSettingError

if TYPE_CHECKING:
    from fsd.blobs.base import BlobStore
    from fsd.policies import BlobPolicy


def blobs(policy: BlobPolicy, opened: Callable[[], BlobStore]) -> Iterator[CheckResult]:
    """Check that the object store can be used; `opened` raises `BadSettingError` if it cannot."""
    if not policy.store:
        return
    try:
        opened()
    except BadSettingError as error:
        yield bad("blobs", error.sentence, error.hint or "fsd --check-config tells more")
        return
    yield fine("blobs", f"The object store {policy.store} can be used.")
