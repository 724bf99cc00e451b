"""Commands for logins: recovery codes, locks, sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fsadmin import output
from fsadmin.account_view import still_out
from fsadmin.context import Admin, common_options
from fskit.text import count_text
from fsproto.errors import UsageError

if TYPE_CHECKING:
    from fsd.services.accounts.access import SessionView

_DIGITS = 19
"""Of the first number that a database does not take."""


class SessionNumber(click.ParamType[int]):
    """The number of a session, as `fsadmin sessions` shows it."""

    name = "session"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number; a usage error for another text, for example the name of a user."""
        text = str(value)
        is_number = text.isascii() and text.isdigit() and len(text) < _DIGITS
        if not is_number or not int(text):
            self.fail(
                f"'{text}' is not the number of a session; 'fsadmin sessions' shows the numbers, "
                "and --user NAME ends all sessions of a user.",
                param,
                ctx,
            )
        return int(text)


@click.command("recovery-codes", short_help="Create recovery codes for a user.")
@click.argument("name")
@common_options
@click.pass_obj
def recovery_codes(admin: Admin, *, name: str) -> None:
    """Create ten recovery codes for a user and show them once.

    Each works once in place of a one-time password, for users without their authenticator app;
    the identity key is still needed. Earlier codes become invalid. The server keeps only
    hashes. Users can create codes themselves: 'fsclient recovery-codes'.
    """
    with admin.access() as access:
        made = access.recovery_codes(name)

    def text() -> str:
        lines = [f"  {number:2}  {code}" for number, code in enumerate(made, 1)]
        return "\n".join(
            [
                f"Recovery codes of {name}; each works once:",
                "",
                *lines,
                "",
                "Hand them over in person or on paper: they are not shown again.",
            ]
        )

    admin.answer({"user": name, "recovery_codes": made}, text)


@click.command("unlock-user", short_help="Unlock an account.")
@click.argument("name")
@common_options
@click.pass_obj
def unlock_user(admin: Admin, *, name: str) -> None:
    """Unlock an account: accept codes again at once, from every address.

    An account is locked after 100 refusals in a row in which only the code was wrong. After
    the enrolment, only attempts with the identity key or the recovery phrase count. Shorter
    waits end too. 'fsadmin audit --user NAME' shows the attempts.
    """
    with admin.access() as access:
        access.unlock(name)
    with admin.people() as people:
        person = people.show(name)
    admin.answer(
        {"user": name, "unlocked": True}, lambda: f"{name} is not locked{still_out(person)}."
    )


@click.command("sessions", short_help="List all active sessions.")
@click.option("--user", metavar="NAME", help="Only the sessions of one user.")
@common_options
@click.pass_obj
def sessions(admin: Admin, *, user: str | None) -> None:
    """List all running sessions: user, start, last use, its address and the device.

    The name of a device is what the user's client says, by default its host name.

    The time of the last use is exact to ten minutes.

    A session lets commands run without another one-time password on the machine that has the
    user's identity key. A session over SSH belongs to the SSH key that is shown; without one it
    ends with its connection. 'fsadmin revoke' ends a session at once.
    """
    with admin.access() as access:
        running = access.sessions(user)

    def text() -> str:
        if not running:
            return "There are no sessions." if user is None else f"{user} is not logged in."
        headers = (
            "SESSION",
            "USER",
            "SINCE",
            "LAST USED",
            "UNTIL",
            "ADDRESS",
            "DEVICE",
            "LISTENER",
        )
        return output.table(headers, [_row(each) for each in running], right=("SESSION",))

    admin.answer([_as_json(each) for each in running], text)


@click.command("revoke", short_help="End sessions immediately.")
@click.argument("numbers", nargs=-1, type=SessionNumber(), metavar="[SESSION]...")
@click.option("--user", metavar="NAME", help="End all sessions of this user.")
@common_options
@click.pass_obj
def revoke(admin: Admin, *, numbers: tuple[int, ...], user: str | None) -> None:
    """End sessions at once: those with the given numbers, or all sessions of a user.

    'fsadmin sessions' shows the numbers. Transfers in these sessions end within about a second.
    The user can log in again; to prevent this, use 'fsadmin disable-user'.
    """
    if bool(numbers) == (user is not None):
        raise UsageError("Give the numbers of sessions, or --user NAME.")
    with admin.access() as access:
        if user is not None:
            count = access.revoke_all(user)
        else:
            access.revoke(list(numbers))
            count = len(set(numbers))
    admin.answer({"ended": count}, lambda: f"{count_text(count, 'session')} ended.")


def _as_json(session: SessionView) -> dict[str, object]:
    return {
        "session": session.id,
        "user": session.user,
        "began_ms": session.began_ms,
        "used_ms": session.used_ms,
        "expires_ms": session.expires_ms,
        "address": session.address,
        "door": session.door,
        "device": session.device,
    }


def _row(session: SessionView) -> tuple[str, ...]:
    return (
        str(session.id),
        session.user,
        output.day(session.began_ms),
        output.day(session.used_ms),
        output.day(session.expires_ms),
        session.address,
        session.device or "-",
        session.door,
    )
