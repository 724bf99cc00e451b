"""Problems that a watch waits out: each is printed once, until it is over."""

from __future__ import annotations

import time

from fsclient.app import App
from fskit.clock import now_ms
from fsproto.errors import FsError, LoginRefused, LoginRequired, Unreachable

UNREACHABLE_PAUSES_S = 1.0, 60.0
"""The first and the longest pause while the server cannot be reached."""
UNREACHABLE_HINT = "The watch waits until the server can be reached."
AFTER_ERROR_S = 30.0
_TICKET_EVERY_S = 2.0
"""Between two looks whether there is a new session."""
_NEW_CODE_EVERY_S = 3600.0
"""Between two logins with refused codes; many refusals would lock the account."""


class Troubles:
    """The present problem of a watch."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._told: str | None = None
        """The problem that was printed and is not over."""
        self._refused_ms: int | None = None
        """The end of the session with which the last login was refused."""

    def tell(self, error: FsError, hint: str | None) -> None:
        """Print a problem, unless it was printed already.

        A server that cannot be reached is one problem, whatever each try meets.
        """
        problem = "unreachable" if isinstance(error, Unreachable) else error.sentence
        if self._told != problem:
            error.hint = hint
            self._app.ui.complain(error)
        self._told = problem

    def over(self) -> None:
        """Say that the watch continues, if a problem was printed."""
        if self._told is not None:
            self._app.ui.say("The watch continues.")
        self._told = self._refused_ms = None

    def wait_for_session(self, error: LoginRefused | LoginRequired) -> None:
        """Wait for a new session; raise the error if the server has refused that, too."""
        profile, codes = self._app.profile, self._app.options.otp_secret_file
        ended = profile.session_ends_ms()
        if ended is not None and ended > now_ms():
            if self._refused_ms == ended:
                raise error
            self._refused_ms = ended
        self.tell(error, "The watch waits for a new session: fsclient login")
        self._app.options.unattended = True
        until = time.monotonic() + _NEW_CODE_EVERY_S
        while not (profile.session_ends_ms() or 0) > now_ms():
            if codes is not None and time.monotonic() > until:
                return
            time.sleep(_TICKET_EVERY_S)
