"""`fsclient keys passphrase`."""

from __future__ import annotations

import os

import click

from fsclient.app import App
from fsclient.session.passphrase import agent_key, typed_twice
from fsproto.errors import ConflictError, UsageError
from fsproto.keys.key_file import seal_identity


@click.command(short_help="Set, change or remove the passphrase of your keys.")
@click.option("--no-passphrase", is_flag=True, help="Keep the keys without a passphrase.")
@click.pass_obj
def passphrase(app: App, *, no_passphrase: bool) -> None:
    """Set, change or remove the passphrase of your keys on this machine.

    The command asks for the present passphrase, if there is one, and for the new one twice (in
    scripts: FSCLIENT_PASSPHRASE and FSCLIENT_NEW_PASSPHRASE). The keys stay the same. Copies of
    the old file, for example in a backup of this machine, still open with the old passphrase:
    if it is known to others, run 'fsclient keys rotate' too.
    """
    if app.profile.next_keyfile() is not None:
        raise ConflictError(
            "A key rotation was interrupted, and there are two sets of keys.",
            hint="Run 'fsclient login' first: it keeps the ones that the server has.",
        )
    keeper = app.keeper()
    identity = keeper.identity(typed=True)
    phrase = None if no_passphrase else _new(app)
    app.profile.replace_keyfile(seal_identity(identity, phrase, os.urandom))
    if keeper.passphrase is not None:
        agent_key(app.profile, app.profile.keyfile()).forget()
    keeper.passphrase = phrase
    done = "has no passphrase now" if phrase is None else "has a new passphrase"
    data = {"user": identity.user, "passphrase": phrase is not None}
    app.ui.result(data, f"Your identity in {app.profile.folder} {done}.")


def _new(app: App) -> str | None:
    given = app.options.new_passphrase
    if given is not None:
        return given or None
    if not app.ui.can_ask():
        raise UsageError(
            "There is no terminal to ask for the new passphrase.",
            hint="Set FSCLIENT_NEW_PASSPHRASE, or give --no-passphrase.",
        )
    return typed_twice(app.ui)
