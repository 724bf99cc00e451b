"""`fsclient share`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.session.session import Session
from fsclient.sharing.groups import SIGN, Candidate, candidates, listed
from fsclient.sharing.member_lists import check_room, missing_grants
from fsclient.sharing.own_shares import OwnShare
from fsclient.sharing.share import Sharing
from fsclient.tree.nodes import TreeNode
from fsproto.errors import NotFoundError
from fsproto.keys.grants import Role
from fsproto.names import clean_group, clean_user

EXAMPLES = """\b
Examples:
  fsclient share reports alice         alice may read it, and later additions
  fsclient share inbox alice --write   … and may change it
  fsclient share reports @team         the present members of the group; you
                                       confirm the list
"""


@click.command(epilog=EXAMPLES)
@click.argument("path", metavar="REMOTE")
@click.argument("user", metavar="USER|@GROUP")
@click.option("--write", is_flag=True, help="Allow changes, too.")
@click.option("--yes", "-y", is_flag=True, help="Share with the members of a group without asking.")
@click.pass_obj
def command(app: App, path: str, user: str, *, write: bool, yes: bool) -> None:
    """Share a file or folder of yours with a user, who sees it as 'YOU:REMOTE'.

    Files added to a shared folder later are shared at once. The folder's key is sealed to the
    user's keys from the server's key log. Keys are pinned at first use; other keys are then
    rejected unless the pinned ones signed them. Compare safety numbers once: 'fsclient
    verify USER'.

    With @GROUP, the server names the members, you confirm them, and the folder is shared with
    exactly those. People who join the group later get access only when you share again;
    'fsclient shares' lists them.
    """
    group = clean_group(user[1:]) if user.startswith(SIGN) else None
    user = clean_user(user) if group is None else user
    place = app.path(path)
    role = Role.WRITER if write else Role.READER
    with app.session() as session:
        found = session.tree.find(place)
        if group is None:
            _share(app, session, found, user, role)
        else:
            _share_with_group(app, session, found, group, role, yes=yes)


def _share(app: App, session: Session, found: TreeNode, user: str, role: Role) -> None:
    changed, role, before = Sharing(session, app.ui).give(found, user, role)
    pin = session.people.pin_of(user)
    shown = _seen_as(session, found)
    if changed:
        less = before is not None and role < before
        may = "may only read" if less else _may(role)
        since = " from now on" if less else ""
        app.ui.say(f"{user} {may} '{found.path}'{since}, and sees it as '{shown}'.")
    else:
        app.ui.say(f"{user} {_may(role)} '{found.path}' already.")
    app.ui.result_of(
        path=str(found.path),
        user=user,
        role=role.name.lower(),
        changed=changed,
        compared=bool(pin and pin.compared),
        seen_as=shown,
    )


def _share_with_group(
    app: App, session: Session, found: TreeNode, group: str, role: Role, *, yes: bool
) -> None:
    sharing = Sharing(session, app.ui)
    sharing.check_place(found)
    sharing.check_role(found, role)
    share = sharing.of(found)
    everybody = candidates(session, group, share)
    if everybody:
        _show(app, group, everybody, asks=not yes)
    bundles = {one.user: one.bundle for one in everybody if one.bundle is not None}
    if not bundles:
        raise NotFoundError(
            f"There are no members of @{group} to share '{found.path}' with.",
            hint="People must have enrolled first." if everybody else None,
        )
    new = missing_grants(share, bundles, group, role)
    if new:
        check_room(found, share, new)
        who = listed(new)
        app.ui.confirm(f"Share '{found.path}' with {who} ({_may(role)})?", yes=yes)
        sharing.give_group(found, group, {user: bundles[user] for user in new}, role)
    shown = _seen_as(session, found)
    see = f"see{'s' if len(new or bundles) == 1 else ''} it as '{shown}'"
    who, already = listed(new or list(bundles)), "" if new else f" by @{group} already"
    app.ui.say(f"{who} {_may(role)} '{found.path}'{already}, and {see}.")
    more = [user for user in new or bundles if _by_another_way(share, user, group) > role]
    if more:
        app.ui.say(f"{listed(more)} may also change it, by another way: 'fsclient shares'.")
    app.ui.result_of(
        path=str(found.path),
        group=group,
        role=role.name.lower(),
        changed=bool(new),
        seen_as=shown,
        members=[_as_json(one, new) for one in everybody if one.bundle is not None],
        left_out=[one.user for one in everybody if one.bundle is None],
    )


def _by_another_way(share: OwnShare | None, user: str, group: str) -> int:
    """Return the role that a user has without this group; 0 if none."""
    ways = share.ways.get(user, {}) if share else {}
    return max((role for way, role in ways.items() if way != group), default=0)


def _as_json(one: Candidate, new: list[str]) -> dict[str, object]:
    return {
        "user": one.user,
        "new": one.user in new,
        "known": one.known,
        "compared": one.compared,
    }


def _show(app: App, group: str, everybody: list[Candidate], *, asks: bool) -> None:
    """Show the members of the group; also with --quiet if a question follows."""
    tell = app.ui.show if asks else app.ui.say
    width = max(len(one.user) for one in everybody)
    for line in [f"In @{group}:", *(f"  {one.user:{width}}  {one.note}" for one in everybody)]:
        tell(line)
    if any(one.bundle is not None and not one.compared for one in everybody):
        tell("To compare safety numbers with a person: 'fsclient verify NAME'.")


def _may(role: Role) -> str:
    return "may read and change" if role.name == "WRITER" else "may read"


def _seen_as(session: Session, found: TreeNode) -> str:
    return f"{session.identity.user}:{found.metadata.name}"
