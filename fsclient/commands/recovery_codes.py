"""`fsclient recovery-codes`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsproto.messages.account import MakeRecoveryCodes, RecoveryCodes


@click.command("recovery-codes")
@click.pass_obj
def command(app: App) -> None:
    """Create ten recovery codes, in case you lose your authenticator app.

    Each code works once, in place of a one-time password. The command asks for a one-time
    password or for one of your unused recovery codes. Earlier codes become invalid. Print the
    new ones and keep them away from this machine: they are shown only once.
    """
    with app.session() as session:
        made = app.with_code(
            lambda code: session.connection.call(MakeRecoveryCodes(code), RecoveryCodes)
        )
    app.ui.result(
        {"recovery_codes": made.codes},
        [f"{number:2}  {code}" for number, code in enumerate(made.codes, 1)],
    )
    app.ui.say("Each code works once. Earlier codes are void.")
