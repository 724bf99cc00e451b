"""Commands to add, show, change, disable and remove users."""

from __future__ import annotations

from dataclasses import asdict

import click

from fsadmin.account_list import ORDERS, STATES, chosen, table
from fsadmin.account_options import terms_options, typed_terms
from fsadmin.account_view import as_json, belongings, described, limits, still_out
from fsadmin.context import Admin, common_options, new_home_option, yes_option
from fsadmin.enrolment import (
    check_issuer,
    codes_options,
    hand_out,
    host_option,
    links_of,
    reach_of,
    reach_options,
)
from fsproto.errors import UsageError
from fsproto.names import clean_user


@click.command("add-user", short_help="Create an account and show the enrolment link and secret.")
@click.argument("name")
@codes_options
@terms_options
@reach_options
@new_home_option
@common_options
@click.pass_obj
def add_user(
    admin: Admin,
    *,
    name: str,
    digits: int,
    period: int,
    algorithm: str,
    host: str | None,
    issuer: str,
    quota_bytes: str | None,
    quota_files: str | None,
    expires: str | None,
    note: str | None,
    new_home: bool,
) -> None:
    """Create an account and show what its user needs to enrol.

    This is the secret of the one-time passwords, as text and as a QR code for any authenticator
    app, and a link with user, server and host key. The secret is shown only once. The link is
    not secret. The user's keys are created on the user's machine during enrolment; neither this
    command nor the server ever has them. For many people: 'fsadmin add-users'.
    """
    typed = {"quota_bytes": quota_bytes, "quota_files": quota_files}
    terms = typed_terms(typed | {"expires_ms": expires, "note": note})
    check_issuer(issuer)
    clean_user(name)
    reach = reach_of(admin.place, host)
    admin.begin(second=new_home)
    with admin.people() as people:
        added = people.add(name, digits=digits, period=period, algorithm=algorithm, terms=terms)
    hand_out(admin, added, reach, issuer)


@click.command("rotate-secret", short_help="Replace a user's one-time password secret.")
@click.argument("name")
@click.option("--now", "at_once", is_flag=True, help="Refuse codes of the old secret at once.")
@reach_options
@common_options
@click.pass_obj
def rotate_secret(admin: Admin, *, name: str, at_once: bool, host: str | None, issuer: str) -> None:
    """Replace a user's one-time password secret, and show it as add-user does.

    Codes of the old secret work until the first one of the new secret is used: that ends the old
    one for good. If another person may know the old secret, give --now. Keys, files and running
    sessions stay as they are; 'fsadmin revoke --user NAME' ends sessions. People can do the same
    by themselves, with 'fsclient otp rotate'.
    """
    reach = reach_of(admin.home, host)
    check_issuer(issuer)
    with admin.access() as access:
        rotated = access.rotate_secret(name, at_once=at_once)
    hand_out(admin, rotated, reach, issuer, again=True)


@click.command("link", short_help="Show enrolment links again.")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--all", "everybody", is_flag=True, help="Show the links of all users.")
@host_option
@common_options
@click.pass_obj
def link(admin: Admin, *, names: tuple[str, ...], everybody: bool, host: str | None) -> None:
    """Show enrolment links again, for a lost sheet or after the server has moved.

    A link has user, address and host key. It is not secret, and it is no use without a one-time
    password. People who have enrolled give it to 'fsclient repin' when the server has moved.
    """
    if everybody == bool(names):
        raise UsageError("Name the users, or give --all.")
    reach = reach_of(admin.home, host)
    with admin.people() as people:
        found = people.everybody() if everybody else [people.show(name) for name in names]
    links = links_of(admin.home, [one.name for one in found], reach)
    admin.answer(
        [{"user": one.user, "enroll_link": str(one)} for one in links],
        lambda: "\n".join(map(str, links)),
    )


@click.command("list-users", short_help="Show all accounts.")
@click.option("-l", "--long", is_flag=True, help="Show sessions, files and fingerprints too.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(list(STATES)),
    help="Only accounts in this state; may be given several times.",
)
@click.option(
    "--sort",
    "order",
    type=click.Choice(list(ORDERS)),
    default="name",
    show_default=True,
    help="By name, most used, newest, or next to expire.",
)
@common_options
@click.pass_obj
def list_users(admin: Admin, *, long: bool, states: tuple[str, ...], order: str) -> None:
    """Show all accounts, one on each line. No secret is shown.

    'closed' are the accounts that 'remove-user --hand-over-to' has handed over.
    """
    with admin.people() as people:
        everybody = people.everybody()
    shown = chosen(everybody, states, order)

    def text() -> str:
        if not everybody:
            return "There are no users yet; 'fsadmin add-user NAME' makes one."
        return table(shown, long=long) if shown else "No account is in that state."

    admin.answer([as_json(person) for person in shown], text)


@click.command("show-user", short_help="Show one account.")
@click.argument("name")
@common_options
@click.pass_obj
def show_user(admin: Admin, *, name: str) -> None:
    """Show one account: whether it is enrolled and enabled, its keys' fingerprint, what it uses.

    'Used' is what counts towards the quota: the sealed sizes of the files that are there now.
    The one-time password secret is not shown, and names and content of files cannot be.
    """
    with admin.people() as people:
        person = people.show(name)
    most = limits(person, admin.checked("person.", "login.", "quota."))
    admin.answer(as_json(person) | {"limits": most}, lambda: described(person, most))


