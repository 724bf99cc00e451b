"""Answers to uploaders with request links: description, start, segments, end.

A connection holds at most one segment in memory, and only for a right ticket; an upload takes
segments from one connection at a time.
"""

from __future__ import annotations

from concurrent.futures import Executor
from functools import partial

from fsd.net.web.exchange import OCTETS, TAKES, TEXT, BadRequest, HttpExchange
from fsd.net.web.requests import Ask, Kind
from fsd.services.requests.uploader import RequestUploaders, UploadRefused
from fsd.workers import run_in
from fsproto.errors import RemoteProtocolError
from fsproto.limits import MAX_REQUEST_SEGMENTS, SEGMENT_SIZE
from fsproto.packing import pack, unpack
from fsproto.requests.upload import (
    BUSY,
    DAMAGED,
    FULL,
    NO_ROOM,
    ORDER,
    TAKEN,
    TOO_LARGE,
    FinishUpload,
    StartUpload,
    UploadState,
)
from fsproto.types import DropId

_BODY = 16 * 1024
"""Most bytes of a body other than segments."""
_AT_ONCE = 128
"""Uploads that receive segments at the same time, with up to 1 MiB of memory each."""
_STATUS = {
    FULL: 409,
    TOO_LARGE: 413,
    NO_ROOM: 507,
    BUSY: 503,
    TAKEN: 409,
    ORDER: 409,
    DAMAGED: 422,
}


class UploadAnswers:
    """The answers to requests about request links."""

    def __init__(self, uploaders: RequestUploaders, pool: Executor) -> None:
        """Take the service, and the threads that it runs in."""
        self._uploaders = uploaders
        self._pool = pool
        self._receiving: set[DropId] = set()

    async def answer(self, http: HttpExchange, ask: Ask, address: str) -> int:
        """Answer a request; return the status.

        `NoSuchLink` for a refusal that the caller answers, with nothing of an answer sent.
        """
        try:
            match ask.kind:
                case Kind.REQUEST:
                    await http.body()
                    proof = ask.shown.proof
                    act = partial(self._uploaders.description, ask.request, proof, address)
                    body = await run_in(self._pool, act)
                    await http.answer(200, body, OCTETS, *TAKES, head_only=ask.head_only)
                case Kind.UPLOAD_STOP:
                    await http.body()
                    await self._check(ask)
                    await run_in(self._pool, self._uploaders.abandon, ask.request, ask.drop)
                    await http.answer(200, b"", OCTETS, *TAKES)
                case Kind.UPLOAD_PART:
                    state = await self._part(http, ask)
                    await http.answer(200, pack(state), OCTETS, *TAKES)
                case _:
                    body = await http.body(_BODY)
                    state = await self._changed(ask, body, address)
                    await http.answer(200, pack(state), OCTETS, *TAKES)
        except UploadRefused as refused:
            status = _STATUS[refused.word]
            await http.skip(MAX_REQUEST_SEGMENTS * SEGMENT_SIZE)
            more = [("Retry-After", "30")] if refused.word == BUSY else []
            await http.answer(status, f"{refused.word}\n".encode(), TEXT, *more, *TAKES)
            return status
        return 200

    async def _changed(self, ask: Ask, body: bytes, address: str) -> UploadState:
        """Start or end an upload."""
        try:
            if ask.kind is Kind.UPLOAD_START:
                start = unpack(body, StartUpload)
            else:
                end = unpack(body, FinishUpload)
        except RemoteProtocolError:
            raise BadRequest(400) from None
        if ask.kind is Kind.UPLOAD_START:
            proof = ask.shown.proof
            act = partial(self._uploaders.start, ask.request, proof, start, address)
        else:
            await self._check(ask)
            act = partial(self._uploaders.finish, ask.request, ask.drop, end, address)
        return await run_in(self._pool, act)

    async def _check(self, ask: Ask) -> None:
        check = partial(self._uploaders.check, ask.request, ask.drop, ask.shown.ticket)
        await run_in(self._pool, check)

    async def _part(self, http: HttpExchange, ask: Ask) -> UploadState:
        """Receive segments; return the state of the upload."""
        await self._check(ask)
        if ask.drop in self._receiving:
            raise UploadRefused(ORDER)
        if len(self._receiving) >= _AT_ONCE:
            raise UploadRefused(BUSY)
        self._receiving.add(ask.drop)
        try:
            await self._segments(http, ask)
        finally:
            self._receiving.discard(ask.drop)
        state = partial(self._uploaders.state, ask.request, ask.drop)
        return await run_in(self._pool, state)

    async def _segments(self, http: HttpExchange, ask: Ask) -> None:
        room, taken = memoryview(bytearray(SEGMENT_SIZE)), 0
        for index in range(ask.segment, ask.segment + MAX_REQUEST_SEGMENTS):
            have = await http.read_into(room)
            if not have:
                break
            add = partial(self._uploaders.add, ask.request, ask.drop, index, room[:have])
            await run_in(self._pool, add)
            taken += have
            if have < SEGMENT_SIZE:
                break
        if not taken or await http.read_into(room[:1]):
            raise BadRequest(413 if taken else 400)
