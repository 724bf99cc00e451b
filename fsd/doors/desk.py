"""What every door hands requests to: messages in, messages out; it blocks and knows no sockets."""

from __future__ import annotations

from dataclasses import dataclass

from fsd.blobs.base import BlobReader
from fsd.services.accounts import Accounts, Principal
from fsd.services.files import Files
from fsd.services.transfers import IncomingBlob, Transfers
from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.account import Enroll, GetStatus, Login, Logout, Welcome
from fsproto.messages.base import Done, Message
from fsproto.messages.files import Commit, Lookup
from fsproto.sealed.stream import stored_segment_count
from fsproto.types import NodeId, Root, Salt


@dataclass(frozen=True)
class Desk:
    """The services together."""

    accounts: Accounts
    files: Files
    transfers: Transfers

    def log_in(
        self, ask: Login | Enroll, channel_id: bytes, address: str
    ) -> tuple[Principal, Welcome]:
        """Answer the first message of a connection."""
        if isinstance(ask, Enroll):
            return self.accounts.enroll(ask, channel_id, address)
        return self.accounts.login(ask, channel_id, address)

    def answer(self, who: Principal, ask: Message) -> Message:
        """Answer a message that has one answer; raises what is to be told as a `Failure`."""
        match ask:
            case Lookup(folder, tokens):
                return self.files.lookup(who, folder, tokens)
            case Commit():
                return self.files.commit(who, ask)
            case GetStatus():
                return self.accounts.status(who)
            case Logout():
                self.accounts.logout(who)
                return Done()
        raise RemoteProtocolError(f"A client cannot send {type(ask).__name__} now.")

    def begin_upload(self, who: Principal, salt: Salt) -> Upload:
        """Begin to receive a blob."""
        return Upload(self.transfers, self.transfers.begin(who, salt))

    def open_download(self, who: Principal, node: NodeId, root: Root) -> Download:
        """Begin to send a blob."""
        return Download(*self.transfers.open(who, node, root))


class Upload:
    """A blob that is being received over some door."""

    def __init__(self, transfers: Transfers, blob: IncomingBlob) -> None:
        """Take where it goes."""
        self._transfers = transfers
        self._blob = blob
        self.failed = False

    def add(self, index: int, segment: memoryview) -> None:
        """Take the next segment."""
        self._blob.add(index, segment)

    def finish(self, who: Principal, root: Root, size: int) -> None:
        """Keep it if it is what the sender says that it is."""
        self._transfers.finish(who, self._blob, root, size)

    def fail(self) -> None:
        """Give it up; what is still under way of it will be dropped."""
        self.failed = True
        self._blob.staged.discard()

    def discard(self) -> None:
        """Forget it."""
        self._blob.staged.discard()


class Download:
    """A blob that is being sent over some door."""

    def __init__(self, reader: BlobReader, size: int) -> None:
        """Take where it comes from, and its size in stored bytes."""
        self._reader = reader
        self.size = size
        self.segments = stored_segment_count(size)

    def segment(self) -> bytes:
        """Return the next stored segment; `IntegrityError` if the blob ends too early."""
        data = self._reader.read(SEGMENT_SIZE)
        if not data:
            raise IntegrityError("The server has lost a part of this file.")
        return data

    def close(self) -> None:
        """Let go of it."""
        self._reader.close()
