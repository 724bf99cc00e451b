"""Opening the identity: by the agent's key, or a passphrase from the environment or the person."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fsclient.profile import Profile
from fsclient.ui import Ui
from fsproto.errors import FsError, UsageError, WrongPassphraseError
from fsproto.keys.identity import Identity
from fsproto.keys.key_file import key_of, needs_passphrase, open_identity, open_with_key

if TYPE_CHECKING:
    from fsclient.agent.client import AgentKey

_TYPED_TRIES = 3
_LOST = "If it is lost, 'fsclient keys recover --replace LINK' gets your keys back with your words."


class Unlocked(NamedTuple):
    """An identity from its file; the passphrase if there is one and it was given or typed."""

    identity: Identity
    passphrase: str | None
    by_agent: bool
    """Whether the key came from the agent, so that the passphrase is unknown."""


class Passphrase:
    """Where the passphrase of the identity comes from: the environment, or the person."""

    def __init__(self, given: str | None, *, none: bool) -> None:
        """Take the given passphrase; `none` stands for an identity without one."""
        self._given = given
        self._none = none

    def unlock(self, ui: Ui, keyfile: bytes, profile: Profile, *, typed: bool = False) -> Unlocked:
        """Open the keyfile of a profile. A person has three tries.

        The agent is asked before the person, unless the passphrase must be `typed`, and it gets the
        key after the person has typed the passphrase. Raises `WrongPassphraseError`, or
        `IntegrityError` for a damaged file.
        """
        if not needs_passphrase(keyfile):
            return Unlocked(open_identity(keyfile, None), None, by_agent=False)
        agent = agent_key(profile, keyfile) if self._given is None else None
        if agent is not None and not typed:
            found = _opened_by(agent, keyfile)
            if found is not None:
                return Unlocked(found, None, by_agent=True)
        tries = _TYPED_TRIES if self._given is None else 1
        while True:
            phrase = self.existing(ui)
            tries -= 1
            try:
                key = key_of(keyfile, phrase)
                identity = open_with_key(keyfile, key)
            except WrongPassphraseError as error:
                if not tries:
                    error.hint = _LOST
                    raise
                ui.complain(error)
                continue
            if agent is not None:
                agent.keep(key)
            return Unlocked(identity, phrase, by_agent=False)

    def existing(self, ui: Ui) -> str:
        """Return the passphrase of an identity that has one."""
        if self._given is not None:
            return self._given
        if not ui.can_ask():
            raise WrongPassphraseError(
                "The identity has a passphrase and there is no terminal to ask for it.",
                hint="Set FSCLIENT_PASSPHRASE, or type it once for an agent: 'fsclient agent'.",
            )
        return ui.ask_secret("Passphrase of your identity: ")

    def new(self, ui: Ui) -> str | None:
        """Return the passphrase of a new identity; None if it shall have none."""
        if self._none:
            return None
        if self._given is not None:
            return self._given or None
        if not ui.can_ask():
            raise UsageError(
                "There is no terminal to ask for a passphrase.",
                hint="Set FSCLIENT_PASSPHRASE, or give --no-passphrase.",
            )
        ui.say("Your identity can be kept under a passphrase, asked for at each command.")
        return typed_twice(ui)


def agent_key(profile: Profile, keyfile: bytes) -> AgentKey:
    """Return the key of a profile's identity file in the agent."""
    from fsclient.agent.client import AgentKey  # not loaded for an identity without passphrase

    return AgentKey(profile.home, profile.keyfile_path, keyfile)


def _opened_by(agent: AgentKey, keyfile: bytes) -> Identity | None:
    key = agent.find()
    if key is None:
        return None
    try:
        return open_with_key(keyfile, key)
    except FsError:  # whatever the agent's key is, it is not the one of this file
        return None


def typed_twice(ui: Ui) -> str | None:
    """Ask for a new passphrase; None if the person wants none. `UsageError` if the two differ."""
    first = ui.ask_secret("New passphrase (empty for none): ")
    if not first:
        return None
    if ui.ask_secret("The same again: ") != first:
        raise UsageError("The two passphrases differ; nothing was done.")
    return first
