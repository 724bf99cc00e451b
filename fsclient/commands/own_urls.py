"""How `links` and `requests` print the user's own URLs."""

from __future__ import annotations

from collections.abc import Sequence

from fsclient.app import App
from fsclient.links.own_list import Own


def show(app: App, known: Sequence[Own], data: object, lines: list[str], nothing: str) -> None:
    """Print a list, or the sentence `nothing`; end with the status of records that do not open."""
    app.ui.result(data, lines)
    if not known:
        app.ui.say(nothing)
    errors = [one.error for one in known if one.error is not None]
    for error in errors:
        app.ui.complain(error)
    if errors:
        raise SystemExit(errors[0].exit_status)
