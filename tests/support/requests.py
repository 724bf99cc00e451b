"""Request links of people at the server's services, and files that uploaders seal for them."""

from __future__ import annotations

import os

from msgspec.structs import replace

from fsproto.drop import Drop, DropContent, content_ad
from fsproto.keys.identity import Identity, named_bundle
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.requests import MakeRequest, OwnRequest
from fsproto.requests.description import RequestDescription, seal_request
from fsproto.requests.drop import NewDrop, RequestNote, open_request_drop
from fsproto.requests.secret import RequestKeys, RequestSecret
from fsproto.requests.upload import FinishUpload, StartUpload, UploadState
from fsproto.sealed import integrity, stream
from fsproto.types import NodeId
from tests.support.services import Services, ServiceUser

UPLOADER = "198.51.100.7"


class SealedFile:
    """A file that an uploader has sealed for the owner of a request link."""

    def __init__(self, owner: Identity, keys: RequestKeys, plain: bytes, name: str = "f") -> None:
        bundle = owner.bundle
        to = named_bundle(bundle.signed.payload, bundle.hash)
        self.made = NewDrop.to(to, keys.request, keys.mark, os.urandom)
        self.drop = self.made.drop
        ad = content_ad(self.drop)
        sealer = stream.StreamSealer(self.made.keys.file_key, ad, self.made.salt)
        count = stream.segment_count(len(plain))
        cut = [stream.plain_start(index) for index in range(count)] + [len(plain)]
        self.segments = [
            sealer.seal(index, plain[cut[index] : cut[index + 1]], last=index == count - 1)
            for index in range(count)
        ]
        blob = b"".join(self.segments)
        root = integrity.blob_root(self.made.salt, blob)
        self.content = DropContent(self.made.salt, root, len(blob))
        self.note = RequestNote(1, name, len(plain), 0, "Bob")
        self.start = StartUpload(self.drop, self.made.salt, len(blob))
        self.end = FinishUpload(
            root,
            self.made.wrapped,
            self.made.seal_note(self.content, self.note, os.urandom),
        )


class Asked:
    """A request link of a person at the services."""

    def __init__(
        self, office: Services, owner: ServiceUser, password: str = "", **limits: int | None
    ) -> None:
        self.office, self.owner = office, owner
        self.secret = RequestSecret.new(guarded=bool(password), random=os.urandom)
        self.keys = self.secret.keys(password)
        bundle = owner.identity.bundle
        terms = {"expires_ms": None, "max_files": None, "max_bytes": None} | limits
        body = RequestDescription(1, "Please.", bundle.signed.payload, **terms)
        self.sealed = seal_request(self.keys, bundle.hash, body)
        self.ask = MakeRequest(
            self.keys.request, bundle.hash, b"record", 1, self.keys.access_hash,
            self.keys.proof_hash, bool(password), **terms, description=self.sealed,
        )  # fmt: skip

    def make(self, **changes: object) -> Asked:
        self.office.requests.make(self.owner.who, replace(self.ask, **changes))
        return self

    def file(self, plain: bytes, name: str = "f") -> SealedFile:
        return SealedFile(self.owner.identity, self.keys, plain, name)

    def start(self, file: SealedFile, address: str = UPLOADER) -> UploadState:
        return self.office.uploaders.start(self.keys.request, self.keys.shown, file.start, address)

    def add(self, file: SealedFile, first: int = 0, end: int | None = None) -> None:
        """Send segments, as the web listener does for one HTTP request."""
        for index, segment in enumerate(file.segments[first:end], first):
            self.office.uploaders.add(self.keys.request, file.drop, index, memoryview(segment))

    def finish(self, file: SealedFile) -> UploadState:
        return self.office.uploaders.finish(self.keys.request, file.drop, file.end, UPLOADER)

    def send(self, plain: bytes, name: str = "f") -> SealedFile:
        """Send a whole file."""
        file = self.file(plain, name)
        self.start(file)
        self.add(file)
        assert self.finish(file).finished
        return file

    def shown(self) -> OwnRequest:
        """Return the request link as its owner sees it."""
        found = self.listed()
        assert found is not None
        return found

    def listed(self) -> OwnRequest | None:
        """Return the request link in the owner's list; None if it is not in it."""
        pages = list(self.office.requests.listing(self.owner.who))
        mine = [one for page in pages for one in page.requests]
        return next((one for one in mine if one.request == self.keys.request), None)

    def waiting(self) -> list[Drop]:
        """Return the drops that wait for the owner."""
        return [drop for page in self.office.drops.waiting(self.owner.who) for drop in page.drops]

    def plain(self, drop: Drop) -> bytes:
        """Return the content of a drop, opened as its owner."""
        request = self.keys.request
        opened = open_request_drop(drop, request, self.keys.mark, self.owner.identity)
        who, root = self.owner.who, drop.content.root
        reader, size = self.office.transfers.open(who, NodeId(drop.drop), root)
        blob = bytearray(size)
        assert reader.readinto(memoryview(blob)) == size
        reader.close()
        ad = content_ad(drop.drop)
        opener = stream.StreamOpener(opened.file_key, ad, bytes(blob[: stream.HEADER_SIZE]))
        count = stream.stored_segment_count(size)
        return b"".join(
            opener.open(
                index,
                bytes(blob[index * SEGMENT_SIZE : (index + 1) * SEGMENT_SIZE]),
                last=index == count - 1,
            )
            for index in range(count)
        )
