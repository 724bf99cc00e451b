"""Reads an object: one request from a byte on, repeated from the next byte where it breaks off."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fsd.blobs.base import BlobMissingError, StoreUnavailableError
from fsd.blobs.local import LOST
from fsd.blobs.s3_errors import S3ObjectError, code_of, explained
from fsproto.errors import IntegrityError, InternalError

_TRIES = 4
"""How often a download is tried again without a further byte."""
_MISSING = {"NoSuchKey", "404", "NotFound", "PreconditionFailed", "412"}
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_PARTIAL, _WHOLE = 206, 200


class S3Reader:
    """A reader of one object."""

    def __init__(
        self, client: Callable[[], Any], bucket: str, key: str, size: int | None = None
    ) -> None:
        """Take what returns the client, and the size of the object if it is known.

        Asks for nothing yet.
        """
        self._client = client
        self._key = {"Bucket": bucket, "Key": key}
        self._expected = size
        self._at = 0
        self._end: int | None = None
        """The size of the object, once it is known."""
        self._tag = ""
        self._body: Any = None

    def seek(self, to: int) -> None:
        """Continue reading at byte `to`."""
        self.close()
        self._at = to

    def readinto(self, room: memoryview, /) -> int:
        """Fill `room` with the next bytes, or a part of it; 0 only at the end."""
        for tried in range(_TRIES):
            if self._end is not None and self._at >= self._end:
                return 0
            try:
                with explained():
                    body = self._opened()
                    data = body.read(len(room)) if body is not None else b""
            except InternalError:
                self.close()
                if tried + 1 == _TRIES:
                    raise
                continue
            if data:
                room[: len(data)] = data
                self._at += len(data)
                return len(data)
            self.close()  # the body ended early, if this is not the end
        if self._end is not None and self._at >= self._end:
            return 0
        raise IntegrityError("The server has lost a part of this file.")

    def _opened(self) -> Any:  # noqa: ANN401 - boto3 has no types
        if self._body is not None:
            return self._body
        same = {"IfMatch": self._tag} if self._tag else {}
        try:
            answer = self._client().get_object(**self._key, Range=f"bytes={self._at}-", **same)
        except S3ObjectError.of_client() as error:
            code = code_of(error)
            if code in _MISSING:
                raise BlobMissingError(LOST) from None
            if code in {"InvalidRange", "416"}:
                self._end = self._at
                return None
            raise
        try:
            self._check(answer)
        except StoreUnavailableError:
            answer["Body"].close()
            raise
        self._body = answer["Body"]
        return self._body

    def _check(self, answer: dict[str, Any]) -> None:
        """Raise `StoreUnavailableError` unless the answer has the requested bytes.

        A store may ignore the range, answer with a page about an error, or with an older object.
        """
        found = _RANGE.fullmatch(answer.get("ContentRange", ""))
        if found is not None:
            first, last, size = map(int, found.groups())
            length = last + 1 - first
        else:  # the whole object, if the status says so
            first, size = 0, answer.get("ContentLength", -1)
            length = size
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        told = answer.get("ETag", "")
        if (
            status != (_WHOLE if found is None else _PARTIAL)
            or (first, length) != (self._at, size - self._at)
            or answer.get("ContentLength") != length
            or self._expected not in (None, size)
            or (self._tag and told != self._tag)
        ):
            raise StoreUnavailableError(
                "The object store of the server does not return what was asked for."
            )
        self._tag, self._end = told, size

    def close(self) -> None:
        """End the request."""
        body, self._body = self._body, None
        if body is not None:
            body.close()
