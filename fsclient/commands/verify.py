"""`fsclient verify`."""

from __future__ import annotations

import io

import click
import segno

from fsclient.app import App
from fsclient.trust.safety_number import safety_number
from fsclient.ui import write_out
from fsproto.errors import UsageError
from fsproto.names import clean_user

EXAMPLES = """\b
Read the digits to each other, face to face or on the phone. If they are the
same on both sides, each of you has the true keys of the other:
  fsclient verify alice
  fsclient verify alice --confirm
"""
_IN_A_ROW = 4
_NOT_THE_PHRASE = (
    "Compare these digits, never words: the 12 words of a recovery phrase are a secret. "
    "Never read them out."
)


@click.command(epilog=EXAMPLES)
@click.argument("user")
@click.option("--confirm", is_flag=True, help="Mark the user's keys as compared.")
@click.option("--qr", is_flag=True, help="Show the digits as a QR code as well.")
@click.pass_obj
def command(app: App, user: str, *, confirm: bool, qr: bool) -> None:
    """Show a safety number to compare with USER, and the fingerprints of both keys.

    A safety number has 60 digits. It is no secret, and it is not your recovery phrase: never
    read the words of that phrase to another person, not even to an administrator.

    --confirm marks the keys as compared. Use it also to accept new keys after the administrator
    has reset the old ones: ask the user first whether that is true.
    """
    user = clean_user(user)
    with app.session() as session:
        people, me = session.people, session.identity
        if user == me.user:
            raise UsageError("Your own fingerprint is shown by 'fsclient whoami'.")
        session.context.catch_up()
        bundle = people.claimed_bundle(session.context.questions, user)
        if confirm:
            people.confirm(bundle)
        people.show(bundle)
        pin = people.pin_of(user)
        is_same = pin is None or people.is_same(pin, bundle)
    number = safety_number(me.bundle, bundle)
    state = "not used yet"
    if pin is not None:
        state = "compared" if pin.compared else "used, not compared"
        if pin.compared and (pin.replaced_since or pin.ed25519 != bundle.body.ed25519):
            state = "replaced since you compared them; signed by the compared ones"
        if not is_same:
            state = "NOT THE ONES YOU KNOW"
    rows = [" ".join(number[at : at + _IN_A_ROW]) for at in range(0, len(number), _IN_A_ROW)]
    lines = [
        f"number       {rows[0]}",
        *(f"             {row}" for row in rows[1:]),
        f"{user:12} {bundle.fingerprint}",
        f"{'you':12} {me.bundle.fingerprint}",
        f"keys         {state}",
    ]
    data = {
        "user": user,
        "number": number,
        "fingerprint": bundle.fingerprint,
        "own_fingerprint": me.bundle.fingerprint,
        "state": state,
        "compared": bool(pin and pin.compared),
    }
    app.ui.say(_NOT_THE_PHRASE)
    app.ui.result(data, lines)
    if qr and not app.options.as_json:
        _show_qr("".join(number))


def _show_qr(text: str) -> None:
    drawn = io.StringIO()
    segno.make(text, micro=False).terminal(out=drawn, compact=True)
    write_out(drawn.getvalue())
