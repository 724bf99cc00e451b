"""People at the server's services, without sockets: their keys, and the messages they send."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.auth.otp import OtpSetting
from fsd.auth.vault import Vault
from fsd.blobs.local import LocalBlobs
from fsd.blobs.places import Places
from fsd.policies import DropPolicy, LinkPolicy, LoginPolicy, RequestPolicy
from fsd.principal import Principal
from fsd.services.accounts.access import AccessAdmin
from fsd.services.accounts.groups import GroupAdmin
from fsd.services.accounts.users import UserAdmin
from fsd.services.drops.service import DropService
from fsd.services.files.changes import ChangeService
from fsd.services.files.commits import FileService
from fsd.services.files.history import HistoryService
from fsd.services.files.key_log import KeyLogService, KeyLogWriter
from fsd.services.files.shares import ShareService
from fsd.services.files.transfers import TransferService
from fsd.services.links.owner import LinkService
from fsd.services.links.receiver import LinkReceivers
from fsd.services.login.login import LoginService
from fsd.services.requests.owner import RequestService
from fsd.services.requests.uploader import RequestUploaders
from fsd.store.audit_models import AuditEntry
from fsd.store.engine import Database
from fsd.store.models import Blob
from fsd.workers import IdleWorkers
from fsproto import crypto, labels
from fsproto.keylog.entries import sign_rotation
from fsproto.keylog.head import KeyLogHead, pack_log_head
from fsproto.keys.grants import grant_root
from fsproto.keys.identity import FORMAT, Bundle, Identity, verify_bundle
from fsproto.keys.tree import KeyedNode
from fsproto.limits import LINK_SIZE, SEGMENT_SIZE
from fsproto.messages.account import Enroll, Login, TreeRoot, Welcome
from fsproto.messages.files import Commit, InlineBlob
from fsproto.messages.keylog import Rotate, RotatePart
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed import folder, manifest
from fsproto.sealed.folder import FolderState, sign_state, verify_state
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.manifest import Content, Manifest, NodeKind, sign_manifest, verify_author
from fsproto.signed import sign
from fsproto.types import NO_HASH, NO_NODE, NO_TOKEN, Hash, NodeId, NodeKey, Root, Salt, Token
from tests.support import fixed_keys

CHANNEL = b"the channel they speak over".ljust(32)
ADDRESS = "192.0.2.1"
GUESSES = LoginPolicy(most_failures=6)
"""So few wrong passwords lock a public link; the throttles are those of logins."""
MASTER_KEY = fixed_keys.stretch("master key", 32)
LOG_KEY = crypto.SigningKey(fixed_keys.stretch("log key", crypto.ED25519_SIZE))


@dataclass
class Clock:
    """A clock that a test moves."""

    ms: int = fixed_keys.TIME_MS

    def __call__(self) -> int:
        return self.ms

    def forward(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Services:
    """The services of one server over one database."""

    def __init__(self, database: Database, folder: Path, clock: Callable[[], int]) -> None:
        self.database = database
        self.vault = Vault(MASTER_KEY, fixed_keys.Seeded("vault"))
        self.blobs = LocalBlobs(folder)
        self.audit = AuditLog(self.vault, clock)
        self.accounts = accounts(database, clock)
        self.log = KeyLogWriter(LOG_KEY, now_ms=clock)
        self.people = UserAdmin(
            database,
            self.vault,
            self.blobs,
            log=self.log,
            audit=self.audit,
            actor="fsadmin:tests",
            now_ms=clock,
        )
        self.access = AccessAdmin(
            database,
            self.vault,
            audit=self.audit,
            actor="fsadmin:tests",
            now_ms=clock,
            random=fixed_keys.Seeded("access"),
        )
        self.groups = GroupAdmin(database, audit=self.audit, actor="fsadmin:tests", now_ms=clock)
        self.files = FileService(database, self.blobs, now_ms=clock, audit=self.audit)
        self.transfers = TransferService(database, self.blobs, now_ms=clock)
        self.drops = DropService(
            database,
            self.blobs,
            policy=DropPolicy(box=True),
            audit=self.audit,
            now_ms=clock,
            random=os.urandom,
        )
        self.histories = HistoryService(database, self.blobs, self.audit)
        self.sharing = ShareService(database, self.audit, now_ms=clock)
        self.key_log = KeyLogService(database, self.log)
        self.changes = ChangeService(database)
        self.links = LinkService(
            database,
            self.audit,
            policy=LinkPolicy(url="https://files.example.org"),
            logins=GUESSES,
            now_ms=clock,
        )
        self.receivers = LinkReceivers(
            database,
            self.blobs,
            self.audit,
            ticket_key=self.vault.derived(labels.SERVER_LINK_TICKETS),
            logins=GUESSES,
            now_ms=clock,
        )

        self.requests = RequestService(
            database,
            self.audit,
            policy=RequestPolicy(),
            url="https://files.example.org",
            logins=GUESSES,
            now_ms=clock,
        )
        self.uploaders = RequestUploaders(
            database,
            self.blobs,
            self.audit,
            ticket_key=self.vault.derived(labels.SERVER_REQUEST_TICKETS),
            policy=RequestPolicy(),
            drops=DropPolicy(),
            logins=GUESSES,
            now_ms=clock,
            places=Places(database, clock),
            spare=IdleWorkers(0),
        )

    def path(self, root: bytes) -> Path:
        """Return the file of a blob that is in the blob store."""
        with self.database.read() as db:
            return self.blobs.path(
                db.scalars(select(Blob.place).where(Blob.root == root)).one() or ""
            )

    def stored(self) -> list[bytes]:
        """Return the roots of the blobs in the blob store."""
        places = [blob.place for blob in self.blobs.walk()]
        with self.database.read() as db:
            return list(db.scalars(select(Blob.root).where(Blob.place.in_(places))))

    def staged(self) -> list[Path]:
        """Return the files of uploads in progress."""
        return list(self.blobs.staging.iterdir())

    def log_head(self) -> bytes:
        """Return the head of the key log, as clients sign it."""
        head = unpack(self.key_log.entries(0).head.payload, KeyLogHead)
        return pack_log_head(head.size, head.root)

    def rotate(self, who: Principal, ask: Rotate, parts: Iterable[RotatePart] = ()) -> None:
        """Replace a person's keys, with what the rotation renews."""
        self.accounts.own.rotate(who, ask, parts, self.files)

    def add(self, name: str, digits: int = 6) -> ServiceUser:
        """Have the administrator add a person."""
        added = self.people.add(name, digits=digits, period=30, algorithm="SHA1")
        return ServiceUser(identity(name), added.otp)


