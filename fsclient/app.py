"""What a command is given: the options, the person to talk to, and a session when it needs one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fsclient.ui import Ui

if TYPE_CHECKING:
    from fsclient.profile import Profile
    from fsclient.session import Keeper, Session


@dataclass
class Options:
    """What can be said before or behind every command."""

    home: Path | None = None
    profile: str = "default"
    as_json: bool = False
    quiet: bool = False
    debug: bool = False
    otp: str | None = None
    otp_secret_file: Path | None = None
    no_passphrase: bool = False
    passphrase: str | None = None


class App:
    """One run of the program; the shell keeps one for all its commands."""

    def __init__(self) -> None:
        """Begin with the options' defaults."""
        self.options = Options()
        self._kept: Session | None = None
        self._keeper: Keeper | None = None
        self.in_shell = False

    @property
    def ui(self) -> Ui:
        """Return whom to talk to, as the options have it."""
        return Ui(as_json=self.options.as_json, quiet=self.options.quiet)

    @property
    def profile(self) -> Profile:
        """Return the profile that the options name."""
        from fsclient.profile import Profile, default_home

        return Profile((self.options.home or default_home()).expanduser(), self.options.profile)

    def keeper(self) -> Keeper:
        """Return what opens sessions; it asks for the passphrase at most once."""
        if self._keeper is None:
            from fsclient.otp import CodeSource
            from fsclient.session import Keeper, Passphrase

            options = self.options
            codes = CodeSource(options.otp, options.otp_secret_file)
            phrase = Passphrase(options.passphrase, none=options.no_passphrase)
            self._keeper = Keeper(self.profile, self.ui, codes, phrase)
        return self._keeper

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Give a session that is logged in; in the shell always the same one."""
        if self.in_shell:
            if self._kept is None or not self._kept.connection.usable:
                self.drop_session()
                self._kept = self.keeper().open()
            yield self._kept
            return
        with contextlib.closing(self.keeper().open()) as session:
            yield session

    @contextlib.contextmanager
    def session_at_hand(self) -> Iterator[Session]:
        """Give the session that runs already; `LoginRefused` if there is none any more."""
        if self._kept is not None and self._kept.connection.usable:
            yield self._kept
            return
        with contextlib.closing(self.keeper().resume()) as session:
            yield session

    def drop_session(self) -> None:
        """Close the shell's session, if it has one."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    @contextlib.contextmanager
    def line(self) -> Iterator[None]:
        """Let one line of the shell have options of its own."""
        before = self.options
        self.options = replace(before)
        try:
            yield
        finally:
            self.options = before
