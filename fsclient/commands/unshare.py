"""`fsclient unshare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fsclient.app import App

if TYPE_CHECKING:
    from fsclient.session import Session
    from fsproto.names import RemotePath


@click.command()
@click.argument("path", metavar="REMOTE")
@click.argument("user")
@click.option("--now", is_flag=True, help="Give new keys to everything in the folder at once.")
@click.pass_obj
def command(app: App, path: str, user: str, *, now: bool) -> None:
    """Share a file or folder with somebody no more.

    The server refuses them at once, and the folder takes a new key: what is written from now on
    is sealed to those who are left, even if the server should side with whoever was removed. What
    they have read they may have kept. What lies in the folder takes new keys with its next change;
    with --now all of it does at once, names included, which takes time in a large folder and can
    be interrupted: the same command goes on.
    """
    from fsclient.sharing import Sharing
    from fsproto.errors import NotFoundError
    from fsproto.names import clean_user, parse_path

    user, place = clean_user(user), parse_path(path)
    with app.session() as session:
        found = session.tree.find(place)
        changed = Sharing(session, app.ui).take(found, user)
        if not changed and not now:
            raise NotFoundError(
                f"'{found.path}' is not shared with {user}.",
                hint="'fsclient shares' shows what is shared with whom.",
            )
        if changed:
            app.ui.say(f"'{found.path}' is not shared with {user} any more.")
        renewed = _renew(app, session, place) if now else 0
    app.ui.result_of(path=str(place), user=user, changed=changed, renewed=renewed)


def _renew(app: App, session: Session, place: RemotePath) -> int:
    from fsclient.rekeying import renew_everything

    top = session.tree.find(place)
    if not top.is_folder:
        return 0
    done = renew_everything(
        session.tree, top, lambda count: app.ui.say(f"{count:,} new keys so far …")
    )
    app.ui.say(f"All in '{top.path}' is under new keys: {done:,} took one.")
    return done
