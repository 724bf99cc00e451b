"""The key log as a profile has read it: extended by what is new, and checked.

The client reads the whole log. So the server shows the same keys of a person to all clients, or it
makes a fork, which clients detect as soon as they see each other's signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fsclient.trust.pins import PinStore, forked
from fsclient.trust.questions import Questions
from fsproto.errors import (
    KeyChangedError,
    RemoteProtocolError,
    RollbackError,
    SignatureError,
)
from fsproto.keylog.entries import KeyEvent, KeyLogEntry
from fsproto.keylog.head import (
    KeyLogHead,
    VerifiedHead,
    pack_log_head,
    unpack_log_head,
    verify_head,
)
from fsproto.keylog.log import KeyLog
from fsproto.keys.identity import Identity
from fsproto.limits import MAX_LOG_ENTRIES
from fsproto.names import for_terminal
from fsproto.packing import unpack
from fsproto.signed import Signed


class KeyLogReader:
    """Reads the key log of one profile, and checks what others have signed against it."""

    def __init__(self, path: Path, identity: Identity, tell: Callable[[str], None]) -> None:
        """Open the file of the profile; `tell` shows notices about changed keys. Asks nothing."""
        self._store = PinStore(path)
        self._identity = identity
        self._log: KeyLog | None = None
        self._good_heads: set[bytes] = {b""}
        self._good_ages: set[tuple[str, bytes, bytes]] = set()
        """The people, keys and heads that `check_age` has accepted."""
        self._looked_for: set[tuple[str, bytes]] = set()
        """The people and keys for which the log was read."""
        self.tell = tell
        """Tells the person something that they should not overlook."""
        self._read_from: int | None = None
        """The first entry that this process has read; None if it has read none."""

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    @property
    def log(self) -> KeyLog:
        """The log as far as it was read."""
        if self._log is None:
            self._log = self._store.log()
        return self._log

    @property
    def ended(self) -> Iterator[int]:
        """The indices of the entries read by this process that ended a person's keys."""
        return iter(()) if self._read_from is None else self._store.ends_from(self._read_from)

    @property
    def needs_renewal(self) -> bool:
        """Whether keys have ended since the shares were renewed: a member's, or the user's own."""
        return next(self._store.ends_from(self._store.renewed()), None) is not None

    def note_renewed(self, entries: int) -> None:
        """Note in the profile that the shares do without keys that the first entries ended."""
        if self._store.renewed() < entries:
            self._store.set_renewed(entries)

    def forget_renewed(self) -> None:
        """Have the shares looked at again by the next command."""
        self._store.set_renewed(0)

    @property
    def log_head(self) -> bytes:
        """The log head that the user's own signatures carry (40 bytes, or none)."""
        head = self._known_head()
        return b"" if head is None else pack_log_head(head.size, head.root)

    def known(self) -> Signed | None:
        """Return the newest head that was seen; to be taken before a question is sent."""
        return self._store.head()

    def check_log_head(self, ask: Questions, said: Signed, known: Signed | None) -> None:
        """Hold a head that the server shows against what is known, reading what is new.

        `known` is what was known before the question was sent. Raises `RollbackError` for a log
        that does not go on from it, `SecurityError` if it names other keys for oneself.
        """
        before = unpack(known.payload, KeyLogHead) if known is not None else None
        head = verify_head(said, before.key if before else None)
        if before is not None:
            if head.body.size < before.size:
                raise RollbackError(
                    "THE SERVER SHOWED AN OLDER KEY LOG than it did before.",
                    hint="Talk to your administrator. If a backup was restored: fsclient doctor "
                    "--accept-key-log",
                )
            if head.body.size == before.size:
                if head.body.root != before.root:
                    raise forked()
                return
        self._read(ask, head)

    def accept_older_log(self, ask: Questions, said: Signed) -> None:
        """Replace the seen log by the server's log, which the user accepts.

        The log's own key and all pinned keys stay; keys that do not match the pins are refused as
        always.
        """
        known = self._known_head()
        head = verify_head(said, known.key if known else None)
        self._store.forget_log()
        self._log = None
        self._read(ask, head)

    def _read(self, ask: Questions, head: VerifiedHead) -> None:
        """Read on up to a head; nothing is believed before the root was computed."""
        if head.body.size > MAX_LOG_ENTRIES:
            raise RemoteProtocolError(
                f"The server's key log has {head.body.size} entries, more than a client reads."
            )
        resets: dict[str, KeyLogEntry] = {}
        with self._store.growing() as log:
            first = len(log)
            while len(log) < head.body.size:
                for entry in self._read_page(ask, head, log):
                    if entry.event is KeyEvent.RESET and self._store.pin(entry.user) is not None:
                        resets[entry.user] = entry
            if not _is_of(log, head.body):
                raise forked()
            mine = log.now(self._identity.user)
            if mine is None or mine.bundle != self._identity.bundle.hash:
                raise KeyChangedError(
                    "THE KEY LOG NAMES OTHER KEYS FOR YOU than the ones you have.",
                    hint="If you have new keys on another device, bring them here; if your "
                    "administrator reset them, enrol again; if neither, talk to your "
                    "administrator.",
                )
            self._store.keep(log, head.signed)
        self._log = None
        if self._read_from is None:
            self._read_from = first
        for entry in resets.values():
            self._tell_reset(entry.user)

    def _read_page(self, ask: Questions, head: VerifiedHead, log: KeyLog) -> list[KeyLogEntry]:
        """Append the next entries, not beyond the head, and return them."""
        answer = ask.log_entries(len(log))
        said = verify_head(answer.head, head.body.key).body
        # The log may have grown since the head was signed; it may neither shrink nor change.
        if said.size < head.body.size or (
            said.size == head.body.size and said.root != head.body.root
        ):
            raise forked()
        if not answer.entries:
            raise RollbackError("THE SERVER WITHHOLDS A PART OF ITS KEY LOG.")
        with self._store.page():
            return [log.append(one) for one in answer.entries[: head.body.size - len(log)]]

    def _tell_reset(self, user: str) -> None:
        if self.log.now(user) is None:
            self.tell(
                f"THE KEYS OF {user} WERE RESET by the administrator, or the account was "
                "removed. That name has no keys now: nothing is shared with it, or accepted from "
                "it."
            )
        else:
            self.tell(
                f"THE KEYS OF {user} WERE RESET by the administrator. Nothing is shared with "
                f"{user}, or accepted from {user}, until you have compared the new keys: fsclient "
                f"verify {user}"
            )

    def read_up_to(self, ask: Questions, head: bytes) -> None:
        """Read what the log has more, if an author has seen more of it than was read here.

        `head` (40 bytes, or none) is not verified: it only says that there may be newer keys,
        which the signature that comes with it may need.
        """
        seen = unpack_log_head(head)
        if seen is not None and seen[0] > len(self.log):
            self.catch_up(ask)

    def read_for(self, ask: Questions, user: str, key: bytes, head: bytes) -> None:
        """Read what the log has more, if a stated author may have newer keys than were read here.

        `head` is as for `read_up_to`. A key rotation signs what it renews before its own entry is
        in the log. So an unknown key of a person is looked for once, whatever the head says.
        """
        self.read_up_to(ask, head)
        if (user, key) not in self._looked_for:
            self._looked_for.add((user, key))
            if not self.log.all_of(user, key):
                self.catch_up(ask)

    def check_heads(self, ask: Questions, heads: Iterable[bytes]) -> None:
        """Check the logs that others had seen when they signed against the log read here.

        Raises `RollbackError` where the server has shown them another one.
        """
        for packed in set(heads) - self._good_heads:
            seen = unpack_log_head(packed)
            if seen is None:
                continue
            self.read_up_to(ask, packed)
            self.log.check_seen(*seen)
            self._good_heads.add(packed)

    def check_age(self, user: str, key: bytes, head: bytes) -> None:
        """Check that a log head which a person has signed with a key contains the enrolment.

        A client that signs has read at least that far; an older head, or none, would hide a fork.
        Raises `SignatureError`.
        """
        if (user, key, head) in self._good_ages:
            return
        seen, chain = unpack_log_head(head), self.log.all_of(user, key)
        if seen is None or not chain or seen[0] <= chain[0].index:
            raise SignatureError(
                f"A signature of {for_terminal(user)} does not name a key log that contains the "
                "enrolment."
            )
        self._good_ages.add((user, key, head))

    def knew_end(self, user: str, key: bytes, head: bytes) -> bool:
        """Return whether a log head which a person has signed with a key contains the key's end."""
        seen, end = unpack_log_head(head), self.log.ended(user, key)
        return seen is not None and end is not None and seen[0] > end

    def catch_up(self, ask: Questions) -> None:
        """Read what has come to the log since the login; raises what `check_log_head` does."""
        known = self.known()
        self.check_log_head(ask, ask.log_entries(len(self.log)).head, known)
        self._log = None  # another command may have read it

    def _known_head(self) -> KeyLogHead | None:
        signed = self._store.head()
        return unpack(signed.payload, KeyLogHead) if signed is not None else None


def _is_of(log: KeyLog, head: KeyLogHead) -> bool:
    return head.size <= len(log) and log.root(head.size) == head.root
