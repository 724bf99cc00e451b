"""`fsclient otp`."""

from __future__ import annotations

import hashlib

import click
import pyotp

from fsclient.app import App
from fsclient.session.session import Session
from fsproto.errors import LoginRefused, RemoteProtocolError, UsageError
from fsproto.messages.account import ConfirmSecret, NewSecret, RotateSecret
from fsproto.messages.base import Done
from fsproto.qr import drawn

_TRIES = 3


@click.group()
def command() -> None:
    """Change the one-time password secret of your authenticator app."""


@command.command("rotate", short_help="Give your authenticator app a new secret.")
@click.option("--issuer", metavar="NAME", default="fsd", show_default=True,
              help="Name of the entry in the authenticator app.")  # fmt: skip
@click.pass_obj
def rotate(app: App, issuer: str) -> None:
    """Create a new one-time password secret, show it as a QR code, and use its first code.

    The command asks for a one-time password of the old secret, or for a recovery code. The old
    secret works until the first code of the new one is used. If you are interrupted, run the
    command again. Without a terminal, the new secret is printed as the result, and its first
    code that is used ends the old secret.
    """
    if not issuer.isprintable() or ":" in issuer:
        raise UsageError("An issuer has printable characters other than ':'.")
    with app.session() as session:
        made = app.with_code(lambda code: session.connection.call(RotateSecret(code), NewSecret))
        user = session.identity.user
        uri = _uri(made, user, issuer)
        confirmed = False
        if app.ui.can_ask():
            _show(app, made, uri)
            _confirm(app, session)
            confirmed = True
    shown = [] if confirmed else [f"secret  {made.secret}", f"uri     {uri}"]
    app.ui.result(
        {"user": user, "secret": made.secret, "otpauth_uri": uri, "confirmed": confirmed},
        shown or f"Codes of the old secret of {user} are refused from now on.",
    )
    if not confirmed:
        app.ui.say("The old secret works until the first code of the new one is used.")


def _uri(made: NewSecret, user: str, issuer: str) -> str:
    digest = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}
    if made.algorithm not in digest:
        raise RemoteProtocolError("The server chose an unknown algorithm for codes.")
    totp = pyotp.TOTP(
        made.secret, digits=made.digits, digest=digest[made.algorithm], interval=made.period
    )
    return totp.provisioning_uri(name=user, issuer_name=issuer)


def _show(app: App, made: NewSecret, uri: str) -> None:
    app.ui.draw(drawn(uri))
    app.ui.show(f"Scan this with your authenticator app, or type the secret: {made.secret}")
    app.ui.show("It is not shown again. Remove the old entry only when this is done.")


def _confirm(app: App, session: Session) -> None:
    """Confirm the new secret with its first code, which ends the old secret."""
    for tries_left in reversed(range(_TRIES)):
        code = app.ui.ask("Code that the new entry shows: ")
        try:
            session.connection.call(ConfirmSecret(code), Done)
        except LoginRefused:
            if not tries_left:
                raise LoginRefused(
                    "The new secret was not confirmed; the old one stays valid.",
                    hint="Give the same command again, and scan the code that it shows then.",
                ) from None
            app.ui.warn("This code does not belong to the new secret; check the clock of your app.")
        else:
            return
