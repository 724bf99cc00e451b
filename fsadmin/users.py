"""The commands about people: adding them, looking at them, letting them in or not."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import click

from fsadmin import output
from fsadmin.context import Admin, common_options, yes_option
from fsd.auth.otp import ALGORITHMS, OtpSetting
from fsproto import crypto
from fsproto.errors import UsageError
from fsproto.limits import DEFAULT_PORT
from fsproto.link import Address, EnrollLink, parse_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from fsd.home import Home
    from fsd.services.people import Enrolment, Person

    F = TypeVar("F", bound=Callable[..., Any])

_HOST = re.compile(r"[\w.:%-]+")
_MAX_ISSUER = 64


def _reach_options(command: F) -> F:
    host = click.option(
        "--host",
        metavar="HOST[:PORT]",
        help="Where people reach the server, for the link.  [default: where it last listened]",
    )
    issuer = click.option(
        "--issuer",
        metavar="NAME",
        default="fsd",
        show_default=True,
        help="What an authenticator app calls the entry.",
    )
    return host(issuer(command))


@click.command("add-user", short_help="Make an account and show what a person needs to enrol.")
@click.argument("name")
@click.option(
    "--digits", type=int, default=6, show_default=True, metavar="N", help="Of a code: 6, 7 or 8."
)
@click.option(
    "--period",
    type=int,
    default=30,
    show_default=True,
    metavar="S",
    help="Seconds a code lasts: 15 to 120.",
)
@click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS), case_sensitive=False),
    default="SHA1",
    show_default=True,
    help="Of the code. Many authenticator apps know only SHA1.",
)
@_reach_options
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
) -> None:
    """Make an account for a person and show what they need to enrol.

    That is the secret of their one-time passwords, once as text and once as a QR code for any
    authenticator app, and a link that says whom to enrol, where, and which host key to expect.
    The secret is shown this one time. The link is no secret. Their keys are made on their own
    machine when they enrol; neither this command nor the server ever holds them.
    """
    reach = _reach(admin.home, host)
    _check_issuer(issuer)
    with admin.people() as people:
        added = people.add(name, digits=digits, period=period, algorithm=algorithm)
    _hand_over(admin, added, reach, issuer)


@click.command("rotate-secret", short_help="Give a person a new one-time password secret.")
@click.argument("name")
@click.option("--now", "at_once", is_flag=True, help="Refuse codes of the old secret at once.")
@_reach_options
@common_options
@click.pass_obj
def rotate_secret(admin: Admin, *, name: str, at_once: bool, host: str | None, issuer: str) -> None:
    """Give a person a new one-time password secret and show it as add-user does.

    Codes of the old secret work until the first one of the new secret is used: that ends the old
    one for good. If somebody else may have the old secret, give --now. Keys, files and running
    sessions stay as they are; 'fsadmin revoke --user NAME' ends sessions. People can do the same
    by themselves, with 'fsclient otp rotate'.
    """
    reach = _reach(admin.home, host)
    _check_issuer(issuer)
    with admin.access() as access:
        rotated = access.rotate_secret(name, at_once=at_once)
    _hand_over(admin, rotated, reach, issuer)


@click.command("list-users", short_help="Show all accounts.")
@common_options
@click.pass_obj
def list_users(admin: Admin) -> None:
    """Show all accounts, one a line. No secret is shown."""
    with admin.people() as people:
        everybody = people.everybody()

    def text() -> str:
        if not everybody:
            return "There are no users yet; 'fsadmin add-user NAME' makes one."
        headers = ("NAME", "STATE", "CODES", "SESSIONS", "FILES", "STORED", "FINGERPRINT")
        rows = [_row(person) for person in everybody]
        return output.table(headers, rows, right=("SESSIONS", "FILES", "STORED"))

    admin.answer([_as_json(person) for person in everybody], text)


@click.command("show-user", short_help="Show one account.")
@click.argument("name")
@common_options
@click.pass_obj
def show_user(admin: Admin, *, name: str) -> None:
    """Show one account: whether it is enrolled and enabled, its keys' fingerprint, what it uses.

    The one-time password secret is not shown, and names and content of files cannot be.
    """
    with admin.people() as people:
        person = people.show(name)
    admin.answer(_as_json(person), lambda: _described(person))


@click.command("disable-user", short_help="Keep a person out and end their sessions.")
@click.argument("name")
@common_options
@click.pass_obj
def disable_user(admin: Admin, *, name: str) -> None:
    """Refuse a person's logins from now on and end their sessions at once.

    Keys and files stay as they are; 'fsadmin enable-user' lets the person in again.
    """
    _set_disabled(admin, name, disabled=True)


@click.command("enable-user", short_help="Let a disabled person log in again.")
@click.argument("name")
@common_options
@click.pass_obj
def enable_user(admin: Admin, *, name: str) -> None:
    """Let a disabled person log in again, with the same secret, keys and files.

    Sessions that were ended do not come back.
    """
    _set_disabled(admin, name, disabled=False)


@click.command("remove-user", short_help="Delete an account with all its files.")
@click.argument("name")
@yes_option
@common_options
@click.pass_obj
def remove_user(admin: Admin, *, name: str, yes: bool) -> None:
    """Delete a person's account with all their files, for good.

    It asks first. Nobody can bring the files back; to keep a person out and the files where they
    are, use 'fsadmin disable-user'.
    """
    with admin.people() as people:
        person = people.show(name)
        admin.confirm(f"Delete {name} with {_belongings(person)}?", yes=yes)
        people.remove(name)
    admin.answer({"user": name, "removed": True}, lambda: f"{name} was removed.")


@click.command("reset-keys", short_help="Forget a person's keys and files, to enrol anew.")
@click.argument("name")
@yes_option
@common_options
@click.pass_obj
def reset_keys(admin: Admin, *, name: str, yes: bool) -> None:
    """Forget a person's public keys so that they can enrol anew, for one who lost the private ones.

    It asks first. What was sealed to the old keys can be opened by nobody else and is deleted;
    sessions end. The one-time password secret stays.
    """
    with admin.people() as people:
        person = people.show(name)
        admin.confirm(f"Forget the keys of {name} and delete {_belongings(person)}?", yes=yes)
        people.reset_keys(name)
        after = people.show(name)
    admin.answer(
        _as_json(after),
        lambda: f"The keys of {name} were forgotten; the link of add-user enrols new ones.",
    )


# --- what people are handed


def _reach(home: Home, host: str | None) -> Address:
    """Return the address that goes into a link; a warning where it may be of no use."""
    last = home.last_run().get("address")
    listened = parse_address(last) if last else Address("127.0.0.1", DEFAULT_PORT)
    if host is None:
        if _is_wildcard(listened.host):
            click.echo(
                f"fsadmin: fsd listens on {listened}, which people may not reach; "
                "give --host for a link that works.",
                err=True,
            )
        return listened
    try:
        reach = parse_address(f"{host}:{listened.port}")
    except UsageError:  # it names a port itself
        reach = parse_address(host)
    if not _HOST.fullmatch(reach.host):
        raise UsageError(f"'{reach.host}' is not the name or address of a host.")
    return reach


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _check_issuer(issuer: str) -> None:
    if not issuer.isprintable() or ":" in issuer or not 0 < len(issuer) <= _MAX_ISSUER:
        raise UsageError(f"An issuer has 1 to {_MAX_ISSUER} printable characters other than ':'.")


def _hand_over(admin: Admin, enrolment: Enrolment, reach: Address, issuer: str) -> None:
    user, otp = enrolment.user, enrolment.otp
    link = str(EnrollLink(user, reach, crypto.fingerprint(admin.home.host_key().public)))
    uri = otp.uri(user, issuer)
    shown = {"user": user, "secret": otp.secret, "otpauth_uri": uri, "enroll_link": link}
    admin.answer(shown, lambda: _handover_text(user, otp, uri, link))


def _handover_text(user: str, otp: OtpSetting, uri: str, link: str) -> str:
    picture = output.qr(uri)
    return "\n".join(
        [
            output.facts([("User", user), ("Secret", otp.secret), ("URI", uri), ("Link", link)]),
            "",
            picture or "(This terminal cannot show the QR code; the secret can be typed instead.)",
            "",
            f"Give {user} the QR code or the secret for an authenticator app, in person or over a",
            "channel you trust: it is not shown again. Give them the link too; they enrol with",
            "",
            f"    fsclient enroll '{link}'",
        ]
    )


# --- how accounts look


def _set_disabled(admin: Admin, name: str, *, disabled: bool) -> None:
    with admin.people() as people:
        people.set_disabled(name, disabled=disabled)
        person = people.show(name)
    done = "disabled; all sessions have ended" if disabled else "enabled"
    admin.answer(_as_json(person), lambda: f"{name} is {done}.")


def _as_json(person: Person) -> dict[str, object]:
    return {
        "user": person.name,
        "enrolled": person.enrolled,
        "disabled": person.disabled,
        "created_ms": person.created_ms,
        "digits": person.digits,
        "period": person.period,
        "algorithm": person.algorithm,
        "fingerprint": person.fingerprint,
        "clock_ms": person.clock_ms,
        "locked_ms": person.locked_ms,
        "refused_over_ssh": person.refused_over_ssh,
        "held_until_ms": person.held_until_ms,
        "new_secret_ms": person.new_secret_ms,
        "recovery_codes": person.recovery_codes,
        "sessions": person.sessions,
        "files": person.files,
        "folders": person.folders,
        "stored_bytes": person.stored_bytes,
    }


def _state(person: Person) -> str:
    words = ["enrolled" if person.enrolled else "not enrolled"]
    words += ["disabled"] if person.disabled else []
    words += ["locked"] if person.locked_ms is not None else []
    return ", ".join(words)


def _codes(person: Person) -> str:
    return f"{person.digits} digits, {person.period} s, {person.algorithm}"


def _clock(person: Person) -> str:
    """Return how far a person's clock is off; less than half a step is not to be told from none."""
    off_ms = abs(person.clock_ms)
    if off_ms <= person.period * 500:
        return "right, as far as codes have shown"
    return f"about {round(off_ms / 1000)} s {'ahead' if person.clock_ms > 0 else 'behind'}"