@click.command("change-user", short_help="Set a user's quota, expiry date or note.")
@click.argument("name")
@terms_options
@common_options
@click.pass_obj
def change_user(
    admin: Admin,
    *,
    name: str,
    quota_bytes: str | None,
    quota_files: str | None,
    expires: str | None,
    note: str | None,
) -> None:
    """Set a user's quota, expiry or note.

    Options that are not given change nothing. The files in the user's tree count towards the
    quota: their number and their sealed sizes. Older versions and removed files do not count.
    A file in a shared folder counts towards the quota of the folder's owner. A quota below the
    current use deletes nothing, but the user cannot add files until they have removed others.

    An account that has expired is refused like a disabled one, and its sessions have ended; keys
    and files stay as they are. A date means its first moment, 00:00 UTC.
    """
    typed = {"quota_bytes": quota_bytes, "quota_files": quota_files}
    typed |= {"expires_ms": expires, "note": note}
    if set(typed.values()) == {None}:
        raise UsageError(
            "No change was given.",
            hint="Give --quota-bytes, --quota-files, --expires or --note.",
        )
    terms = typed_terms(typed)
    with admin.people() as people:
        people.change(name, terms)
        person = people.show(name)
    admin.answer(as_json(person), lambda: described(person))


@click.command("disable-user", short_help="Disable an account and end its sessions.")
@click.argument("name")
@common_options
@click.pass_obj
def disable_user(admin: Admin, *, name: str) -> None:
    """Refuse a person's logins from now on and end their sessions at once.

    Keys and files stay as they are; 'fsadmin enable-user' allows logins again.
    """
    _set_disabled(admin, name, disabled=True)


@click.command("enable-user", short_help="Enable a disabled account.")
@click.argument("name")
@common_options
@click.pass_obj
def enable_user(admin: Admin, *, name: str) -> None:
    """Enable a disabled account again, with the same secret, keys and files.

    Sessions that were ended do not come back.
    """
    _set_disabled(admin, name, disabled=False)


@click.command("remove-user", short_help="Delete an account with all its files.")
@click.argument("name")
@click.option(
    "--hand-over-to",
    "heir",
    metavar="OTHER",
    help="Close the account instead, and keep its files in the quota of OTHER.",
)
@yes_option
@common_options
@click.pass_obj
def remove_user(admin: Admin, *, name: str, heir: str | None, yes: bool) -> None:
    """Delete a person's account with all their files, for good.

    Shows what will be deleted and asks first. The files cannot be restored, and the members of
    the user's shares lose them, too. To block a user for a time, use 'fsadmin disable-user'.

    With --hand-over-to, the account is closed for good, but its files stay under its name for the
    members of its shares; they now count towards the quota of OTHER. The server cannot open the
    files: files that were never shared cannot be read by any user. The name stays in use until a
    second 'remove-user NAME' deletes the account and its files.
    """
    if heir is not None:
        _hand_over(admin, name, heir, yes=yes)
        return
    with admin.people() as people:
        would_go = belongings(people.belongings(name))
        admin.confirm(f"Delete {name} with {would_go}?", yes=yes)
        gone = people.remove(name)
    admin.answer(
        {"user": name, "removed": True, "handed_over_to": None, **asdict(gone)},
        lambda: f"{name} was removed, with {belongings(gone)}.",
    )


def _hand_over(admin: Admin, name: str, heir: str, *, yes: bool) -> None:
    with admin.people() as people:
        would_stay = belongings(people.belongings(name))
        question = f"Close the account of {name} for good, and have {heir} hold {would_stay}?"
        admin.confirm(question, yes=yes)
        kept = people.hand_over(name, heir)
    admin.answer(
        {"user": name, "removed": False, "handed_over_to": heir, **asdict(kept)},
        lambda: f"The account of {name} is closed; {heir} holds {belongings(kept)}.",
    )


@click.command("reset-keys", short_help="Delete a user's keys and files, to enrol again.")
@click.argument("name")
@yes_option
@common_options
@click.pass_obj
def reset_keys(admin: Admin, *, name: str, yes: bool) -> None:
    """Delete a user's public keys, so that the user can enrol again with new keys.

    Use this if the private keys are lost. Asks first. Data that is sealed to the old keys can
    never be opened again and is deleted; sessions end. The one-time password secret stays.
    """
    with admin.people() as people:
        would_go = belongings(people.belongings(name))
        admin.confirm(f"Delete the keys of {name} and {would_go}?", yes=yes)
        people.reset_keys(name)
        after = people.show(name)
    admin.answer(
        as_json(after),
        lambda: f"The keys of {name} were deleted; enrol new ones with the link of add-user.",
    )


def _set_disabled(admin: Admin, name: str, *, disabled: bool) -> None:
    with admin.people() as people:
        people.set_disabled(name, disabled=disabled)
        person = people.show(name)
    done = "disabled; all sessions have ended." if disabled else f"enabled{still_out(person)}."
    admin.answer(as_json(person), lambda: f"{name} is {done}")
