"""`fsclient repin LINK`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsproto.errors import NotAllowedError
from fsproto.link import parse_link


@click.command()
@click.argument("link")
@click.pass_obj
def command(app: App, link: str) -> None:
    """Trust the address and the host key of a new link.

    Use it when the server has moved, or when its host key was replaced without a signature of
    the old key. LINK must come from your administrator in a way that you trust: a false link
    lets an attacker impersonate the server. Your identity and the versions that you have seen
    stay. Nothing is sent.
    """
    expected = parse_link(link)
    before = app.profile.facts().link
    if expected.user != before.user:
        raise NotAllowedError(
            f"That link is for {expected.user}, and this profile is {before.user}'s.",
            hint="Choose another one with --profile NAME.",
        )
    app.profile.expect(expected)
    app.ui.say(f"{expected.address} with the host key {expected.host_key} is expected from now on.")
    app.ui.result_of(
        server=str(expected.address), host_key=expected.host_key, before=before.host_key
    )
