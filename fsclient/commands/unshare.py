"""`fsclient unshare`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.operations.rekey import Rekey
from fsclient.session.session import Session
from fsclient.sharing.groups import SIGN, leaving, listed
from fsclient.sharing.left_behind import LeftBehind
from fsclient.sharing.share import Sharing
from fsclient.transfer.report.failures import Failures
from fsclient.tree.nodes import TreeNode
from fsproto.errors import NotFoundError
from fsproto.names import RemotePath, clean_group, clean_user


@click.command()
@click.argument("path", metavar="REMOTE")
@click.argument("user", metavar="USER|@GROUP")
@click.option("--now", is_flag=True, help="Give new keys to everything in the folder at once.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before the share with a group ends.")
@click.pass_obj
def command(app: App, path: str, user: str, *, now: bool, yes: bool) -> None:
    """Stop sharing a file or folder with a user.

    The server refuses the user at once, and the folder gets a new key: later changes are sealed
    only to the remaining members, even if the server helps the removed user. Copies that the
    user made cannot be taken back. Files in the folder get new keys at their next change. With
    --now, everything gets new keys at once, names included; this takes time in a large folder
    and can be interrupted: run the command again to resume.

    The user is removed first. Then the shares in the folder get new keys. What cannot get them,
    for example an entry that does not verify, is named and skipped; with --now, the exit status
    is then not 0.

    With @GROUP, the share ends for each member of it who was added by that group, even if they
    have left the group; you confirm the list. A person with access in another way keeps it.
    """
    group = clean_group(user[1:]) if user.startswith(SIGN) else None
    user = clean_user(user) if group is None else user
    place, failures = app.path(path), Failures(app.ui)
    with app.session() as session:
        found, sharing = session.tree.find(place), Sharing(session, app.ui)
        lost = [user] if group is None else []
        if group is not None:
            changed, lost = _take_group(app, sharing, found, group, yes=yes)
        else:
            changed = sharing.take(found, user)
        if not changed and not now:
            raise NotFoundError(
                f"'{found.path}' is not shared with {user}.",
                hint="'fsclient shares' shows what is shared with whom.",
            )
        if changed and lost:
            app.ui.say(f"'{found.path}' is not shared with {listed(lost)} any more.")
        left = sharing.renew_below(found)
        renewed = _renew(app, session, place, left) if now else 0
        if not now:
            sharing.warn_of(left)
    for one in left if now else ():
        failures.note(one.failure)
    whom = {"user": user} if group is None else {"group": group, "members": lost}
    data = [one.data for one in left]
    app.ui.result_of(path=str(place), **whom, changed=changed, renewed=renewed, left=data)
    failures.raise_if_any()


def _take_group(
    app: App, sharing: Sharing, found: TreeNode, group: str, *, yes: bool
) -> tuple[bool, list[str]]:
    """Remove a group from a share.

    Return whether the group had members in the share, and the names of users without access now.
    """
    sharing.check_place(found)
    those = leaving(sharing.of(found), group)
    if not those:
        return False, []
    tell = app.ui.say if yes else app.ui.show
    lost = [one.user for one in those if one.stays is None]
    for one in those:
        role = None if one.stays is None else one.stays.name.lower()
        tell(f"  {one.user}  " + ("loses it" if role is None else f"keeps it otherwise, as {role}"))
    question = (
        f"Take '{found.path}' from {listed(lost)}?"
        if lost
        else f"End the access to '{found.path}' by @{group}? Its members keep access otherwise."
    )
    app.ui.confirm(question, yes=yes)
    sharing.take_group(found, group, [one.user for one in those])
    return True, lost


def _renew(app: App, session: Session, place: RemotePath, left: list[LeftBehind]) -> int:
    """Give new keys to everything in a folder; return their number.

    Append the nodes that could not be re-keyed to `left`.
    """
    top = session.tree.find(place)
    if not top.is_folder:
        return 0
    rekey = Rekey(session.tree, lambda count: app.ui.say(f"{count:,} new keys so far …"))
    rekey.run(top)
    known = {one.path for one in left if one.path is not None}
    left += [one for one in rekey.left if one.path not in known]
    if not left:
        app.ui.say(f"All in '{top.path}' is under new keys: {rekey.done:,} took one.")
    return rekey.done
