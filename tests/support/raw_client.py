"""A client that can send anything: the protocol's own connection on a socket, unchecked."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any, Self

from msgspec.structs import replace

from fsclient.session.session import Session
from fsproto import labels
from fsproto.errors import ConnectionLost
from fsproto.keys.key_file import open_identity
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.link import Address
from fsproto.messages import Message
from fsproto.messages.account import Login, Welcome
from fsproto.messages.base import Failure
from fsproto.messages.files import Commit, InlineBlob, Room
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed import folder as folders
from fsproto.sealed import manifest as manifests
from fsproto.sealed.folder import FolderState, sign_state
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.manifest import (
    Content,
    Manifest,
    Metadata,
    Mode,
    NodeKind,
    VerifiedManifest,
    seal_metadata,
    sign_manifest,
)
from fsproto.sealed.stream import sealed_size
from fsproto.signed import Signed
from fsproto.types import NO_HASH, NO_TOKEN, FileKey, Salt
from fsproto.wire.connection import NEED_DATA, Connection, Control, Data, Reply
from fsproto.wire.handshake import ClientHandshake
from tests.support import connection_pair
from tests.support.world import Person

ANY_ROOM = Room(None, None, None)
"""The quota claim of an upload to the user's own tree that does not state its size."""


class RawClient:
    """One connection to a server, after the key exchange."""

    def __init__(self, server: Address, host_key: str) -> None:
        """Connect and exchange keys."""
        self.connection = Connection(ClientHandshake(host_key, os.urandom))
        self.socket = socket.create_connection((server.host, server.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self.connection.start())
        reply = self._event()
        assert isinstance(reply, Reply)
        self.socket.sendall(reply.data)
        self._event()
        self._request = 0

    @classmethod
    def of(cls, person: Person, server: Address) -> RawClient:
        """Log in as a person, with their running session."""
        raw = cls(server, person.added["enroll_link"].partition("host-key=")[2])
        assert isinstance(raw.ask(raw.login(person)), Welcome)
        return raw

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def login(self, person: Person, **changes: Any) -> Login:
        """Return the message that logs a person in with their running session."""
        identity = open_identity((person.profile / "identity.key").read_bytes(), None)
        told = (self.connection.channel_id, identity.user.encode())
        signature = identity.signing.sign(labels.SIGN_LOGIN, *told)
        ticket = bytes.fromhex((person.profile / "session").read_text().split()[0])
        return replace(Login(identity.user, signature, None, ticket, None, ""), **changes)

    def send(self, message: Message, request: int | None = None) -> int:
        """Send a message under the next number or a given one; return the number."""
        if request is None:
            self._request = request = self._request + 1
        self.socket.sendall(self.connection.send(request, message))
        return request

    def send_segment(self, request: int, index: int, segment: bytes) -> None:
        """Send a segment of an upload."""
        self.socket.sendall(connection_pair.segment(self.connection, request, index, segment))

    def send_plain(self, plaintext: bytes) -> None:
        """Send a record with any plaintext."""
        self.socket.sendall(self.connection._keys().sealer.seal(plaintext))

    def receive(self) -> Control | Data:
        """Return the server's next message; `ConnectionLost` if it has ended the connection."""
        event = self._event()
        assert isinstance(event, Control | Data)
        return event

    def ask(self, message: Message) -> Message:
        """Send a message and return its answer."""
        request = self.send(message)
        answer = self.receive()
        assert isinstance(answer, Control)
        assert answer.request == request
        return answer.message

    def refusal(self, message: Message) -> str:
        """Send a message that must be refused; return the error code."""
        answer = self.ask(message)
        assert isinstance(answer, Failure), answer
        return answer.code

    def is_ended(self) -> bool:
        """Return whether the server ends the connection without another message."""
        try:
            self.receive()
        except ConnectionLost:
            return True
        return False

    def _event(self) -> object:
        while True:
            event = self.connection.next_event()
            if event is not NEED_DATA:
                return event
            data = b""
            with contextlib.suppress(ConnectionError):
                data = self.socket.recv(1 << 18)
            self.connection.receive_data(data)


class Forger:
    """A maker of commits that no client would make, all properly signed by one person."""

    def __init__(self, session: Session) -> None:
        """Take a session of that person."""
        self.tree = session.tree
        self.key = session.identity.signing
        self.user = session.identity.user

    @property
    def log_head(self) -> bytes:
        """The head of the key log that the person's signatures carry."""
        return self.tree.context.people.log_head

    def blob(self) -> tuple[Content, InlineBlob]:
        """Return new content and its small blob; the bytes do not matter."""
        salt, data = Salt(os.urandom(32)), os.urandom(100)
        content = Content(1, salt, blob_root(salt, data), len(data), os.urandom(32))
        return content, InlineBlob(salt, data)

    def manifest(
        self,
        parent: KeyedNode,
        name: str,
        content: Content | None,
        before: VerifiedManifest | None = None,
        /,
        node: KeyedNode | None = None,
        **changes: Any,
    ) -> VerifiedManifest:
        """Sign a manifest for a name; `changes` are fields with wrong values."""
        node = node or new_node(os.urandom)
        version = before.body.version + 1 if before else 1
        key = FileKey(os.urandom(32)) if content else None
        size = content.sealed_size - sealed_size(0) if content else 0
        metadata = Metadata(name, size, 1, Mode.REGULAR, file_key=key)
        if content is not None and content.version == 1:
            content = replace(content, version=version)
        body = Manifest(
            format=manifests.FORMAT,
            node=before.body.node if before else node.node,
            parent=parent.node,
            kind=NodeKind.FILE if content else NodeKind.FOLDER,
            version=version,
            lineage=before.point.next_lineage if before else NO_HASH,
            token=parent.token(name),
            link=parent.seal_link(node, os.urandom),
            link_generation=parent.generation,
            generation=1,
            names_since=1,
            former=b"",
            key_commitment=node.key_commitment,
            former_commitment=node.former_commitment,
            metadata=seal_metadata(
                node.metadata_key, node.node, version, 1, metadata, random=os.urandom
            ),
            content=content,
            author=self.user,
            author_key=self.key.public,
            time_ms=1,
            log_head=self.log_head,
        )
        return sign_manifest(self.key, replace(body, **changes))

    def state(self, folder: KeyedNode, /, *changed: VerifiedManifest, **changes: Any) -> Signed:
        """Sign the state of an existing folder in which these manifests are the newest."""
        changed = tuple(m for m in changed if len(m.body.token) == len(NO_TOKEN))
        try:
            self.tree.context.places.way_up(folder.node)
        # Its real place does not matter: in the user's tree the user's signature counts.
        except KeyError:
            self.tree.context.places.register(self.tree.root.keyed.node, folder, 1)
        view = self.tree.view(folder, [manifest.body.token for manifest in changed])
        tree, now = view.tree, view.state
        for manifest in changed:
            tree = tree.put(FolderEntry(manifest.body.token, manifest.body.node, manifest.hash))
        body = replace(
            now.body,
            version=now.body.version + 1,
            lineage=now.point.next_lineage,
            root=tree.root,
            log_head=self.log_head,
        )
        return sign_state(self.key, replace(body, **changes)).signed

    def first_state(self, folder: KeyedNode, *changed: VerifiedManifest) -> Signed:
        """Sign the first state of a new folder."""
        entries = (FolderEntry(m.body.token, m.body.node, m.hash) for m in changed)
        body = FolderState(
            format=folders.FORMAT,
            folder=folder.node,
            version=1,
            lineage=NO_HASH,
            root=PrefixTree.build(entries).root,
            generation=1,
            author=self.user,
            author_key=self.key.public,
            time_ms=1,
            log_head=self.log_head,
        )
        return sign_state(self.key, body).signed

    def put(
        self,
        folder: KeyedNode,
        name: str = "forged",
        before: VerifiedManifest | None = None,
        /,
        uploaded: Content | None = None,
        **changes: Any,
    ) -> Commit:
        """Return the commit that puts a file, with changes to its manifest."""
        made, blob = self.blob()
        manifest = self.manifest(folder, name, uploaded or made, before, **changes)
        blobs = [] if uploaded else [blob]
        return Commit([self.state(folder, manifest)], [manifest.signed], [], blobs, [])
