"""A person at the server's services who repeatedly writes and removes files."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from fsd.services.files.commits import FileService
from fsproto.errors import ConflictError, NotFoundError
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, Content, InlineBlob, Removal
from fsproto.messages.history import Forgotten
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.sealed import manifest
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.manifest import Manifest, NodeKind, VerifiedManifest, sign_manifest
from fsproto.types import NO_HASH, NodeId, Root, Salt, Token
from tests.support import fixed_keys
from tests.support.reading import fetched_by
from tests.support.services import Services, ServiceUser


@dataclass
class Writer:
    """A person who writes at the top of their tree, and keeps all manifests that they signed."""

    office: Services
    person: ServiceUser
    files: FileService
    chains: dict[str, list[VerifiedManifest]] = field(default_factory=dict)

    def write(self, name: str, blob: bytes) -> Root:
        """Store a new content of a file; return its root."""
        chain = self.chains.setdefault(name, [])
        salt = Salt(fixed_keys.stretch(f"{name} {len(chain)} salt", 32))
        root = blob_root(salt, blob)
        content = manifest.Content(len(chain) + 1, salt, root, len(blob), bytes(32))
        if len(blob) > 60_000:
            who = self.person.principal
            assert who is not None
            incoming = self.office.transfers.begin(who, salt)
            incoming.add(0, memoryview(blob))
            self.office.transfers.finish(who, incoming, root, len(blob))
            self.commit(name, content, [])
        else:
            self.commit(name, content, [InlineBlob(salt, blob)])
        return root

    def body(self, name: str, content: manifest.Content | None) -> Manifest:
        """Return the next manifest of a file or folder."""
        chain = self.chains[name]
        node = NodeId(fixed_keys.stretch(f"{self.person.name} {name} id", 16))
        token = Token(fixed_keys.stretch(f"{self.person.name} {name} token", 32))
        body = self.person.manifest(node, self.person.root.node, token, content)
        lineage = chain[-1].point.next_lineage if chain else NO_HASH
        kind = NodeKind.FILE if content else NodeKind.FOLDER
        return replace(body, version=len(chain) + 1, lineage=lineage, kind=kind)

    def commit(
        self, name: str, content: manifest.Content | None, blobs: list[InlineBlob]
    ) -> VerifiedManifest:
        """Commit the next manifest of a file."""
        self.chains.setdefault(name, [])
        signed = sign_manifest(self.person.identity.signing, self.body(name, content))
        body = signed.body
        self._send([signed], [], blobs, put=FolderEntry(body.token, body.node, signed.hash))
        self.chains[name].append(signed)
        return signed

    def remove(self, name: str) -> None:
        """Remove a name."""
        token = self.chains[name][-1].body.token
        self._send([], [Removal(self.person.root.node, token)], [], remove=token)

    def _send(
        self,
        manifests: list[VerifiedManifest],
        removals: list[Removal],
        blobs: list[InlineBlob],
        put: FolderEntry | None = None,
        remove: Token | None = None,
    ) -> None:
        person, before = self.person, self.person.entries
        person.entries = before.put(put) if put else before.remove(remove or Token(b""))
        state = person.root_state(person.version + 1)
        ask = Commit([state.signed], [m.signed for m in manifests], removals, blobs, [])
        assert person.principal is not None
        try:
            assert isinstance(self.files.commit(person.principal, ask), Done)
        except BaseException:
            person.entries = before
            raise
        person.version += 1
        person.next_lineage = state.point.next_lineage

    def forget(self, *names: str) -> None:
        """Delete removed names for good, in the versions that they have now."""
        named = [Forgotten(self.node(name), len(self.chains[name])) for name in names]
        assert self.office.histories.forget(self.person.who, named) == Done()

    # --- reading

    def node(self, name: str) -> NodeId:
        return self.chains[name][-1].body.node

    def history(self, name: str) -> list[int]:
        """Return the numbers of the versions before the newest one."""
        who, chain = self.person.principal, self.chains[name]
        assert who is not None
        answers = self.office.histories.of_node(who, self.node(name), len(chain))
        found = [signed for answer in answers for signed in answer.manifests]
        numbers = [unpack(signed.payload, Manifest).version for signed in found]
        assert found == [chain[number - 1].signed for number in numbers]
        return numbers

    def removed(self) -> list[str]:
        """Return the removed names, the latest first."""
        assert self.person.principal is not None
        histories, found = self.office.histories, list[str]()
        while True:
            answer = histories.removed(self.person.principal, self.person.root.node, len(found))
            for gone in answer.gone:
                body = unpack(gone.manifest.payload, Manifest)
                found += [name for name in self.chains if self.node(name) == body.node]
            if not answer.more:
                return found

    def can_be_had(self, name: str, root: Root) -> bool:
        """Return whether a content can be downloaded, by both kinds of request."""
        assert self.person.principal is not None
        try:
            reader, _ = self.office.transfers.open(self.person.principal, self.node(name), root)
            reader.close()
        except (ConflictError, NotFoundError):
            return False
        return True

    def fetched(self, name: str, root: Root) -> bytes | None:
        assert self.person.principal is not None
        asked = [Content(self.node(name), root)]
        return fetched_by(self.office, self.person.principal, asked)[0]
