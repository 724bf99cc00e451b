"""The dispatcher of requests for all listeners: messages in, messages out; blocks, no sockets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fsd.blobs.base import BlobReader
from fsd.principal import Principal
from fsd.services.drops.service import DropService
from fsd.services.files.changes import ChangeService, Look
from fsd.services.files.commits import FileService
from fsd.services.files.history import HistoryService
from fsd.services.files.key_log import KeyLogService
from fsd.services.files.shares import ShareService
from fsd.services.files.staged_upload import FinishedUpload, StagedUpload
from fsd.services.files.transfers import TransferService
from fsd.services.links.owner import LinkService
from fsd.services.login.codes import CodeUsed
from fsd.services.login.login import LoginService
from fsd.services.requests.owner import RequestService
from fsproto.errors import FsError, IntegrityError, RemoteProtocolError
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.account import (
    Backup,
    ConfirmSecret,
    EndSession,
    EndSessions,
    Enroll,
    GetSessions,
    GetStatus,
    Login,
    Logout,
    MakeRecoveryCodes,
    Recover,
    Recovery,
    RotateSecret,
    Welcome,
)
from fsproto.messages.base import Done, Message
from fsproto.messages.drops import GetDrops, RemoveDrops
from fsproto.messages.files import (
    Commit,
    Fetch,
    GetStates,
    Kept,
    List,
    Lookup,
    Resume,
    Upload,
)
from fsproto.messages.history import Forget, GetHistory, GetLineage, GetRemoved
from fsproto.messages.keylog import GetBundle, GetLog, Rotate, RotatePart
from fsproto.messages.links import AddToLink, GetLinks, MakeLink, RemoveLinks
from fsproto.messages.requests import GetRequests, MakeRequest, RemoveRequests
from fsproto.messages.shares import (
    Block,
    GetBlocked,
    GetGroup,
    GetMembers,
    GetShared,
    GetShares,
    Leave,
)
from fsproto.sealed.stream import stored_segment_count
from fsproto.types import NodeId, Root

_READS = (
    Lookup
    | List
    | Fetch
    | GetStates
    | GetLog
    | GetBundle
    | GetRemoved
    | GetHistory
    | GetLineage
    | GetMembers
    | GetGroup
    | GetBlocked
    | GetShared
    | GetShares
    | GetDrops
    | GetStatus
    | GetSessions
)


def reads_only(ask: Message) -> bool:
    """Return whether the answer to a message changes nothing in the database."""
    return isinstance(ask, _READS)


@dataclass(frozen=True)
class Dispatcher:
    """All services behind one interface."""

    accounts: LoginService
    files: FileService
    transfers: TransferService
    sharing: ShareService
    log: KeyLogService
    histories: HistoryService
    drops: DropService
    changes: ChangeService
    links: LinkService
    requests: RequestService

    def log_in(
        self, ask: Login | Enroll, channel_id: bytes, address: str
    ) -> tuple[Principal, Welcome]:
        """Answer the first message of a connection."""
        if isinstance(ask, Enroll):
            return self.accounts.enroll(ask, channel_id, address)
        return self.accounts.login(ask, channel_id, address)

    def recover(self, ask: Recover, channel_id: bytes, address: str) -> tuple[CodeUsed, Recovery]:
        """Answer a first message that asks for a backup; `log_in_after_code` comes next."""
        return self.accounts.recover(ask, channel_id, address)

    def log_in_after_code(
        self, recovered: CodeUsed, ask: Login, channel_id: bytes, address: str
    ) -> tuple[Principal, Welcome]:
        """Answer a login without a code, of a user who consumed one on the same connection."""
        return self.accounts.log_in_after_code(recovered, ask, channel_id, address)

    def answer(self, who: Principal, ask: Message) -> Message:
        """Answer a message that has one answer; the caller sends an exception as a `Failure`."""
        match ask:
            case Lookup(folder, tokens):
                return self.files.lookup(who, folder, tokens)
            case GetStates(folders):
                return self.changes.states(who, folders)
            case Commit():
                return self.files.commit(who, ask)
            case GetLog(first):
                return self.log.entries(first)
            case GetBundle(user):
                return self.log.bundle(user)
            case RemoveDrops(dropped):
                return self.drops.remove(who, dropped)
            case GetRemoved(folder, skip):
                return self.histories.removed(who, folder, skip)
            case GetMembers() | GetGroup() | Leave() | Block() | GetBlocked():
                return self._of_shares(who, ask)
            case MakeLink() | AddToLink() | RemoveLinks() | MakeRequest() | RemoveRequests():
                return self._of_links(who, ask)
        return self._of_account(who, ask)

    def _of_shares(
        self, who: Principal, ask: GetMembers | GetGroup | Leave | Block | GetBlocked
    ) -> Message:
        """Answer a message about shares and the people in them."""
        match ask:
            case GetMembers(asked):
                return self.sharing.members(who, asked)
            case GetGroup(name):
                return self.sharing.group(name)
            case Leave(node):
                return self.sharing.leave(who, node)
            case Block(owner, blocked):
                return self.sharing.block(who, owner, blocked=blocked)
            case GetBlocked():
                return self.sharing.blocked(who)

    def _of_links(
        self, who: Principal, ask: MakeLink | AddToLink | RemoveLinks | MakeRequest | RemoveRequests
    ) -> Message:
        """Answer a message about public links and request links."""
        match ask:
            case MakeLink():
                return self.links.make(who, ask)
            case AddToLink():
                return self.links.add(who, ask)
            case RemoveLinks(removed):
                return self.links.remove(who, removed)
            case MakeRequest():
                return self.requests.make(who, ask)
            case RemoveRequests(ended):
                return self.requests.end(who, ended)

    def _of_account(self, who: Principal, ask: Message) -> Message:
        """Answer a message of a user on the user's own account."""
        match ask:
            case GetStatus():
                return self.accounts.own.status(who)
            case GetSessions():
                return self.accounts.own.sessions(who)
            case MakeRecoveryCodes(otp):
                return self.accounts.own.make_recovery_codes(who, otp)
            case RotateSecret(otp):
                return self.accounts.own.rotate_secret(who, otp)
            case ConfirmSecret(otp):
                self.accounts.own.confirm_secret(who, otp)
            case EndSessions():
                self.accounts.own.end_sessions(who)
            case EndSession(number):
                self.accounts.own.end_session(who, number)
            case Backup():
                self.accounts.own.keep_backup(who, ask)
            case Forget(named):
                self.histories.forget(who, named)
            case Logout():
                self.accounts.logout(who)
            case _:
                raise RemoteProtocolError(f"A client cannot send {type(ask).__name__} now.")
        return Done()

    def answers(self, who: Principal, ask: Message) -> Message | Iterator[Message]:
        """Answer any message; some requests have several answers.

        Each of these is made when the iterator is advanced, which may raise what `answer` raises.
        """
        match ask:
            case GetShared():
                return self.sharing.mine(who)
            case GetShares():
                return self.sharing.with_me(who, ask)
            case GetDrops():
                return self.drops.waiting(who)
            case GetLinks():
                return self.links.listing(who)
            case GetRequests():
                return self.requests.listing(who)
            case GetHistory(node, version):
                return self.histories.of_node(who, node, version)
            case GetLineage(ranges):
                return self.histories.lineage(who, ranges)
            case List(folder):
                return self.files.listing(who, folder)
            case Fetch(contents):
                return self.transfers.fetch(who, contents)
        return self.answer(who, ask)

    def rotate(self, who: Principal, ask: Rotate, parts: Iterable[RotatePart]) -> Message:
        """Answer a key rotation, with the parts that came before it."""
        self.accounts.own.rotate(who, ask, parts, self.files)
        return Done()

    def look(self, who: Principal, folder: NodeId, before: Look | None) -> Look:
        """Look whether something under a folder has changed, for a `Watch`."""
        return self.changes.look(who, folder, before)

    def begin_upload(self, who: Principal, ask: Upload, line: bytes) -> BlobUpload:
        """Start to receive a blob over the connection that `line` names."""
        resumable = ask.resumable
        blob = self.transfers.begin(who, ask.salt, ask.room, resumable=resumable, line=line)
        return BlobUpload(self.transfers, blob)

    def resume_upload(
        self, who: Principal, ask: Resume, line: bytes
    ) -> tuple[Kept, BlobUpload | None]:
        """Resume the upload of a blob, if a part of it was kept."""
        kept, blob = self.transfers.resume(who, ask.salt, ask.room, line=line)
        return kept, None if blob is None else BlobUpload(self.transfers, blob)

    def end_line(self, line: bytes) -> None:
        """Release the upload reservations of a connection that has ended."""
        self.transfers.let_go(line)

    def refused_upload(self) -> BlobUpload:
        """Return a receiver that drops the remaining segments of a refused upload."""
        return BlobUpload(self.transfers, None)

    def open_download(self, who: Principal, node: NodeId, root: Root, first: int) -> BlobDownload:
        """Start to send a blob from segment `first` on; `RemoteProtocolError` if there is none."""
        reader, size = self.transfers.open(who, node, root)
        try:
            return BlobDownload(reader, size, first)
        except FsError:
            reader.close()
            raise


