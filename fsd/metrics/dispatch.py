"""A dispatcher that counts requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from typing_extensions import override

from fsd.metrics.counters import Counters
from fsd.net.dispatch import BlobDownload, BlobUpload, Dispatcher
from fsd.principal import Principal
from fsd.services.files.changes import Look
from fsd.services.login.codes import CodeUsed
from fsproto.errors import FsError, LoginRefused, SecurityError, UsageError
from fsproto.messages.account import Enroll, Login, Recover, Recovery, Welcome
from fsproto.messages.base import Message
from fsproto.messages.files import Kept, Resume, Upload
from fsproto.messages.keylog import Rotate, RotatePart
from fsproto.types import NodeId, Root

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CountingDispatcher(Dispatcher):
    """A dispatcher that also counts its answers."""

    numbers: Counters

    @contextmanager
    def _counted(self, kind: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except FsError as error:
            self.numbers.failures.labels(kind, error.code).inc()
            raise
        finally:
            took = time.perf_counter() - started
            self.numbers.requests.labels(kind).observe(took)
            log.debug("answered", extra={"kind": kind, "ms": round(took * 1000, 3)})

    @contextmanager
    def _login_counted(self) -> Iterator[None]:
        result = "failed"
        try:
            yield
            result = "ok"
        except (LoginRefused, SecurityError, UsageError):
            result = "refused"
            raise
        finally:
            self.numbers.logins.labels(result).inc()

    @override
    def log_in(
        self, ask: Login | Enroll, channel_id: bytes, address: str
    ) -> tuple[Principal, Welcome]:
        with self._login_counted():
            return super().log_in(ask, channel_id, address)

    @override
    def log_in_after_code(
        self, recovered: CodeUsed, ask: Login, channel_id: bytes, address: str
    ) -> tuple[Principal, Welcome]:
        with self._login_counted():
            return super().log_in_after_code(recovered, ask, channel_id, address)

    @override
    def recover(self, ask: Recover, channel_id: bytes, address: str) -> tuple[CodeUsed, Recovery]:
        with self._counted("recover"):
            return super().recover(ask, channel_id, address)

    @override
    def answers(self, who: Principal, ask: Message) -> Message | Iterator[Message]:
        kind = type(ask).__name__.lower()
        with self._counted(kind):
            answers = super().answers(who, ask)
            if isinstance(answers, Message):
                return answers
            first = next(answers, None)
        return self._more(kind, first, answers)

    def _more(self, kind: str, first: Message | None, rest: Iterator[Message]) -> Iterator[Message]:
        """Yield all answers; only the time until the first one counts as that of the request."""
        if first is None:
            return
        yield first
        try:
            yield from rest
        except FsError as error:
            self.numbers.failures.labels(kind, error.code).inc()
            raise

    @override
    def rotate(self, who: Principal, ask: Rotate, parts: Iterable[RotatePart]) -> Message:
        with self._counted("rotate"):
            return super().rotate(who, ask, parts)

    @override
    def look(self, who: Principal, folder: NodeId, before: Look | None) -> Look:
        with self._counted("watch"):
            return super().look(who, folder, before)

    @override
    def begin_upload(self, who: Principal, ask: Upload, line: bytes) -> BlobUpload:
        with self._counted("upload"):
            upload = super().begin_upload(who, ask, line)
        return _CountingUpload(upload, self.numbers)

    @override
    def resume_upload(
        self, who: Principal, ask: Resume, line: bytes
    ) -> tuple[Kept, BlobUpload | None]:
        with self._counted("resume"):
            kept, upload = super().resume_upload(who, ask, line)
        return kept, None if upload is None else _CountingUpload(upload, self.numbers)

    @override
    def open_download(self, who: Principal, node: NodeId, root: Root, first: int) -> BlobDownload:
        with self._counted("download"):
            download = super().open_download(who, node, root, first)
        return _CountingDownload(download, self.numbers)


class _CountingUpload(BlobUpload):
    def __init__(self, upload: BlobUpload, numbers: Counters) -> None:
        self.__dict__.update(vars(upload))
        self._numbers = numbers

    @override
    def add(self, index: int, segment: memoryview) -> None:
        super().add(index, segment)
        self._numbers.received.inc(len(segment))


class _CountingDownload(BlobDownload):
    def __init__(self, download: BlobDownload, numbers: Counters) -> None:
        self.__dict__.update(vars(download))
        self._numbers = numbers

    @override
    def segment_into(self, room: memoryview) -> int:
        have = super().segment_into(room)
        self._numbers.sent.inc(have)
        return have
