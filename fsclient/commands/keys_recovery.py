"""`fsclient keys backup` and `fsclient keys recover`: a backup of the keys at the server."""

from __future__ import annotations

import contextlib
import os

import click

from fsclient.app import App
from fsclient.commands.device import device_option
from fsclient.commands.enroll import LINK
from fsclient.commands.replacing import replacing
from fsclient.trust.bip39 import phrase_of, secret_of
from fsclient.ui import Ui
from fsproto.errors import Unreachable, UsageError
from fsproto.keys.portable import Portable
from fsproto.keys.recovery import SECRET_SIZE, RecoverySecret
from fsproto.link import parse_link
from fsproto.messages.account import Backup
from fsproto.messages.base import Done

_COLUMNS = 3


@click.command(short_help="Store your keys at the server, sealed under a recovery phrase.")
@click.pass_obj
def backup(app: App) -> None:
    """Store your keys at the server, sealed under a recovery phrase of 12 words.

    The phrase is created here and shown once; the server never sees it. Write it down. Keep it
    safe from fire, and apart from your authenticator app. Never read it to a person, not even to
    an administrator: people compare the digits of 'fsclient verify', never words. A new backup
    replaces the previous one and has a phrase of its own. The command asks for a one-time
    password.
    """
    app.keeper().identity(typed=True)
    with app.session() as session:
        facts, identity = session.facts, session.identity
        secret = RecoverySecret(identity.user, os.urandom(SECRET_SIZE))
        sealed = secret.seal(Portable(identity, facts.link, facts.root), os.urandom)
        key = secret.signing.public
        try:
            app.with_code(lambda code: session.connection.call(Backup(code, key, sealed), Done))
        except Unreachable as error:
            # The server may have stored it; then an older phrase is invalid.
            error.hint = "It is not known whether a backup was made; make another one."
            raise
    words = phrase_of(secret.secret)
    app.ui.say(
        "The server keeps your keys, sealed under these words. Write them down, in this order; "
        "they are not shown again, and earlier ones open nothing any more. Never read them to "
        "anybody: no administrator needs them, and no safety number has words."
    )
    app.ui.result({"user": identity.user, "phrase": words}, _table(words.split()))


@click.command(short_help="Get your keys back on a new machine.", epilog=LINK)
@click.argument("link")
@click.option("--no-passphrase", is_flag=True, help="Keep the identity without a passphrase.")
@device_option
@click.pass_obj
@replacing
def recover(app: App, /, link: str, *, no_passphrase: bool, device: str | None) -> None:
    """Recover the keys that 'fsclient keys backup' stored at the server, and log in.

    LINK is the link of your enrolment; your administrator can show it again. The command asks
    for your recovery phrase (in scripts: FSCLIENT_RECOVERY_PHRASE), for a passphrase for your
    keys on this machine (FSCLIENT_PASSPHRASE or --no-passphrase), and for one one-time
    password.

    With --replace, a profile of this account gets the keys with the new passphrase and keeps the
    rest, for example the trash of 'sync' and the people whose keys you have compared. A profile
    of another account is renamed.
    """
    app.options.no_passphrase, app.options.device = no_passphrase, device
    parsed = parse_link(link)
    app.profile.check_free()
    secret = RecoverySecret(parsed.user, _asked_secret(app.ui, app.options.recovery_phrase))
    with contextlib.closing(app.first_login().recover(parsed, secret)) as session:
        shown = session.identity.bundle.fingerprint
    app.keep_choices()
    app.ui.say(f"{parsed.user} is back at {parsed.address}; your keys are in "
               f"{app.profile.folder}. The phrase stays good until the next backup.")  # fmt: skip
    app.ui.result(
        {"user": parsed.user, "server": str(parsed.address), "fingerprint": shown},
        f"fingerprint {shown}",
    )


def _asked_secret(ui: Ui, given: str | None) -> bytes:
    """Return the secret of the recovery phrase; ask again after a typing error."""
    if given is not None:
        return secret_of(given)
    if not ui.can_ask():
        raise UsageError(
            "There is no terminal to ask for the recovery phrase.",
            hint="Set FSCLIENT_RECOVERY_PHRASE.",
        )
    while True:
        try:
            return secret_of(ui.ask("Recovery phrase (12 words): "), echo=True)
        except UsageError as error:
            ui.complain(error)


def _table(words: list[str]) -> list[str]:
    """Return the words in rows, with numbers."""
    cells = [f"{number:2} {word:10}" for number, word in enumerate(words, 1)]
    rows = range(0, len(cells), _COLUMNS)
    return ["".join(cells[at : at + _COLUMNS]).rstrip() for at in rows]
