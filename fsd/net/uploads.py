"""The unfinished uploads of one connection."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from fsd.net.dispatch import BlobUpload, Dispatcher
from fsd.principal import Principal
from fsd.store.engine import DatabaseAwayError
from fsproto.errors import FsError, RemoteProtocolError
from fsproto.limits import MAX_UPLOADS
from fsproto.messages import Message, files
from fsproto.messages.base import Done
from fsproto.wire.connection import Data

log = logging.getLogger(__name__)

OF_UPLOADS = files.Upload | files.Resume | files.UploadEnd | files.UploadAbort
"""Requests about uploads."""


class Uploads:
    """The uploads of one connection, by the number of their request. All calls block."""

    def __init__(self, dispatcher: Dispatcher, channel_id: Callable[[], bytes]) -> None:
        """Take the services, and what returns the channel's id while the connection is open."""
        self._dispatcher = dispatcher
        self._channel_id = channel_id
        self._channel: bytes | None = None
        """The channel id, from the first upload on; a closed connection no longer returns it."""
        self._running: dict[int, BlobUpload] = {}

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._running)

    @property
    def reserve(self) -> bool:
        """Return whether there has been an upload, so that `let_go` has something to release."""
        return self._channel is not None

    def take(self, data: Data) -> FsError | None:
        """Take a segment; return the failure to send if there is one."""
        upload = self._running.get(data.stream)
        if upload is None or upload.failed:
            return None  # its failure was sent; segments already on their way are dropped
        try:
            upload.add(data.index, data.payload)
        except DatabaseAwayError:
            raise  # the connection ends, and the upload can be resumed
        except FsError as error:
            try:
                upload.fail()
            except FsError as failed:  # its lease ends soon, and the janitor deletes the rest
                log.warning("a failed upload was not deleted: %s", failed.sentence)
            return error
        return None

    def answer(self, who: Principal, request: int, message: Message) -> Message | None:
        """Answer a request about uploads; None: it has no answer."""
        match message:
            case files.Upload():
                line = self._channel_for(request)
                self._running[request] = (
                    self._dispatcher.refused_upload()
                )  # segments may be under way
                self._running[request] = self._dispatcher.begin_upload(who, message, line)
            case files.Resume():
                line = self._channel_for(request)
                kept, upload = self._dispatcher.resume_upload(who, message, line)
                if upload is not None:
                    self._running[request] = upload
                return kept
            case files.UploadEnd(root, size):
                upload = self._ended(request)
                if not upload.failed:
                    upload.finish(who, root, size)
                    return Done()
            case files.UploadAbort():
                self._ended(request).discard()
        return None

    def let_go(self) -> None:
        """Suspend resumable uploads, and release the reservations, for the connection has ended."""
        ends = [upload.suspend for upload in self._running.values()]
        if self._channel is not None:
            ends.append(partial(self._dispatcher.end_line, self._channel))
        for end in ends:
            try:
                end()
            except FsError as error:
                log.warning("what was reserved for uploads lasts a while: %s", error.sentence)
            except Exception:  # the other uploads are let go all the same
                log.exception("what was reserved for uploads lasts a while")

    def _channel_for(self, request: int) -> bytes:
        """Return the id for a new upload's reservation; `RemoteProtocolError` if not allowed."""
        if request in self._running:
            raise RemoteProtocolError("This upload was already started.")
        if len(self._running) >= MAX_UPLOADS:
            raise RemoteProtocolError("Too many uploads at once.")
        self._channel = self._channel_id()
        return self._channel

    def _ended(self, request: int) -> BlobUpload:
        if request not in self._running:
            raise RemoteProtocolError("This upload was never started.")
        return self._running.pop(request)