def accounts(
    database: Database, clock: Callable[[], int], policy: LoginPolicy | None = None
) -> LoginService:
    """Return the service that people log in at; its tickets are like those of no other."""
    vault = Vault(MASTER_KEY, fixed_keys.Seeded("vault"))
    policy = policy or LoginPolicy()
    # In two processes of one parent, objects may have the same id.
    random = fixed_keys.Seeded(f"{database.url}{id(database)}{os.getpid()}")
    log, audit = KeyLogWriter(LOG_KEY, now_ms=clock), AuditLog(vault, clock)
    return LoginService(
        database, vault, audit=audit, policy=policy, log=log, now_ms=clock, random=random
    )


def identity(name: str, keys: str = "first", version: int = 1) -> Identity:
    """Return a person with the keys of that name; only the RSA key is everybody's."""
    signing = crypto.SigningKey(fixed_keys.stretch(f"{name} {keys} ed25519", crypto.ED25519_SIZE))
    kem = crypto.KemKey(fixed_keys.stretch(f"{name} {keys} kem", crypto.KEM_SEED_SIZE))
    rsa = fixed_keys.rsa_key("alice")
    body = Bundle(FORMAT, name, version, signing.public, rsa.public, kem.public, fixed_keys.TIME_MS)
    bundle = verify_bundle(sign(signing, labels.SIGN_BUNDLE, body), name)
    return Identity(name, signing, rsa, kem, bundle)