class BlobUpload:
    """A blob that is being received."""

    def __init__(
        self, transfers: TransferService, blob: StagedUpload | FinishedUpload | None
    ) -> None:
        """Take the target; a refused upload has no blob and stores nothing."""
        self._transfers = transfers
        self._blob = blob
        self.failed = blob is None

    def add(self, index: int, segment: memoryview) -> None:
        """Take the next segment."""
        if self._blob is not None:
            self._blob.add(index, segment)

    def finish(self, who: Principal, root: Root, size: int) -> None:
        """Store the blob if its root and size are as the client says."""
        if self._blob is not None:
            self._transfers.finish(who, self._blob, root, size)

    def fail(self) -> None:
        """Stop the upload; its remaining segments are discarded."""
        self.failed = True
        self.discard()

    def discard(self) -> None:
        """Discard the upload."""
        if self._blob is not None:
            self._transfers.discard(self._blob)

    def suspend(self) -> None:
        """Keep the received part if the upload is resumable, for its connection has ended."""
        if self._blob is not None:
            self._transfers.suspend(self._blob)


class BlobDownload:
    """A blob that is being sent."""

    def __init__(self, reader: BlobReader, size: int, first: int) -> None:
        """Take the source, its size in stored bytes, and the number of the first segment."""
        self.segments = stored_segment_count(size) - first
        """The number of segments from the first one on."""
        if first < 0 or self.segments < 1:
            raise RemoteProtocolError("The client requested a part of a file that does not exist.")
        self._reader = reader
        self.size = size
        self.first = first
        reader.seek(first * SEGMENT_SIZE)

    @property
    def longest(self) -> int:
        """The size of the longest segment, in bytes."""
        return min(SEGMENT_SIZE, self.size)

    def segment_into(self, room: memoryview) -> int:
        """Read the next stored segment into `room`; return its length.

        `IntegrityError` if the blob ends too early.
        """
        have = 0
        while have < len(room) and (more := self._reader.readinto(room[have:])):
            have += more
        if not have:
            raise IntegrityError("The server has lost a part of this file.")
        return have

    def close(self) -> None:
        """Close the source."""
        self._reader.close()
