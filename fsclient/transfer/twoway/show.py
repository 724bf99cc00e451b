"""The plan of a two-way sync as actions, for `--dry-run`."""

from __future__ import annotations

import os

from fsclient.transfer.report import actions as what
from fsclient.transfer.report.actions import Actions
from fsclient.transfer.twoway.plan import Do, Plan, Step
from fsclient.transfer.twoway.sides import Sides
from fsproto.names import RemotePath


def show(found: Plan, sides: Sides, remote: RemotePath, actions: Actions) -> None:
    """Note each step of a plan, in the order in which a run would do them."""
    order = list(Do)
    renamed = {step.to: step.path for step in found.all(Do.RENAME_HERE)}
    for step in sorted(found.steps, key=lambda step: order.index(step.do)):
        here = sides.local.get(renamed.get(step.path, step.path))
        there = sides.remote.get(step.path)
        local, far = str(sides.place(step.path)), str(_remote(remote, step.path))
        match step.do:
            case Do.RENAME_HERE:
                actions.note(what.RENAME, f"{local} to {_name(step)}", side=what.LOCAL)
            case Do.RENAME_THERE:
                actions.note(what.RENAME, f"{far} to {_name(step)}", side=what.REMOTE)
            case Do.MAKE_HERE:
                actions.note(what.MAKE_FOLDER, f"{local}{os.sep}", side=what.LOCAL)
            case Do.MAKE_THERE:
                actions.note(what.MAKE_FOLDER, f"{far}/", side=what.REMOTE)
            case Do.PUT:
                actions.note(
                    what.REPLACE if there else what.PUT,
                    far,
                    here.size if here else None,
                    side=what.REMOTE,
                )
            case Do.GET:
                stays = here is not None and step.path not in renamed.values()
                size = there.size if there else None
                actions.note(what.REPLACE if stays else what.GET, local, size, side=what.LOCAL)
            case Do.REMOVE_HERE:
                actions.note(what.REMOVE, local if here else f"{local}{os.sep}", side=what.LOCAL)
            case Do.REMOVE_THERE:
                actions.note(what.REMOVE, far if there else f"{far}/", side=what.REMOTE)


def _remote(top: RemotePath, relative: str) -> RemotePath:
    for name in relative.split("/"):
        top = top.child(name)
    return top


def _name(step: Step) -> str:
    return step.to.rpartition("/")[2]