@dataclass
class ServiceUser:
    """A person with keys and an authenticator app."""

    identity: Identity
    otp: OtpSetting
    principal: Principal | None = None
    ticket: bytes = b""
    root: KeyedNode = field(init=False)
    entries: PrefixTree = field(default_factory=PrefixTree)
    next_lineage: Hash = NO_HASH
    """What the next state of the top of their tree carries."""
    version: int = 1
    log_head: bytes = b""
    """The head of the server's key log just after they enrolled."""

    def __post_init__(self) -> None:
        self.root = fixed_keys.keyed_node(f"root of {self.name} {self.identity.bundle.fingerprint}")

    @property
    def name(self) -> str:
        return self.identity.user

    @property
    def who(self) -> Principal:
        """As whom the server knows them."""
        if self.principal is None:
            raise AssertionError("enrol first")
        return self.principal

    def code(self, now_ms: int, offset: int = 0) -> str:
        """Return what the authenticator app shows, or showed or will show."""
        return self.otp.code(self.otp.step(now_ms) + offset)

    # --- messages

    def enrolment(self, code: str, **changes: Any) -> Enroll:
        """Return the message that enrols them."""
        message = Enroll(
            self.name,
            self.signature(labels.SIGN_ENROLL),
            code,
            self.identity.bundle.signed,
            self.empty_tree,
            "",
        )
        return msgspec.structs.replace(message, **changes)

    def login(self, code: str | None = None, ticket: bytes | None = None, **changes: Any) -> Login:
        """Return the message that logs them in."""
        message = Login(self.name, self.signature(labels.SIGN_LOGIN), code, ticket, None, "")
        return msgspec.structs.replace(message, **changes)

    def signature(self, label: bytes, channel: bytes = CHANNEL) -> bytes:
        return self.identity.signing.sign(label, channel, self.name.encode())

    @cached_property
    def empty_tree(self) -> TreeRoot:
        """The root of the user's empty tree, for the enrolment."""
        grant = grant_root(self.root, self.identity, fixed_keys.TIME_MS, fixed_keys.Seeded("grant"))
        root = self.manifest(self.root.node, NO_NODE, NO_TOKEN, None)
        state = self.root_state(1)
        self.next_lineage = state.point.next_lineage
        return TreeRoot(grant, sign_manifest(self.identity.signing, root).signed, state.signed)

    def rotation(self, code: str, new: Identity) -> Rotate:
        """Return the message that replaces their first keys while their tree is empty."""
        return next_rotation(self.identity, new, self.empty_tree, code, self.log_head)

    # --- doing it

    def enrol(self, office: Services, now_ms: int, offset: int = 0) -> Welcome:
        """Enrol with the code of now."""
        ask = self.enrolment(self.code(now_ms, offset))
        self.principal, welcome = office.accounts.enroll(ask, CHANNEL, ADDRESS)
        self.ticket = welcome.ticket or b""
        self.log_head = office.log_head()
        return welcome

    def put(self, office: Services, name: str, blob: bytes, *, inline: bool = True) -> None:
        """Store a sealed file at the top of their tree, inside its commit or uploaded before."""
        if not inline:
            self.stage(office, blob)
        office.files.commit(self.who, self.change(name, blob, inline=inline))

    def change(self, name: str, blob: bytes, *, inline: bool = True) -> Commit:
        """Return the commit that stores a sealed file at the top of their tree."""
        node = NodeId(fixed_keys.stretch(f"{self.name} {name} id", 16))
        token = Token(fixed_keys.stretch(f"{self.name} {name} token", 32))
        salt = self._salt(blob)
        content = Content(1, salt, blob_root(salt, blob), len(blob), bytes(32))
        body = self.manifest(node, self.root.node, token, content)
        signed = sign_manifest(self.identity.signing, body)
        state = self.enter(FolderEntry(token, node, signed.hash))
        blobs = [InlineBlob(salt, blob)] if inline else []
        return Commit([state.signed], [signed.signed], [], blobs, [])

    def enter(self, entry: FolderEntry) -> folder.VerifiedState:
        """Return the next state of the top of their tree, with one more entry in it."""
        self.entries = self.entries.put(entry)
        self.version += 1
        state = self.root_state(self.version)
        self.next_lineage = state.point.next_lineage
        return state

    def _salt(self, blob: bytes) -> Salt:
        return Salt(fixed_keys.stretch(f"{self.name} {len(blob)} salt", 32))

    def stage(self, office: Services, blob: bytes) -> Root:
        """Upload a sealed blob that no commit names yet; return its root."""
        who, salt = self.who, self._salt(blob)
        root = blob_root(salt, blob)
        incoming = office.transfers.begin(who, salt)
        for index, start in enumerate(range(0, len(blob), SEGMENT_SIZE)):
            incoming.add(index, memoryview(blob)[start : start + SEGMENT_SIZE])
        office.transfers.finish(who, incoming, root, len(blob))
        return root

    def manifest(
        self, node: NodeId, parent: NodeId, token: Token, content: Content | None
    ) -> Manifest:
        """Return the first manifest of something of theirs, to be signed."""
        return Manifest(
            format=manifest.FORMAT,
            node=node,
            parent=parent,
            kind=NodeKind.FOLDER if content is None else NodeKind.FILE,
            version=1,
            lineage=NO_HASH,
            token=token,
            link=b"" if parent == NO_NODE else bytes(LINK_SIZE),
            link_generation=0 if parent == NO_NODE else 1,
            generation=1,
            names_since=1,
            former=b"",
            key_commitment=NO_HASH,
            former_commitment=NO_HASH,
            metadata=b"sealed, as far as a server can tell",
            content=content,
            author=self.name,
            author_key=self.identity.signing.public,
            time_ms=fixed_keys.TIME_MS,
            log_head=b"" if parent == NO_NODE else self.log_head,
        )

    def root_state(self, version: int) -> folder.VerifiedState:
        """Return a state of the top of their tree, with the entries it has now."""
        body = FolderState(
            format=folder.FORMAT,
            folder=self.root.node,
            version=version,
            lineage=self.next_lineage,
            root=self.entries.root,
            generation=1,
            author=self.name,
            author_key=self.identity.signing.public,
            time_ms=fixed_keys.TIME_MS,
            log_head=b"" if version == 1 else self.log_head,
        )
        return sign_state(self.identity.signing, body)


