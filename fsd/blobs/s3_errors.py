"""Errors of an object store as errors of fsd."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fsd.blobs.base import StoreUnavailableError
from fsproto.errors import OutOfSpaceError

log = logging.getLogger(__name__)

_FULL = {"QuotaExceeded", "InsufficientStorage", "507", "EntityTooLarge"}


class S3ObjectError:
    """The exceptions of botocore, which is imported only where an object store is used."""

    @staticmethod
    def of_client() -> type[Exception]:
        """Return the class of errors that the store answered with."""
        from botocore.exceptions import ClientError

        found: type[Exception] = ClientError
        return found

    @staticmethod
    def of_transport() -> tuple[type[Exception], ...]:
        """Return the classes of errors of the connection and of the credentials."""
        from botocore.exceptions import BotoCoreError, HTTPClientError
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        return BotoCoreError, HTTPClientError, ResponseParserError, HTTPError, OSError


def code_of(error: Exception) -> str:
    """Return the store's code of an error, for example `NoSuchKey` or `404`."""
    response = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


def field_of(answer: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - boto3 has no types
    """Return a field of an answer; `StoreUnavailableError` if it is missing."""
    found = answer.get(name)
    if found in (None, ""):
        raise StoreUnavailableError(f"The object store of the server answers without {name}.")
    return found


@contextmanager
def explained() -> Iterator[None]:
    """Raise `OutOfSpaceError` if the store is full, else `StoreUnavailableError`."""
    try:
        yield
    except S3ObjectError.of_client() as error:
        code = code_of(error)
        log.error("the object store fails: %s", code)  # noqa: TRY400 - no fault of the program
        if code in _FULL:
            raise OutOfSpaceError("The server has no space left.") from error
        raise StoreUnavailableError(f"The object store of the server fails: {code}.") from error
    except S3ObjectError.of_transport() as error:
        kind = type(error).__name__
        log.error("the object store does not answer: %s", kind)  # noqa: TRY400
        told = f"The object store of the server does not answer: {kind}."
        raise StoreUnavailableError(told) from error
