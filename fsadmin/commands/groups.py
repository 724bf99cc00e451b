"""Commands to manage groups and their members."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fsadmin import output
from fsadmin.context import Admin, common_options, yes_option
from fskit.text import count_text

if TYPE_CHECKING:
    from fsd.services.accounts.groups import GroupView
    from fsd.store.repos.groups import GroupMembership


@click.command("add-group", short_help="Create a group.")
@click.argument("name")
@click.option("--note", default="", metavar="TEXT", help="Note for administrators.")
@common_options
@click.pass_obj
def add_group(admin: Admin, *, name: str, note: str) -> None:
    """Create a group, so that users can share with all its members: 'fsclient share x @NAME'.

    Joining a group gives no access until an owner shares again: the owner sees the members,
    confirms them, and the share is sealed to exactly those. Every logged-in user can list the
    members by the name of the group.
    """
    with admin.groups() as groups:
        made = groups.add(name, note)
    admin.answer(
        _as_json(made),
        lambda: f"There is a group {name} now; 'fsadmin add-member {name} NAME' puts people in.",
    )


@click.command("remove-group", short_help="Remove a group; existing shares stay.")
@click.argument("name")
@yes_option
@common_options
@click.pass_obj
def remove_group(admin: Admin, *, name: str, yes: bool) -> None:
    """Remove a group. Asks first.

    Its members keep their accounts and what was shared with them through the group; only the
    owner of a share can end it, with 'fsclient unshare x @NAME'.
    """
    with admin.groups() as groups:
        count = len(groups.show(name).members)
        admin.confirm(f"Remove the group {name} ({_people(count)} in it)?", yes=yes)
        groups.remove(name)
    admin.answer({"group": name, "removed": True}, lambda: f"The group {name} was removed.")


@click.command("list-groups", short_help="Show all groups.")
@common_options
@click.pass_obj
def list_groups(admin: Admin) -> None:
    """Show all groups, one on each line, with the number of members and the note."""
    with admin.groups() as groups:
        everything = groups.everything()

    def text() -> str:
        if not everything:
            return "There are no groups yet; 'fsadmin add-group NAME' makes one."
        rows = [(one.name, str(len(one.members)), one.note) for one in everything]
        return output.table(("NAME", "PEOPLE", "NOTE"), rows, right=("PEOPLE",))

    admin.answer([_as_json(one) for one in everything], text)


@click.command("show-group", short_help="Show the members of a group.")
@click.argument("name")
@common_options
@click.pass_obj
def show_group(admin: Admin, *, name: str) -> None:
    """Show the members of a group, and whether each can receive shares."""
    with admin.groups() as groups:
        shown = groups.show(name)
    admin.answer(_as_json(shown), lambda: _described(shown))


@click.command("add-member", short_help="Add users to a group.")
@click.argument("group")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@common_options
@click.pass_obj
def add_member(admin: Admin, *, group: str, names: tuple[str, ...]) -> None:
    """Add users to a group: all of them, or none if one of them cannot be added.

    The new members get access to existing shares of the group only when the owner shares again;
    'fsclient shares' shows this to the owner.
    """
    with admin.groups() as groups:
        shown = groups.add_members(group, names)
    admin.answer(_as_json(shown), lambda: f"{_listed(names)}: now in {_counted(shown)}.")


@click.command("remove-member", short_help="Remove users from a group.")
@click.argument("group")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@common_options
@click.pass_obj
def remove_member(admin: Admin, *, group: str, names: tuple[str, ...]) -> None:
    """Remove users from a group: all of them, or none if one of them is not in it.

    They keep their access to existing shares until the owner ends it; 'fsclient shares' shows
    this to the owner. To lock a user out at once, use 'fsadmin disable-user'.
    """
    with admin.groups() as groups:
        shown = groups.remove_members(group, names)
    admin.answer(_as_json(shown), lambda: f"{_listed(names)}: no longer in {_counted(shown)}.")


def _as_json(group: GroupView) -> dict[str, object]:
    return {
        "group": group.name,
        "note": group.note,
        "created_ms": group.created_ms,
        "members": [
            {
                "user": one.user,
                "enrolled": one.enrolled,
                "disabled": one.disabled,
                "expired": one.expired,
            }
            for one in group.members
        ],
    }


def _people(count: int) -> str:
    return count_text(count, "person", "people")


def _counted(group: GroupView) -> str:
    return f"the group {group.name} ({_people(len(group.members))})"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(dict.fromkeys(names))


def _state(one: GroupMembership) -> str:
    words = ["enrolled" if one.enrolled else "not enrolled"]
    words += ["disabled"] if one.disabled else []
    return ", ".join(words + (["expired"] if one.expired else []))


def _described(group: GroupView) -> str:
    facts = [
        ("Group", group.name),
        ("Note", group.note or "-"),
        ("Made", output.day(group.created_ms)),
        ("People", str(len(group.members))),
    ]
    rows = [(one.user, _state(one)) for one in group.members]
    table = ["", output.table(("NAME", "STATE"), rows, right=())] if rows else []
    return "\n".join([output.facts(facts), *table])