def next_rotation(
    old: Identity, new: Identity, tree: TreeRoot, code: str, log_head: bytes
) -> Rotate:
    """Return the message that replaces keys by the next ones; `tree` is the root as it is."""
    was = verify_author(tree.manifest, old.user, old.signing.public)
    state = verify_state(tree.state, was.body.node, old.user, old.signing.public)
    generation = new.bundle.body.version
    manifest = msgspec.structs.replace(
        was.body,
        version=was.body.version + 1,
        lineage=was.point.next_lineage,
        generation=generation,
        former=bytes(28 + 32 * (generation - 1)),
        author_key=new.signing.public,
        log_head=log_head,
    )
    following = msgspec.structs.replace(
        state.body,
        version=state.body.version + 1,
        lineage=state.point.next_lineage,
        generation=generation,
        author_key=new.signing.public,
        log_head=log_head,
    )
    root = KeyedNode(was.body.node, generation, NodeKey(bytes(32)))
    renewed = TreeRoot(
        grant_root(root, new, fixed_keys.TIME_MS, fixed_keys.Seeded("next grant")),
        sign_manifest(new.signing, manifest).signed,
        sign_state(new.signing, following).signed,
    )
    word = sign_rotation(old.signing, old.bundle.hash, new.bundle.hash)
    return Rotate(code, new.bundle.signed, word, renewed)


def audited(office: Services, *events: AuditEvent) -> list[tuple[str, str, str]]:
    """Return what was recorded of these kinds: event, subject and detail, the oldest first."""
    wanted = [one.value for one in events]
    with office.database.read() as db:
        found = db.scalars(select(AuditEntry).order_by(AuditEntry.seq))
        return [(one.event, one.subject, one.detail) for one in found if one.event in wanted]