def _door(person: Person) -> str:
    """Return what holds up those who try codes."""
    if person.locked_ms is not None:
        since = output.day(person.locked_ms)
        return f"locked since {since}; 'fsadmin unlock-user {person.name}' ends it"
    words = []
    if person.new_secret_ms is not None:
        since = output.day(person.new_secret_ms)
        words.append(f"a new secret waits for its first use since {since}")
    if person.refused_over_ssh:
        refused = output.count(person.refused_over_ssh, "code")
        words.append(f"{refused} in a row refused over SSH")
    if person.held_until_ms:
        words.append(f"some tries are held up until {output.day(person.held_until_ms)}")
    return "; ".join(words) or "open"


def _row(person: Person) -> tuple[str, ...]:
    return (
        person.name,
        _state(person),
        _codes(person),
        str(person.sessions),
        str(person.files),
        output.size(person.stored_bytes),
        person.fingerprint or "-",
    )


def _described(person: Person) -> str:
    return output.facts(
        [
            ("User", person.name),
            ("State", _state(person)),
            ("Fingerprint", person.fingerprint or "-"),
            ("Codes", _codes(person)),
            ("Clock", _clock(person)),
            ("Door", _door(person)),
            ("Recovery", output.count(person.recovery_codes, "code")),
            ("Sessions", str(person.sessions)),
            ("Files", str(person.files)),
            ("Folders", str(person.folders)),
            ("Stored", output.size(person.stored_bytes)),
            ("Added", output.day(person.created_ms)),
        ]
    )


def _belongings(person: Person) -> str:
    files = "1 file" if person.files == 1 else f"{person.files} files"
    return f"{files} ({output.size(person.stored_bytes)})"
