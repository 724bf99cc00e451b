"""The present entries of a folder, from its stored listing and the state that the server shows.

The state is verified like that of a listing, so an older one is an alarm. It proves the entries, as
it did when they were stored. What this device has seen of an entry since counts as well: a newer
version of it, in another folder for example, is an alarm as it is for a listing.
"""

from __future__ import annotations

from fsclient.tree.contents import FolderContents
from fsclient.tree.context import TreeContext
from fsclient.tree.nodes import TreeNode, seen_manifest, seen_state
from fsclient.tree.stored_listings import StoredListings
from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.signed import Signed


def stored_contents(
    context: TreeContext, stored: StoredListings, folder: TreeNode, signed: Signed, mark: int
) -> FolderContents | None:
    """Return the contents of a folder in the state `signed`; None if it has to be listed.

    `mark` is the memory's from before the server was asked. Raises what a listing raises.
    """
    state = context.authors.state(signed, folder.keyed)
    context.check_heads([state.body.log_head])
    sighting = seen_state(state)
    known = context.memory.has(sighting)
    now = context.check_present([sighting], mark)
    found = stored.load(folder, state)
    if found is None:
        return None
    manifests = [one.manifest for one in found.nodes]
    context.check_heads({one.body.log_head for one in manifests})
    context.authors.prepare(folder.keyed.node, manifests)
    if not (known and found.mark == now):  # something was seen since, perhaps of an entry
        now = context.check_present(map(seen_manifest, manifests), mark)
        stored.note_checked(folder, state, now)
    try:
        for one in found.nodes:
            if one.is_folder:
                context.note_folder(one)
    except (IntegrityError, RemoteProtocolError):
        return None  # a listing refuses such an entry alone
    return FolderContents(found.nodes, [])
