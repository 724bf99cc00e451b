"""Where the passphrase of an identity comes from: the environment, or the person."""

from __future__ import annotations

from fsclient.ui import Ui
from fsproto.errors import UsageError, WrongPassphraseError


class Passphrase:
    """Where the passphrase of the identity comes from: the environment, or the person."""

    def __init__(self, given: str | None, *, none: bool) -> None:
        """Take the given passphrase; `none` stands for an identity without one."""
        self._given = given
        self._none = none

    def existing(self, ui: Ui) -> str:
        """Return the passphrase of an identity that has one."""
        if self._given is not None:
            return self._given
        if not ui.can_ask():
            raise WrongPassphraseError(
                "The identity has a passphrase and there is no terminal to ask for it.",
                hint="Set FSCLIENT_PASSPHRASE.",
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
        first = ui.ask_secret("New passphrase (empty for none): ")
        if not first:
            return None
        if ui.ask_secret("The same again: ") != first:
            raise UsageError("The two passphrases differ; nothing was done.")
        return first
