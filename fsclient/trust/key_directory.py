"""Whose keys are whose: the key log as far as it was read, checked against pins and own keys.

The log is read whole, so what the server says of anybody's keys is what it says to everybody, or a
fork that shows as soon as people see each other's signatures. Keys are pinned when they are first
used. From then on only keys that the pinned ones have signed are taken for the same person's;
anything else stops everything that has to do with that person, until somebody has compared keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from fsclient.trust.pins import Pin, PinStore, forked
from fsclient.trust.questions import Questions
from fsproto import labels
from fsproto.errors import (
    ConflictError,
    FsError,
    KeyChangedError,
    NotFoundError,
    RemoteProtocolError,
    RollbackError,
    SecurityError,
)
from fsproto.keylog.entries import KeyEvent, KeyLogEntry, Keys
from fsproto.keylog.head import (
    KeyLogHead,
    VerifiedHead,
    pack_log_head,
    unpack_log_head,
    verify_head,
)
from fsproto.keylog.log import KeyLog
from fsproto.keys.identity import Identity, VerifiedBundle, verify_bundle
from fsproto.limits import MAX_LOG_ENTRIES
from fsproto.messages.keylog import BundleOf
from fsproto.names import for_terminal
from fsproto.packing import unpack
from fsproto.signed import Signed, payload_hash


class UnusableKeysError(SecurityError):
    """Nothing can be sealed to the public keys of a person."""


class KeyDirectory:
    """What one profile knows about everybody's keys."""

    def __init__(self, path: Path, identity: Identity, tell: Callable[[str], None]) -> None:
        """Open the files of a profile; `tell` shows notices about changed keys. Asks nothing."""
        self._store = PinStore(path)
        self._identity = identity
        self._log: KeyLog | None = None
        self._identity_keys: dict[tuple[str, int], list[bytes]] = {}
        """By the person, and the size of the log that they were taken from."""
        self._good_heads: set[bytes] = {b""}
        self.tell = tell
        """Tells the person something that they should not overlook."""
        self._read_from: int | None = None
        """The first entry that this process has read; None if it has read none."""

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    # --- the log

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

    def forget_ended(self) -> None:
        """Take the keys that have ended as dealt with."""
        self._read_from = None

    @property
    def log_head(self) -> bytes:
        """The log head that the user's own signatures carry (40 bytes, or none)."""
        head = self._known_head()
        return b"" if head is None else pack_log_head(head.size, head.root)

    def known(self) -> Signed | None:
        """Return the newest head that was seen; to be taken before a question is sent."""
        return self._store.head()

    def check_log_head(self, ask: Questions, said: Signed, known: Signed | None) -> None:
        """Hold the head that came with a login against what is known, reading what is new.

        `known` is what was known before the login was sent. Raises `RollbackError` for a log that
        does not go on from it, `SecurityError` if it names other keys for oneself.
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
        """Read the server's log in place of the one that was seen: the person accepts it.

        The log's own key and everybody's pinned keys stay; keys that do not lead to the pinned
        ones are refused as always.
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
                "removed: nobody has keys under that name now, and nothing is shared with them, or "
                "taken from them."
            )
        else:
            self.tell(
                f"THE KEYS OF {user} WERE RESET by the administrator. Nothing is shared with "
                f"them, or taken from them, until you have compared the new ones: fsclient verify "
                f"{user}"
            )

    def check_heads(self, ask: Questions, heads: Iterable[bytes]) -> None:
        """Check the logs that others had seen when they signed against the log read here.

        Raises `RollbackError` where the server has shown them another one.
        """
        for packed in set(heads) - self._good_heads:
            seen = unpack_log_head(packed)
            if seen is None:
                continue
            size, root = seen
            if size > len(self.log):
                self.catch_up(ask)
            self.log.check_seen(size, root)
            self._good_heads.add(packed)

    def catch_up(self, ask: Questions) -> None:
        """Read what has come to the log since the login."""
        known = self._known_head()
        answer = ask.log_entries(len(self.log))
        head = verify_head(answer.head, known.key if known else None)
        if head.body.size > len(self.log):
            self._read(ask, head)

    def _known_head(self) -> KeyLogHead | None:
        signed = self._store.head()
        return unpack(signed.payload, KeyLogHead) if signed is not None else None

    # --- people

    def identity_keys(self, user: str) -> list[bytes]:
        """Return the keys with which a person may have signed something; pins them if need be.

        Raises `KeyChangedError` if they are no longer those of the person who was pinned.
        """
        at = user, len(self.log)
        if at not in self._identity_keys:
            own = user == self._identity.user
            one = self._identity.signing.public if own else self.pinned(user).ed25519
            self._identity_keys[at] = [keys.ed25519 for keys in self.log.all_of(user, one)]
        return self._identity_keys[at]

    def pinned(self, user: str) -> Keys:
        """Return a person's keys, which are pinned now if they were not before.

        Raises `NotFoundError` for somebody who has none, `KeyChangedError` for one whose keys have
        changed without a word from those that were pinned.
        """
        now, pin = self._now(user), self._store.pin(user)
        if pin is None or pin.ed25519 != now.ed25519:
            self._store.set_pin(self._next_pin(pin, now))
            if pin is None:
                self.tell(
                    f"The keys of {user} are used for the first time; compare safety numbers: "
                    f"fsclient verify {user}"
                )
        return now

    def _next_pin(self, pin: Pin | None, now: Keys) -> Pin:
        """Return the pin of a person's present keys, and say so if it follows compared keys."""
        compared = pin is not None and pin.compared
        replaced = pin is not None and pin.ed25519 != now.ed25519
        if compared and replaced:
            self.tell(
                f"{now.user} has replaced the keys that you compared; those have signed the new "
                f"ones. To be sure that it was {now.user}, compare again: fsclient verify "
                f"{now.user}"
            )
        since = compared and (replaced or (pin is not None and pin.replaced_since))
        return Pin(now.user, now.bundle, now.ed25519, compared, since)

    def _now(self, user: str) -> Keys:
        """Return the keys that a person has now, held against the pin if there is one."""
        now, pin = self.log.now(user), self._store.pin(user)
        if pin is not None and (
            now is None or not self.log.same_person(user, pin.ed25519, now.ed25519)
        ):
            raise KeyChangedError(
                f"THE KEYS OF {user} ARE NO LONGER THOSE YOU KNOW: they were reset"
                + (", and others took their place." if now else ", and there are no others."),
                hint=f"Ask {user} whether that was so, compare safety numbers: "
                f"'fsclient verify {user}', then add --confirm."
                if now
                else f"If the account was removed, that is all; if not, {user} must enrol again.",
            )
        if now is None:
            raise NotFoundError(
                f"There is no user '{for_terminal(user)}' with keys here.",
                hint="They must have enrolled: ask your administrator to add them, and them to run "
                "'fsclient enroll' with the link they get.",
            )
        return now

    def looked_up(self, ask: Questions, users: Sequence[str]) -> dict[str, VerifiedBundle]:
        """Return the public keys of people as `bundle` does; nobody is pinned by it.

        People whose keys are unusable are omitted. `use` pins them, once somebody has said that
        they are to be used.
        """
        keys = {user: self._now(user) for user in users}
        found = {}
        for user, answer in ask.bundles(keys):
            with suppress(UnusableKeysError):
                found[user] = _checked_bundle(answer, user, keys[user])
        return found

    def use(self, bundles: Iterable[VerifiedBundle]) -> None:
        """Pin keys that were looked up, none of them if one is no longer the person's.

        Raises `KeyChangedError` if others have taken their place, `ConflictError` if the person
        has replaced them meanwhile.
        """
        pins = []
        for body, hashed in [(one.body, one.hash) for one in bundles]:
            now, pin = self._now(body.user), self._store.pin(body.user)
            if now.bundle != hashed:
                if self.log.same_person(body.user, body.ed25519, now.ed25519):
                    raise ConflictError(f"{body.user} has other keys now; try again.")
                raise KeyChangedError(
                    f"THE KEYS OF {body.user} ARE NOT THOSE YOU WERE SHOWN: others took their "
                    "place since.",
                    hint="Stop and talk to your administrator: this does not happen by accident.",
                )
            pins.append(self._next_pin(pin, now))
        for one in pins:
            self._store.set_pin(one)

    def bundle(self, ask: Questions, user: str) -> VerifiedBundle:
        """Return the public keys of a person, to seal something to; pinned and in the log."""
        keys = self.pinned(user)
        return self._bundle(ask, user, keys)

    def bundles(
        self,
        ask: Questions,
        users: Iterable[str],
        refused: Callable[[str, FsError], None],
    ) -> dict[str, VerifiedBundle]:
        """Return the public keys of people as `bundle` does, of those who have good ones.

        `refused` is told of the others, and why: what `bundle` would raise.
        """
        keys = dict[str, Keys]()
        found = dict[str, VerifiedBundle]()
        for user in users:
            try:
                keys[user] = self.pinned(user)
            except (KeyChangedError, NotFoundError) as error:
                refused(user, error)
        for user, answer in ask.bundles(keys):
            try:
                found[user] = _checked_bundle(answer, user, keys[user])
            except (KeyChangedError, NotFoundError, UnusableKeysError) as error:
                refused(user, error)  # unusable keys of one person stop no change about others
        return found

    def claimed_bundle(self, ask: Questions, user: str) -> VerifiedBundle:
        """Return the keys that the log names for a person, pinned or not: to be compared."""
        keys = self.log.now(user)
        if keys is None:
            raise NotFoundError(f"There is no user '{for_terminal(user)}' with keys here.")
        return self._bundle(ask, user, keys)

    def _bundle(self, ask: Questions, user: str, keys: Keys) -> VerifiedBundle:
        ((_, answer),) = ask.bundles([user])
        return _checked_bundle(answer, user, keys)

    def show(self, bundle: VerifiedBundle) -> None:
        """Note that the safety number of these keys is shown, to be compared."""
        self._store.set_shown(bundle.body.user, bundle.hash)

    def confirm(self, bundle: VerifiedBundle) -> None:
        """Pin keys that the user has compared with the person.

        Raises `KeyChangedError` if they are not those whose words were shown last.
        """
        body = bundle.body
        if self._store.shown(body.user) not in (None, bundle.hash):
            raise KeyChangedError(
                f"THE KEYS OF {body.user} ARE NOT THOSE WHOSE SAFETY NUMBER YOU WERE SHOWN: "
                "others took their place since.",
                hint=f"Compare the new safety number: 'fsclient verify {body.user}'. "
                "Keys do not change between two commands by accident.",
            )
        self._store.set_pin(Pin(body.user, bundle.hash, body.ed25519, compared=True))

    def is_same(self, pin: Pin, bundle: VerifiedBundle) -> bool:
        """Return whether a bundle belongs to the person who was pinned."""
        return self.log.same_person(pin.user, pin.ed25519, bundle.body.ed25519)

    def pin_of(self, user: str) -> Pin | None:
        """Return what is pinned of a person."""
        return self._store.pin(user)

    def note_told(self, kind: str, at_ms: int) -> bool:
        """Note that a notice of the server is shown; False if it was shown here before."""
        return self._store.note_told(kind, at_ms)

    def is_current(self, user: str, ed25519: bytes) -> bool:
        """Return whether an identity key is a person's, or was and was replaced by themselves."""
        now = self.log.now(user)
        return now is not None and self.log.same_person(user, ed25519, now.ed25519)


