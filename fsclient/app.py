"""The context of a command: options, output to the user, profile, and a session on demand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from fsclient.ui import Screen, Ui
from fskit.clock import now_ms
from fskit.stdout import ReaderGone
from fskit.user_folders import expanded
from fsproto.errors import FsError, Unreachable, UsageError
from fsproto.names import RemotePath, parse_path

if TYPE_CHECKING:
    from fsclient.connection.bandwidth import Bandwidth
    from fsclient.connection.retry import NoRetry, Timeouts
    from fsclient.profile import Profile
    from fsclient.session.first_login import FirstLogin
    from fsclient.session.login import SessionOpener
    from fsclient.session.otp import CodeSource
    from fsclient.session.passphrase import Passphrase
    from fsclient.session.session import Session
    from fsclient.transfer.movers import Movers

T = TypeVar("T")

GOES_ON = "The same command goes on where it stopped."


@dataclass
class Options:
    """The options that every command accepts, before or after its name."""

    home: Path | None = None
    profile: str | None = None
    """None until the default profile is looked up."""
    as_json: bool = False
    quiet: bool = False
    debug: bool = False
    via: str | None = None
    device: str | None = None
    """The name of this device, if one is given now."""
    otp: str | None = None
    otp_secret_file: Path | None = None
    no_passphrase: bool = False
    replaces: bool = False
    """Whether a first login sets a profile of the same name aside."""
    unattended: bool = False
    """Whether nothing may be asked, even on a terminal."""
    defers_warnings: bool = False
    """Whether warnings are kept for the next command, which shows them."""
    passphrase: str | None = None
    new_passphrase: str | None = None
    export_passphrase: str | None = None
    recovery_phrase: str | None = None
    link_password: str | None = None
    """The password of a public link; empty is none."""


class App:
    """One run of the program; the shell keeps one for all its commands."""

    def __init__(self, patience: Timeouts | None = None) -> None:
        """Start with default options; `patience` None means the default timeouts."""
        self._patience = patience
        self._transfer: NoRetry | None = None
        self.options = Options()
        self._screen = Screen()
        self._one_login = Lock()
        self._kept: Session | None = None
        self._keeper: SessionOpener | None = None
        self._codes: tuple[tuple[str | None, Path | None], CodeSource] | None = None
        self._shell: Options | None = None
        self.folder = parse_path("/")
        """The shell's current remote folder."""

    def path(self, text: str) -> RemotePath:
        """Return a remote path as typed: in the shell, from its current folder."""
        return parse_path(text, self.base)

    @property
    def base(self) -> RemotePath | None:
        """The folder that typed paths start from; None outside the shell."""
        return self.folder if self.is_shell else None

    def shown(self, path: RemotePath) -> str:
        """Return a remote path as it can be typed now: in the shell, from its current folder."""
        base = self.base
        if base is None or base == parse_path("/"):
            return str(path)
        below = path.parts[len(base.parts) :]
        if path.owner == base.owner and path.parts == base.parts + below:
            return str(RemotePath(None, below)) if below else "."
        return str(path) if path.owner is not None or not path.parts else f"/{path}"

    @property
    def ui(self) -> Ui:
        """Return the output to the user, set up by the options."""
        options = self.options
        return Ui(
            as_json=options.as_json,
            quiet=options.quiet,
            screen=self._screen,
            asks=not options.unattended,
            defer=self._keep_warning if options.defers_warnings else None,
        )

    def _keep_warning(self, sentence: str) -> None:
        from fsclient.profile_warnings import keep_warning

        keep_warning(self.profile.folder, sentence)

    @property
    def profile(self) -> Profile:
        """Return the profile that the options name, else the default one."""
        from fsclient.default_profile import default_name
        from fsclient.profile import Profile

        options = self.options
        if options.profile is None:  # once: the default may be changed while this program runs
            options.profile = default_name(self.home)
        named = options.home, options.profile
        if self._shell is not None and named != (self._shell.home, self._shell.profile):
            raise UsageError(
                "Inside the shell the profile stays the same.", hint="EXIT ends the shell."
            )
        return Profile(self.home, options.profile, replaces=options.replaces)

    @property
    def home(self) -> Path:
        """Return the folder that contains the profiles."""
        from fsclient.default_profile import default_home

        given = self.options.home
        return default_home() if given is None else expanded(given, "--home or FSCLIENT_HOME")

    def passphrase(self) -> Passphrase:
        """Return the source of the identity's passphrase."""
        from fsclient.session.passphrase import Passphrase

        return Passphrase(self.options.passphrase, none=self.options.no_passphrase)

    def link_password(self, *, new: bool = False) -> str:
        """Return the password of a public link, from the environment or the user."""
        from fsproto.links.url_secret import clean_password

        given = self.options.link_password
        if given is None:
            if not self.ui.can_ask():
                raise UsageError(
                    "The link has a password.", hint="Set FSCLIENT_LINK_PASSWORD for this command."
                )
            given = self.ui.ask_secret("Password of the link: ")
            if new and given != self.ui.ask_secret("The same again: "):
                raise UsageError("These were two different passwords; nothing was done.")
        clean_password(given)
        return given

    def keeper(self) -> SessionOpener:
        """Return the session opener; it asks for the passphrase at most once."""
        profile = self.profile
        if self._keeper is None:
            from fsclient.session.connector import Connector
            from fsclient.session.login import SessionOpener

            self._keeper = SessionOpener(
                Connector(profile, self.ui, self._code_source(), self.passphrase(), self.patience)
            )
        self._keeper.use(self.ui, self._code_source())
        self._keeper.connector.via = (
            self.options.via if self.options.via is not None else profile.via()
        )
        self._keeper.connector.chosen_device = self.options.device
        return self._keeper

    def first_login(self) -> FirstLogin:
        """Return the maker of a new profile."""
        from fsclient.session.first_login import FirstLogin

        return FirstLogin(self.keeper())

    def keep_choices(self) -> None:
        """Store what `--via` and `--device` give in the profile, for later commands."""
        if self.options.device is not None:
            self.profile.keep_device(self.options.device)
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

    def in_use(self) -> contextlib.AbstractContextManager[None]:
        """Keep other programs from renaming or removing the profile during a block."""
        from fsclient.profile_use import in_use

        return in_use(self.profile.folder)

    def enter_shell(self) -> None:
        """Use one session and one profile for all later commands."""
        self._shell = replace(self.options, profile=self.profile.name)
        self.options.profile = self._shell.profile

    @property
    def is_shell(self) -> bool:
        """Return whether commands come from the interactive shell."""
        return self._shell is not None

    @contextlib.contextmanager
    def session(self, *, renews: bool = True) -> Iterator[Session]:
        """Yield a session that is logged in; the shell keeps its session between commands.

        If people's keys have ended, the user's shares are renewed first; without `renews`, the
        command does it.
        """
        if self._shell is None:
            with self.in_use(), contextlib.closing(self.keeper().open()) as session:
                if renews:
                    self._renew_shares(session)
                yield session
            return
        keeper = self.keeper()
        if self._kept is None or not self._kept.connection.at_rest or self._has_ended():
            self.drop_session()
            self._kept = keeper.open()
        self._kept.tree.start_command()
        if renews:
            self._renew_shares(self._kept)
        try:
            yield self._kept
        except FsError:
            raise
        except BaseException:  # for example Ctrl-C: a message may be incomplete
            self.drop_session()
            raise

    def _renew_shares(self, session: Session) -> None:
        """Renew the shares if keys have ended since: a member's, or the user's own.

        The holder of those keys has the keys of the shares, too. What cannot be renewed now is
        named, and the command continues; 'fsclient shares' tries again. If this is interrupted,
        the next command does it again.
        """
        if not session.people.needs_renewal or not session.memory.shared():
            return
        from fsclient.sharing.share import Sharing

        sharing = Sharing(session, self.ui)
        try:
            left = sharing.refresh()
        except Unreachable:
            raise
        except FsError:  # an alarm; the next commands must not meet it wherever they look
            session.people.note_renewed(len(session.people.log))
            raise
        sharing.warn_of(left)

    @contextlib.contextmanager
    def transfer(
        self, *, resume: bool = True, bandwidth: Bandwidth | None = None
    ) -> Iterator[Session]:
        """Yield a session that reconnects after a lost connection, unless `resume` is false.

        Its connections, and those of `another_session`, keep to `bandwidth`.
        """
        with self.session() as session, self._limited(session, bandwidth):
            from fsclient.connection.retry import NoRetry, Reconnecting

            keeper = self.keeper()
            briefly = partial(keeper.reconnect_briefly, session)
            if resume:
                where, patience = session.facts.link.address, self.patience
                reconnect = partial(keeper.renew, session)
                session.retry_with(
                    Reconnecting(reconnect, where, self.ui, patience, briefly=briefly)
                )
            else:
                session.retry_with(NoRetry(briefly=briefly))
            self._transfer = session.retry
            try:
                yield session
            finally:
                session.retry_with(NoRetry())

    @contextlib.contextmanager
    def _limited(self, session: Session, bandwidth: Bandwidth | None) -> Iterator[None]:
        connector = self.keeper().connector
        connector.bandwidth = bandwidth
        session.connection.limit(bandwidth)
        try:
            yield
        finally:  # the shell keeps the session for later commands
            connector.bandwidth = None
            session.connection.limit(None)

    @contextlib.contextmanager
    def movers(self, jobs: int) -> Iterator[Movers | None]:
        """Yield threads that transfer large files at the same time; None for one job."""
        if jobs == 1:
            yield None
            return
        from fsclient.transfer.movers import Movers

        movers = Movers(jobs, self.another_session)
        try:
            yield movers
        except BaseException:
            movers.abort()
            raise
        finally:
            movers.close()

    def another_session(self) -> Session:
        """Return one more session over its own connection, for the thread that calls.

        It has the ticket of the running session, so that it needs no code.
        """
        from fsclient.connection.retry import Reconnecting

        keeper, where = self.keeper(), self.profile.facts().link.address
        opened: list[Session] = []

        def open_one() -> None:
            with self._one_login:
                opened.append(keeper.resume())

        resumes = self._transfer is None or self._transfer.resumes
        try:
            open_one()
        except Unreachable as lost:
            if not resumes:
                raise
            Reconnecting(open_one, where, self.ui, self.patience).recover(lost)
        session = opened[0]
        if resumes:
            reconnect = partial(keeper.reconnect, session)
            session.retry_with(Reconnecting(reconnect, where, self.ui, self.patience))
        return session

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
        return self._code_source().with_code(self.ui, use)

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
