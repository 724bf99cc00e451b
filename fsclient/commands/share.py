"""`fsclient share`."""

from __future__ import annotations

import click

from fsclient.app import App

EXAMPLES = """\b
Examples:
  fsclient share reports alice         alice may read what is and comes there
  fsclient share inbox alice --write   … and may change it
"""


@click.command(epilog=EXAMPLES)
@click.argument("path", metavar="REMOTE")
@click.argument("user")
@click.option("--write", is_flag=True, help="Let them change what is in the folder as well.")
@click.pass_obj
def command(app: App, path: str, user: str, *, write: bool) -> None:
    """Share a file or folder of yours with somebody, under their name for you: 'YOU:REMOTE'.

    What is added to a shared folder later is shared at once. The key is sealed to the person's
    keys as the server's key log has them; those that were used once are pinned, and no others are
    taken for the same person's. Compare words with them once: 'fsclient verify USER'.
    """
    from fsclient.sharing import Sharing
    from fsproto.keys.grants import Role
    from fsproto.names import clean_user, parse_path

    user, place = clean_user(user), parse_path(path)
    role = Role.WRITER if write else Role.READER
    with app.session() as session:
        found = session.tree.find(place)
        changed = Sharing(session, app.ui).give(found, user, role)
        pin = session.people.pin_of(user)
        me = session.identity.user
    may = "may read and change" if write else "may read"
    shown = f"{me}:{found.metadata.name}"
    if changed:
        app.ui.say(f"{user} {may} '{found.path}', and sees it as '{shown}'.")
    else:
        app.ui.say(f"{user} {may} '{found.path}' already.")
    app.ui.result_of(
        path=str(found.path),
        user=user,
        role=role.name.lower(),
        changed=changed,
        compared=bool(pin and pin.compared),
        seen_as=shown,
    )
