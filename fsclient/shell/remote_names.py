"""Names for completion: of a remote folder, of groups, and of people; never a question or error."""

from __future__ import annotations

from contextlib import closing

from fsclient.app import App
from fsproto.errors import FsError


def remote_names(app: App, folder: str) -> list[str]:
    """Return the names in a remote folder, folders with a `/`; empty if it cannot be listed."""
    try:
        with app.session_at_hand() as session:
            tree = session.tree.listing()
            found = tree.find(app.path(folder or "."))
            inside = tree.children(found).nodes if found.is_folder else []
            names = [one.path.name + ("/" if one.is_folder else "") for one in inside]
            if not folder:
                names += [f"{owner}:" for owner in tree.shared.owners()]
            return names
    except FsError:
        return []


def group_names(app: App) -> list[str]:
    """Return the groups in the user's shares, because the server does not list groups."""
    from fsclient.sharing.groups import groups_of
    from fsclient.sharing.own_shares import own_shares

    try:
        with app.session_at_hand() as session:
            return groups_of(own_shares(session.tree).shares)
    except FsError:
        return []


def people_names(app: App) -> list[str]:
    """Return the people whose keys this profile has used; nothing is sent."""
    from fsclient.trust.pins import PinStore

    try:
        if not app.profile.people.exists():
            return []
        with closing(PinStore(app.profile.people)) as store:
            return sorted(one.user for one in store.pins())
    except FsError:
        return []
