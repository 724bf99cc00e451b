"""What all parts of a session share: the server, the user's keys, and what decides about trust."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fsclient.connection.connection import ServerConnection
from fsclient.connection.retry import NoRetry
from fsclient.tree.nodes import TreeNode, entry_of
from fsclient.tree.pending_keys import PendingKeys
from fsclient.tree.questions import ServerQuestions
from fsclient.tree.stored_listings import StoredListings
from fsclient.trust.authorship import AuthorRules
from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import Sighting
from fsproto.keys.identity import Identity
from fsproto.keys.member_list import VerifiedMembers


class TreeContext:
    """The server as the session reaches it, and the rules that its answers must pass.

    A lost connection is replaced with `reconnected`, so read `connection` from here each time.
    """

    def __init__(
        self,
        connection: ServerConnection,
        identity: Identity,
        memory: SeenVersions,
        people: KeyDirectory,
    ) -> None:
        self.identity = identity
        self.memory = memory
        self.people = people
        self.retry = NoRetry()
        """The policy for a lost connection; a transfer sets a policy that reconnects."""
        self.questions = ServerQuestions(connection)
        self.authors = AuthorRules(self.questions, people, memory)
        self.places = self.authors.places
        self.pending_keys = PendingKeys()
        self.stored_listings: StoredListings | None = None
        """The listings that this device has stored, if it stores any."""
        self._log_is_old = False
        """Whether the key log may have grown since it was read."""

    @property
    def connection(self) -> ServerConnection:
        """The current connection to the server."""
        return self.questions.connection

    def reconnected(self, connection: ServerConnection) -> None:
        """Use a new connection in place of a lost one."""
        self.questions.connection = connection

    def start_command(self) -> None:
        """Forget the answers that may have changed since the last command of this session.

        Sends nothing: a lost connection is noticed by the command's first question.
        """
        self.authors.forget_lists()
        self.places.start_command()
        self._log_is_old = True

    def catch_up(self) -> None:
        """Read new entries of the key log, if a command has started since it was read."""
        if self._log_is_old:
            self.people.catch_up(self.questions)
            self._log_is_old = False

    def register(self, found: TreeNode) -> None:
        """Note the place of a node; raises `IntegrityError` as `Places.register` does."""
        if found.above is not None:
            generation, entry = found.manifest.body.link_generation, entry_of(found.manifest)
            self.places.register(found.above.keyed.node, found.keyed, generation, entry)

    def note_folder(self, found: TreeNode) -> None:
        """Note the place of an opened folder, and whether its keys are due.

        Raises `IntegrityError` as `Places.register` does.
        """
        if found.above is not None:
            with self.authors.second_look.unless_moved(found.above.keyed.node):
                self.register(found)
        self.pending_keys.observe(found)

    def list_of(self, found: TreeNode) -> VerifiedMembers | None:
        """Return the present member list of a file or folder; None if it has none."""
        self._register_new(found)
        return self.authors.list_of(found.keyed.node)

    def look_at_lists(self, nodes: Sequence[TreeNode]) -> None:
        """Ask for the present member lists of files and folders, and verify them."""
        for found in nodes:
            self._register_new(found)
        self.authors.look_at_lists([found.keyed.node for found in nodes])

    def _register_new(self, found: TreeNode) -> None:
        if found.keyed.node not in self.places:  # files are not registered
            self.register(found)

    def check_heads(self, heads: Iterable[bytes]) -> None:
        """Check the key log heads (40 bytes each) that authors have signed against the log.

        Raises `RollbackError` if the server has shown an author another log.
        """
        self.people.check_heads(self.questions, heads)

    def check_seen(self, seen: Iterable[Sighting], mark: int) -> int:
        """Check versions that the server shows against those seen before, and remember them.

        `mark` is the memory's from before the question was sent. Return the memory's mark of now.
        Raises `RollbackError`.
        """
        return self.memory.check(seen, mark, self.questions.lineages)

    def check_present(self, seen: Iterable[Sighting], mark: int) -> int:
        """Check as `check_seen` does what the server shows as the present content of folders.

        Raises `SignatureError` also for a change in a folder whose last author no longer counts.
        """
        return self.memory.check(seen, mark, self.questions.lineages, self.authors.frozen)
