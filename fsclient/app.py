"""The context of a command: options, output to the user, profile, and a session on demand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fsclient.ui import Screen, Ui
from fskit.clock import now_ms
from fskit.stdout import ReaderGone
from fsproto.errors import FsError, LoginRefused, Unreachable, UsageError

if TYPE_CHECKING:
    from fsclient.connection.retry import NoRetry, Timeouts
    from fsclient.profile import Profile
    from fsclient.session.login import SessionOpener
    from fsclient.session.otp import CodeSource
    from fsclient.session.passphrase import Passphrase
    from fsclient.session.session import Session

T = TypeVar("T")

GOES_ON = "The same command goes on where it stopped."


@dataclass
class Options:
    """The options that every command accepts, before or after its name."""

    home: Path | None = None
    profile: str = "default"
    as_json: bool = False
    quiet: bool = False
    debug: bool = False
    via: str | None = None
    otp: str | None = None
    otp_secret_file: Path | None = None
    no_passphrase: bool = False
    passphrase: str | None = None
    export_passphrase: str | None = None
    recovery_phrase: str | None = None


class App:
    """One run of the program; the shell keeps one for all its commands."""

    def __init__(self, patience: Timeouts | None = None) -> None:
        """Start with default options; `patience` None means the default timeouts."""
        self._patience = patience
        self._transfer: NoRetry | None = None
        self.options = Options()
        self._screen = Screen()
        self._kept: Session | None = None
        self._keeper: SessionOpener | None = None
        self._codes: tuple[tuple[str | None, Path | None], CodeSource] | None = None
        self._shell: Options | None = None

    @property
    def ui(self) -> Ui:
        """Return the output to the user, set up by the options."""
        return Ui(as_json=self.options.as_json, quiet=self.options.quiet, screen=self._screen)

    @property
    def profile(self) -> Profile:
        """Return the profile that the options name."""
        from fsclient.profile import Profile, default_home

        named = self.options.home, self.options.profile
        if self._shell is not None and named != (self._shell.home, self._shell.profile):
            raise UsageError(
                "Inside the shell the profile stays the same.", hint="EXIT ends the shell."
            )
        return Profile((self.options.home or default_home()).expanduser(), self.options.profile)

    def passphrase(self) -> Passphrase:
        """Return the source of the identity's passphrase."""
        from fsclient.session.passphrase import Passphrase

        return Passphrase(self.options.passphrase, none=self.options.no_passphrase)

    def keeper(self) -> SessionOpener:
        """Return the session opener; it asks for the passphrase at most once."""
        profile = self.profile
        if self._keeper is None:
            from fsclient.session.login import SessionOpener

            phrase = self.passphrase()
            self._keeper = SessionOpener(
                profile, self.ui, self._code_source(), phrase, self._patience
            )
        self._keeper.use(self.ui, self._code_source())
        self._keeper.via = self.options.via if self.options.via is not None else profile.via()
        return self._keeper

    def keep_via(self) -> None:
        """Store the program of `--via` in the profile for later commands, if it was given."""
        if self.options.via is not None:
            self.profile.keep_via(self.options.via)

    def _code_source(self) -> CodeSource:
        """Return the source of one-time passwords.

        The same options give the same source, because it knows which codes are used.
        """
        from fsclient.session.otp import CodeSource

        given = self.options.otp, self.options.otp_secret_file
        if self._codes is None or self._codes[0] != given:
            self._codes = given, CodeSource(*given)
        return self._codes[1]

    @property
    def patience(self) -> Timeouts:
        """Return the timeouts."""
        from fsclient.connection.retry import Timeouts

        return self._patience or Timeouts()

    def enter_shell(self) -> None:
        """Use one session and one profile for all later commands."""
        self._shell = self.options

    @property
    def is_shell(self) -> bool:
        """Return whether commands come from the interactive shell."""
        return self._shell is not None

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a session that is logged in; the shell keeps its session between commands."""
        if self._shell is None:
            with contextlib.closing(self.keeper().open()) as session:
                self._renew_shares(session)
                yield session
            return
        keeper = self.keeper()
        if self._kept is None or not self._kept.connection.at_rest or self._has_ended():
            self.drop_session()
            self._kept = keeper.open()
        self._kept.tree.start_command()
        self._renew_shares(self._kept)
        try:
            yield self._kept
        except FsError:
            raise
        except BaseException:  # for example Ctrl-C: a message may be incomplete
            self.drop_session()
            raise

    def _renew_shares(self, session: Session) -> None:
        """Renew shares with people whose keys have ended, if the login has shown such people.

        The holder of those keys has the keys of the shares, too. What cannot be renewed now is
        named, and the command continues; 'fsclient shares' tries again.
        """
        if next(session.people.ended, None) is None or not session.memory.shared():
            return
        session.people.forget_ended()
        from fsclient.sharing.share import Sharing

        sharing = Sharing(session, self.ui)
        sharing.warn_of(sharing.refresh())

    @contextlib.contextmanager
    def transfer(self, *, resume: bool = True) -> Iterator[Session]:
        """Yield a session that reconnects after a lost connection, unless `resume` is false."""
        with self.session() as session:
            from fsclient.connection.retry import NoRetry, Reconnecting

            patience = self.patience
            if resume:
                keeper, where = self.keeper(), session.facts.link.address
                anew = partial(keeper.renew, session)
                briefly = partial(keeper.reconnect_briefly, session)
                session.retry_with(Reconnecting(anew, where, self.ui, patience, briefly=briefly))
            self._transfer = session.retry
            try:
                yield session
            finally:
                session.retry_with(NoRetry())

    def begin(self) -> None:
        """Start a command: forget the transfer of the command before."""
        self._transfer = None

    @property
    def goes_on(self) -> bool:
        """Return whether the same command, given again, would resume the unfinished transfer."""
        return self._transfer is not None and self._transfer.unfinished

    def _has_ended(self) -> bool:
        return (self.profile.session_ends_ms() or 0) <= now_ms()

    @contextlib.contextmanager
    def session_at_hand(self) -> Iterator[Session]:
        """Yield the running session, without a new login; `LoginRefused` if it has ended."""
        if self._kept is not None and self._kept.connection.at_rest:
            yield self._kept
            return
        with contextlib.closing(self.keeper().resume()) as session:
            yield session

    def with_code(self, use: Callable[[str], T]) -> T:
        """Call `use` with one-time passwords until one is accepted; `LoginRefused` if none is."""
        source = self._code_source()
        for code in source.codes(self.ui):
            try:
                return use(code)
            except LoginRefused as error:
                source.refused(self.ui, error)
        raise LoginRefused

    def drop_session(self) -> None:
        """Close the shell's session, if it has one."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def content_goes_to_stdout(self) -> None:
        """Reserve stdout for content: write no JSON to it, and draw no bars."""
        self.options.as_json, self.options.quiet = False, True

    def complain(self, error: FsError) -> int:
        """Show an error in the form that the options choose; return its exit status."""
        if self.options.debug:
            import traceback

            traceback.print_exception(error)
        if self.goes_on and isinstance(error, Unreachable):
            error.hint = GOES_ON
        elif self.goes_on and error.is_final:
            error.hint = " ".join(filter(None, (GOES_ON, error.hint)))
        self.ui.complain(error)
        with contextlib.suppress(FsError, OSError, ReaderGone):  # stdout itself may have failed
            self.ui.result_of(error=error.code, message=error.sentence, hint=error.hint)
        return error.exit_status

    @contextlib.contextmanager
    def line(self) -> Iterator[None]:
        """Restore the options after one line of the shell."""
        before = self.options
        self.options = replace(before)
        try:
            yield
        finally:
            self.options = before