def _checked_bundle(answer: BundleOf | NotFoundError, user: str, keys: Keys) -> VerifiedBundle:
    """Return a bundle that the server sent, which must be the one that the log names.

    Raises `UnusableKeysError` if nothing can be sealed to it, and the error that is the answer.
    """
    if isinstance(answer, NotFoundError):
        raise answer
    try:
        bundle = verify_bundle(answer.bundle, user)
        if bundle.hash != keys.bundle or bundle.body.ed25519 != keys.ed25519:
            raise _other_keys(user)
    except RemoteProtocolError as error:
        if payload_hash(labels.HASH_BUNDLE, answer.bundle.payload) != keys.bundle:
            raise
        raise UnusableKeysError(
            f"The keys of {user} are unusable: {error.sentence}",
            hint=f"Nothing can be sealed to {user}, who must rotate: 'fsclient keys rotate'.",
        ) from None
    return bundle


def _other_keys(user: str) -> KeyChangedError:
    return KeyChangedError(
        f"THE SERVER SENT OTHER KEYS FOR {user} than its own key log names.",
        hint="Stop and talk to your administrator: this does not happen by accident.",
    )


def _is_of(log: KeyLog, head: KeyLogHead) -> bool:
    return head.size <= len(log) and log.root(head.size) == head.root
