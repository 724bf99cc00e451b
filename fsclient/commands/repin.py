"""`fsclient repin LINK`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.argument("link")
@click.pass_obj
def command(app: App, link: str) -> None:
    """Expect the server where, and with the host key that, a new link says.

    For a server that has moved to another address, or whose host key was replaced without a word
    from the old one. LINK must come from your administrator over a way you trust: whoever can
    make you expect their key can sit in the middle. Your identity, and what you have seen of your
    files, stay as they are; nothing is sent.
    """
    from fsproto.errors import NotAllowedError
    from fsproto.link import parse_link

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
