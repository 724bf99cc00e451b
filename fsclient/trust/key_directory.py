"""The keys of each person: the key log so far, checked against pins and the user's own keys.

Keys are pinned at their first use. From then on the client accepts only keys with a chain of
signatures from the pinned ones. Other keys stop every action with that person, until the user has
compared keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from fsclient.trust.key_log_reader import KeyLogReader
from fsclient.trust.pins import Pin
from fsclient.trust.questions import Questions
from fsproto import labels
from fsproto.errors import (
    ConflictError,
    FsError,
    KeyChangedError,
    NotFoundError,
    RemoteProtocolError,
    SecurityError,
)
from fsproto.keylog.entries import Keys
from fsproto.keys.identity import Identity, VerifiedBundle, verify_bundle
from fsproto.messages.keylog import BundleOf
from fsproto.names import for_terminal
from fsproto.signed import payload_hash


class UnusableKeysError(SecurityError):
    """Nothing can be sealed to the public keys of a person."""


class KeyDirectory(KeyLogReader):
    """What one profile knows about everybody's keys."""

    def __init__(self, path: Path, identity: Identity, tell: Callable[[str], None]) -> None:
        """Open the file of the profile, as `KeyLogReader` does."""
        super().__init__(path, identity, tell)
        self._identity_keys: dict[tuple[str, int], list[bytes]] = {}
        """By the person, and the size of the log that they were taken from."""

    def identity_keys(self, user: str) -> list[bytes]:
        """Return the keys with which a person may have signed something; pin them if needed.

        Raises `KeyChangedError` if the person's keys do not follow from the pinned ones.
        """
        at = user, len(self.log)
        if at not in self._identity_keys:
            own = user == self._identity.user
            one = self._identity.signing.public if own else self.pinned(user).ed25519
            self._identity_keys[at] = [keys.ed25519 for keys in self.log.all_of(user, one)]
        return self._identity_keys[at]

    def pinned(self, user: str) -> Keys:
        """Return a person's keys; pin them if they are not pinned yet.

        Raises `NotFoundError` if the person has no keys, `KeyChangedError` if the keys have
        changed without a signature of the pinned ones.
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
            raise self._no_such_user(
                user,
                "They must have enrolled: ask your administrator to add them, and them to run "
                "'fsclient enroll' with the link they get.",
            )
        return now

    def _no_such_user(self, user: str, hint: str = "") -> NotFoundError:
        import difflib

        near = difflib.get_close_matches(user, self._store.users(), n=1)
        meant = f"Did you mean '{for_terminal(near[0])}'? " if near else ""
        return NotFoundError(
            f"There is no user '{for_terminal(user)}' with keys here.",
            hint=f"{meant}{hint}".strip() or None,
        )

    def looked_up(self, ask: Questions, users: Sequence[str]) -> dict[str, VerifiedBundle]:
        """Return the public keys of people as `bundle` does, without pinning them.

        People whose keys are unusable are omitted. `use` pins the keys, after the user has agreed
        to use them.
        """
        keys = {user: self._now(user) for user in users}
        found = {}
        for user, answer in list(ask.bundles(keys)):
            with suppress(UnusableKeysError):
                now = self._named_keys(ask, answer, keys[user], self._now)
                found[user] = _checked_bundle(answer, user, now)
        return found

    def use(self, bundles: Iterable[VerifiedBundle]) -> None:
        """Pin keys that were looked up; pin none of them if one is no longer the person's.

        Raises `KeyChangedError` if other keys have replaced them, `ConflictError` if the person
        has rotated them since.
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
        ((_, answer),) = ask.bundles([user])
        return _checked_bundle(answer, user, self._named_keys(ask, answer, keys, self.pinned))

    def _named_keys(
        self,
        ask: Questions,
        answer: BundleOf | NotFoundError,
        keys: Keys,
        newest: Callable[[str], Keys],
    ) -> Keys:
        """Return the keys that an answer must have: these, or the `newest` if it has others.

        The person may have rotated their keys since the log was read, so it is read again.
        """
        if isinstance(answer, NotFoundError) or (
            payload_hash(labels.HASH_BUNDLE, answer.bundle.payload) == keys.bundle
        ):
            return keys
        self.catch_up(ask)
        return newest(keys.user)

    def bundles(
        self,
        ask: Questions,
        users: Iterable[str],
        refused: Callable[[str, FsError], None],
    ) -> dict[str, VerifiedBundle]:
        """Return the public keys of people as `bundle` does, without those that are refused.

        `refused` is called with the name of each refused person and the error of `bundle`.
        """
        keys = dict[str, Keys]()
        found = dict[str, VerifiedBundle]()
        for user in users:
            try:
                keys[user] = self.pinned(user)
            except (KeyChangedError, NotFoundError) as error:
                refused(user, error)
        for user, answer in list(ask.bundles(keys)):
            try:
                now = self._named_keys(ask, answer, keys[user], self.pinned)
                found[user] = _checked_bundle(answer, user, now)
            except (KeyChangedError, NotFoundError, UnusableKeysError) as error:
                refused(user, error)  # unusable keys of one person stop no change about others
        return found

    def claimed_bundle(self, ask: Questions, user: str) -> VerifiedBundle:
        """Return the keys that the log names for a person, pinned or not: to be compared."""
        keys = self._claimed(user)
        ((_, answer),) = ask.bundles([user])
        return _checked_bundle(answer, user, self._named_keys(ask, answer, keys, self._claimed))

    def _claimed(self, user: str) -> Keys:
        keys = self.log.now(user)
        if keys is None:
            raise self._no_such_user(user)
        return keys

    def show(self, bundle: VerifiedBundle) -> None:
        """Note that the safety number of these keys is shown, to be compared."""
        self._store.set_shown(bundle.body.user, bundle.hash)

    def confirm(self, bundle: VerifiedBundle) -> None:
        """Pin keys that the user has compared with the person.

        Raises `KeyChangedError` if they are not those whose digits were shown last, and
        `ConflictError` if the person has rotated those.
        """
        body = bundle.body
        shown = self._store.shown(body.user)
        if shown not in (None, bundle.hash):
            if any(keys.bundle == shown for keys in self.log.all_of(body.user, body.ed25519)):
                raise ConflictError(
                    f"{body.user} has replaced the keys whose safety number you were shown.",
                    hint=f"Compare the new safety number: 'fsclient verify {body.user}'.",
                )
            raise KeyChangedError(
                f"THE KEYS OF {body.user} ARE NOT THOSE WHOSE SAFETY NUMBER YOU WERE SHOWN: "
                "others took their place since.",
                hint=f"Compare the new safety number: 'fsclient verify {body.user}'. "
                "Keys do not change between two commands by accident.",
            )
        self._store.set_pin(Pin(body.user, bundle.hash, body.ed25519, compared=True))

    def is_same(self, pin: Pin, bundle: VerifiedBundle) -> bool:
        """Return whether a bundle belongs to the pinned person."""
        return self.log.same_person(pin.user, pin.ed25519, bundle.body.ed25519)

    def pin_of(self, user: str) -> Pin | None:
        """Return what is pinned of a person."""
        return self._store.pin(user)

    def note_told(self, kind: str, at_ms: int) -> bool:
        """Note that a notice of the server is shown; False if it was shown here before."""
        return self._store.note_told(kind, at_ms)

    def memory_at(self) -> int:
        """Return the mark of the memory of seen versions at the end of the last session, or 0."""
        return self._store.memory_at()

    def note_memory(self, at: int) -> None:
        """Note the mark of the memory at the end of a session."""
        self._store.note_memory(at)

    def reset_memory(self, at: int) -> None:
        """Note the mark of another memory, in place of the noted one."""
        self._store.reset_memory(at)

    def is_current(self, user: str, ed25519: bytes) -> bool:
        """Return whether an identity key is a person's, or was and was replaced by themselves."""
        now = self.log.now(user)
        return now is not None and self.log.same_person(user, ed25519, now.ed25519)


def _checked_bundle(answer: BundleOf | NotFoundError, user: str, keys: Keys) -> VerifiedBundle:
    """Return the bundle in the server's answer; it must be the bundle that the log names.

    Raises `UnusableKeysError` if nothing can be sealed to it; if the answer is an error, that one.
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
