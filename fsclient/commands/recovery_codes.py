"""`fsclient recovery-codes`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command("recovery-codes")
@click.pass_obj
def command(app: App) -> None:
    """Make ten recovery codes, for the day on which your authenticator app is lost.

    Each works once, wherever a one-time password is asked for. Asks for a code (or for one of the
    recovery codes that are left). Those made earlier are void. Print them, and keep them away from
    this machine: they are not shown again.
    """
    from fsproto.messages.account import MakeRecoveryCodes, RecoveryCodes

    with app.session() as session:
        made = app.with_code(
            lambda code: session.connection.call(MakeRecoveryCodes(code), RecoveryCodes)
        )
    app.ui.result(
        {"recovery_codes": made.codes},
        [f"{number:2}  {code}" for number, code in enumerate(made.codes, 1)],
    )
    app.ui.say("Each works once. Codes made earlier are void.")
