"""Opens the blob store that the settings name, and checks an object store before it is used."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from fsd.blobs.base import BlobStore
from fsd.blobs.local import LocalBlobs
from fsd.blobs.s3 import S3Blobs
from fsd.blobs.s3_errors import S3ObjectError, code_of
from fsd.blobs.two_stores import TwoStores
from fsd.policies import LOCAL_BLOBS, BlobPolicy
from fsproto.errors import BadSettingError, ConflictError

MARKER = "fsd.server"
"""The object that says which server uses a prefix."""
_CONNECT_S, _READ_S = 5, 30
_TRIES = 4
_CONNECTIONS = 64
_REFUSED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden"}
_SKEW_S = 15 * 60 - 5
"""Stores refuse requests of clocks that differ more."""
_MISSING = {"404", "NoSuchBucket", "NotFound"}
_ELSEWHERE = {"301", "400", "PermanentRedirect", "AuthorizationHeaderMalformed"}


def open_store(folder: Path, policy: BlobPolicy) -> BlobStore:
    """Return the blob store; an object store is contacted at its first use.

    `folder` has the blobs if there is no object store, and files without a name otherwise.
    """
    first = _open(folder, policy)
    if not policy.fallback:
        return first
    named = "" if policy.fallback == LOCAL_BLOBS else policy.fallback
    if named.rstrip("/") == policy.store.rstrip("/"):
        raise BadSettingError(
            "blobs.fallback names the same store as blobs.store.",
            hint="Clear blobs.fallback, or name the store with the other contents.",
        )
    other = BlobPolicy(named, policy.fallback_endpoint, policy.fallback_region)
    return TwoStores(first, _open(folder, other))


def _open(folder: Path, policy: BlobPolicy) -> BlobStore:
    if not policy.store:
        return LocalBlobs(folder)
    bucket, _, prefix = policy.store.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    return S3Blobs(
        lambda: _client(policy), bucket, f"{prefix}/" if prefix else "", folder / "staging"
    )


def check_store(store: BlobStore, server: str) -> None:
    """Check that an object store can be used, by this server and no other one.

    `server` names the server: nodes with one database have one name. `BadSettingError` says what
    is wrong; then nothing was changed. A local folder needs no check.
    """
    if isinstance(store, TwoStores):
        check_store(store.first, server)
        check_store(store.second, server)
        return
    if not isinstance(store, S3Blobs):
        return
    with _setting(store):
        # Unlike HEAD, this is answered with the reason if it fails.
        store.client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix, MaxKeys=1)
        _check_versions(store)
        _check_lock(store)
        _check_marker(store, server)


def check_unused(store: BlobStore) -> None:
    """Check that an object store can be used and has nothing under its prefix.

    `BadSettingError` if it cannot be used, `ConflictError` if it has something.
    """
    if not isinstance(store, S3Blobs):
        return
    with _setting(store):
        found = store.client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix, MaxKeys=1)
        _check_versions(store)
        _check_lock(store)
    if found.get("Contents"):
        where = f"s3://{store.bucket}/{store.prefix}"
        raise ConflictError(
            f"There are objects in {where} already; nothing was changed.",
            hint="Name another prefix in blobs.store.",
        )


def _check_versions(store: S3Blobs) -> None:
    try:
        answer = store.client.get_bucket_versioning(Bucket=store.bucket)
    except S3ObjectError.of_client():
        return  # not every store knows versions, and the key need not be allowed to ask
    if answer.get("Status") == "Enabled":
        raise BadSettingError(
            f"The bucket {store.bucket} keeps all versions of its objects, also deleted ones.",
            hint="Suspend versioning, or name another bucket in blobs.store.",
        )


def _check_lock(store: S3Blobs) -> None:
    try:
        answer = store.client.get_object_lock_configuration(Bucket=store.bucket)
    except S3ObjectError.of_client():
        return  # without a lock, the answer of most stores is an error
    lock = answer.get("ObjectLockConfiguration", {})
    if lock.get("ObjectLockEnabled") == "Enabled" and lock.get("Rule"):
        raise BadSettingError(
            f"The bucket {store.bucket} has an object lock, so fsd could delete nothing.",
            hint="Remove its default retention, or name another bucket in blobs.store.",
        )


def _check_marker(store: S3Blobs, server: str) -> None:
    """Compare the marker with the server's name; store it if there is none.

    It is read before and after, because there are stores that ignore the condition.
    """
    marker: dict[str, Any] = {"Bucket": store.bucket, "Key": store.prefix + MARKER}
    found = _marker(store)
    if found is None:
        try:
            store.client.put_object(**marker, Body=server.encode(), IfNoneMatch="*")
        except S3ObjectError.of_client() as error:
            if code_of(error) not in {"PreconditionFailed", "412"}:
                raise
        found = _marker(store)
    if found is None:
        raise BadSettingError(f"The bucket {store.bucket} does not keep what is stored there.")
    if found != server.encode():
        where = f"s3://{store.bucket}/{store.prefix}"
        raise BadSettingError(
            f"Another server stores its files in {where}.",
            hint="Name another prefix in blobs.store.",
        )


def _marker(store: S3Blobs) -> bytes | None:
    try:
        answer = store.client.get_object(Bucket=store.bucket, Key=store.prefix + MARKER)
    except S3ObjectError.of_client() as error:
        if code_of(error) in {"NoSuchKey", "404", "NotFound"}:
            return None
        raise
    found: bytes = answer["Body"].read(1024)
    return found


@contextmanager
def _setting(store: S3Blobs) -> Iterator[None]:
    try:
        yield
    except S3ObjectError.of_client() as error:
        raise _wrong(store, error, code_of(error)) from None
    except S3ObjectError.of_transport() as error:
        kind = type(error).__name__
        if kind in {"NoCredentialsError", "PartialCredentialsError"}:
            raise BadSettingError(
                "There is no key for the object store.",
                hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            ) from None
        raise BadSettingError(
            f"The object store at {_endpoint(store)} does not answer: {kind}.",
            hint="Check blobs.endpoint, and that the store runs.",
        ) from None


def _wrong(store: S3Blobs, error: Exception, code: str) -> BadSettingError:
    headers = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region", "") or _field(error, "Region")
    if code in _MISSING:
        return BadSettingError(
            f"The object store at {_endpoint(store)} has no bucket {store.bucket}.",
            hint="Create it, or correct blobs.store.",
        )
    if code == "RequestTimeTooSkewed" or (code in _REFUSED and _is_off(headers.get("date", ""))):
        return BadSettingError(
            "The clock of this machine differs from that of the object store.",
            hint="Set the clock; the store refuses requests that are 15 minutes off.",
        )
    if code in _ELSEWHERE and region:
        return BadSettingError(
            f"The bucket {store.bucket} is in the region {region}.",
            hint=f'Set blobs.region to "{region}".',
        )
    if code in _REFUSED:
        return BadSettingError(
            f"The object store refuses the key for the bucket {store.bucket}.",
            hint="Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what the key may do: "
            "list, get, put and delete objects, and abort uploads.",
        )
    return BadSettingError(f"The bucket {store.bucket} cannot be used: {code}.")


def _field(error: Exception, name: str) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get(name, ""))


def _is_off(date: str) -> bool:
    """Return whether a store whose answer has this date refuses requests of this machine."""
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return False
    return abs(theirs - time.time()) > _SKEW_S


def _endpoint(store: S3Blobs) -> str:
    return str(store.client.meta.endpoint_url)


def _client(policy: BlobPolicy) -> Any:  # noqa: ANN401 - boto3 has no types
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise BadSettingError(
            "The package for object stores is not installed.",
            hint="Install it: pip install 'fs-sealed[s3]'; or clear blobs.store.",
        ) from None
    logging.getLogger("botocore").setLevel(logging.WARNING)  # else it logs where it found the key
    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "max_attempts": _TRIES},
        s3={"addressing_style": "path" if policy.endpoint else "auto"},
        # Other stores than Amazon's refuse the trailers of the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = boto3.session.Session()
    region = policy.region or session.region_name or "us-east-1"
    return session.client(
        "s3", region_name=region, endpoint_url=policy.endpoint or None, config=config
    )
