"""`fsclient shares`."""

from __future__ import annotations

from dataclasses import asdict
from shlex import quote
from typing import Any

import click

from fsclient.app import App
from fsclient.session.session import Session
from fsclient.sharing.groups import current_members, group_changes, groups_of, listed
from fsclient.sharing.own_shares import OwnShare
from fsclient.sharing.share import Sharing
from fsclient.transfer.report.failures import Failures
from fsclient.tree.contents import RefusedShare
from fsclient.tree.nodes import TreeNode
from fsproto.keys.member_list import ALONE
from fsproto.names import for_terminal

SHOWN_OF_ONE = 20
"""Shares of one other user that are opened and shown; each takes more than a millisecond."""


@click.command()
@click.argument("path", required=False, metavar="[REMOTE]")
@click.option("--all", "whole", is_flag=True, help="Show everything that others share.")
@click.pass_obj
def command(app: App, path: str | None, *, whole: bool) -> None:
    """Show what you share with whom, and what others share with you.

    For each other user, it shows up to 20 files and folders; --all shows all. 'fsclient block
    USER' refuses the shares of a user.

    With REMOTE: all users with access to it, by its own share or by that of a folder above it.
    Members who rotated their keys are re-encrypted to automatically. For groups, it lists new
    members who do not have access yet and former members who still do.
    """
    failures = Failures(app.ui)
    with app.session(renews=path is not None) as session:
        sharing = Sharing(session, app.ui)
        if path is not None:
            found = session.tree.find(app.path(path))
            sharing.own().check(found)
            own = [share for share in sharing.own().shares if share.shows(found)]
            data = {"by_me": _by_me(session, own)}
        else:
            for left in sharing.refresh():
                failures.note(left.failure)
            for lost in sharing.own().lost:
                failures.note(lost.error)
            data = {
                "by_me": _by_me(session, sharing.own().shares),
                "lost": [one.data for one in sharing.own().lost],
                **_with_me(session, failures, None if whole else SHOWN_OF_ONE),
            }
    app.ui.result(data, _lines(data, whole=path is None))
    failures.raise_if_any()


def _by_me(session: Session, own: list[OwnShare]) -> list[dict[str, Any]]:
    now = current_members(session, groups_of(own))
    return [_own_data(session, one, now) for one in own if one.members.body.members]


def _own_data(
    session: Session, share: OwnShare, now: dict[str, list[str] | None]
) -> dict[str, Any]:
    people, ways = session.people, share.members.all_ways()
    return {
        "path": str(share.found.path),
        "members": [
            {
                "user": one.user,
                "role": one.role.name.lower(),
                "compared": bool((pin := people.pin_of(one.user)) and pin.compared),
                "state": _state(session, share, one.user, one.ed25519),
                "alone": ALONE in ways[one.user],
                "groups": sorted(ways[one.user].keys() - {ALONE}),
            }
            for one in share.members.body.members
        ],
        "groups": [asdict(one) for one in group_changes(share, now, people)],
    }


def _state(session: Session, share: OwnShare, user: str, ed25519: bytes) -> str:
    if user in share.left:
        return "left"
    return "ok" if session.people.is_current(user, ed25519) else "keys changed"


def _with_me(session: Session, failures: Failures, most: int | None) -> dict[str, Any]:
    me, found = session.identity.user, list[dict[str, Any]]()
    opened, more = session.tree.shared.everything(most)
    for one in opened:
        if isinstance(one, RefusedShare):
            failures.note(one.error)
            found.append(_shared_data(one.owner, None, None, "refused"))
            continue
        members, top = one
        member = members.member(me)
        role = member.role.name.lower() if member else None
        state = "ok" if top else "sealed to keys you had before"
        found.append(_shared_data(members.body.owner, top, role, state))
    return {"with_me": found, "more": more}


def _shared_data(owner: str, top: TreeNode | None, role: str | None, state: str) -> dict[str, Any]:
    path, kind = (str(top.path), top.kind) if top else (None, None)
    return {"owner": owner, "path": path, "kind": kind, "role": role, "state": state}


def _lines(data: dict[str, Any], *, whole: bool) -> list[str]:
    lines = ["Shared by you:"] if whole else []
    for share in data["by_me"]:
        for one in share["members"]:
            notes = [one["role"]]
            notes += [f"by {_groups(one)}"] if one["groups"] else []
            notes += [*([] if one["compared"] else ["keys not compared"])]
            notes += [one["state"]] if one["state"] != "ok" else []
            lines.append(f"  {share['path']}  {one['user']} ({', '.join(notes)})")
        for group in share["groups"]:
            lines += [f"  {share['path']}  {told}" for told in _of_group(share["path"], group)]
    if not data["by_me"]:
        lines.append("  nothing" if whole else "Nobody but you can see it.")
    if whole:
        lines += ["Shared with you:"]
        for one in data["with_me"]:
            shown = one["path"] or f"{for_terminal(one['owner'])}: something"
            notes = [one["role"]] if one["role"] else []
            notes += [one["state"]] if one["state"] != "ok" else []
            note = ", ".join(notes)
            lines.append(f"  {shown}{'/' if one['kind'] == 'folder' else ''}  ({note})")
        if not data["with_me"]:
            lines.append("  nothing")
        lines += [
            f"  {for_terminal(owner)}: more; 'fsclient shares --all' shows them"
            for owner in data["more"]
        ]
    return lines


def _groups(member: dict[str, Any]) -> str:
    ways = [f"@{group}" for group in member["groups"]]
    return " and ".join([*ways, *(["alone"] if member["alone"] else [])])


def _of_group(path: str, group: dict[str, Any]) -> list[str]:
    """Return the lines about a group that has changed since the share was given."""
    name, lines = f"@{group['group']}", []
    if not group["exists"]:
        lines.append(f"{name} no longer exists; its former members keep access until you unshare")
    if group["waiting"]:
        who = listed(group["waiting"])
        write = " --write" if group["writes"] else ""
        has = "is in" if len(group["waiting"]) == 1 else "are in"
        lines.append(
            f"{who} {has} {name} now and cannot see it: "
            f"'fsclient share {quote(path)} {name}{write}' to let them in"
        )
    lines += [
        f"{user} is not in {name} any more and still has it: "
        f"'fsclient unshare {quote(path)} {user}' to take it away"
        for user in group["gone"]
    ]
    if group["not_enrolled"]:
        lines.append(f"{listed(group['not_enrolled'])} in {name} must enrol first")
    return lines
