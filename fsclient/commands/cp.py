"""`fsclient cp`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.commands.options import Choices, choosing, progress_option
from fsclient.operations.copy import CopyOperation
from fsclient.operations.move import target_of
from fsclient.operations.wildcards import Places, expanded
from fsclient.transfer.options import TransferOptions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.tree.nodes import TreeNode
from fsproto.errors import UsageError

EXAMPLES = """\b
Examples:
  fsclient cp draft.txt final.txt          another name
  fsclient cp a.txt b.txt archive/         into an existing folder
  fsclient cp -r alice:project mine/       a shared folder, into your own tree
  fsclient cp 'photos/*.jpg' bob:photos/   into a folder that bob shares
"""


@click.command(epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="REMOTE… REMOTE")
@click.option("-r", "recursive", is_flag=True, help="Copy folders with everything in them.")
@click.option("-f", "force", is_flag=True, help="Replace files that are in the way.")
@choosing
@progress_option
@click.pass_obj
def command(
    app: App,
    paths: tuple[str, ...],
    *,
    recursive: bool,
    force: bool,
    choices: Choices,
    progress_wanted: str,
) -> None:
    """Copy remote files and folders to another remote place.

    The last path is the target: the others go into it if it is a folder or ends in '/', else
    the copy gets that name. Folders are merged with existing ones. A file replaces an existing
    one only with -f, as its next version. Times, the execute bit and symbolic links are kept;
    history and shares are not copied. Quoted wildcards match remote names.

    A copy has new keys: access to the original gives no access to the copy, and the reverse. For
    that, this machine receives the content, opens it, and seals it again, which takes the time of
    a 'get' and a 'put'. Nothing is stored on the local disk. After a lost connection, the command
    reconnects; a large file then starts over.
    """
    if len(paths) < 2:  # noqa: PLR2004 - what and where to
        raise UsageError("Give what to copy and the target: fsclient cp REMOTE REMOTE")
    *wanted, target = map(app.path, paths)
    failures, actions = Failures(app.ui), choices.actions(app.ui)
    with (
        app.transfer(bandwidth=choices.bandwidth) as session,
        Progress(app.ui, "copy", "copied", progress_wanted) as progress,
    ):
        places = expanded(session.tree, wanted, failures)
        folder, name = target_of(session.tree, target, several=len(places) > 1)
        sources: list[TreeNode] = []
        chosen = Places(session.tree)
        for path in places:
            if chosen.have(path):
                continue  # it is copied with its folder
            with failures.noted():
                found = session.tree.find(path)
                if found.is_folder and not recursive:
                    raise UsageError(f"'{path}' is a folder.", hint="Give -r to copy it whole.")
                sources.append(found)
                chosen.add(path)
        rules = TransferOptions(choices.filters)
        task = TransferRun(session.caching(), progress, failures, actions, rules)
        CopyOperation(task, app.another_session, app.ui, force=force).run(sources, folder, name)
    if not choices.dry_run:
        where = f"as {folder.path.child(name)}" if name else f"into {folder.path}/"
        progress.tell(where if name or folder.path.parts else "", failed=len(failures))
    actions.tell()
    app.ui.result_of(**progress.totals(), **actions.result(), failed=failures.data)
    failures.raise_if_any()
