"""Downloads of public links, beside a plain get: with the program, and with a browser."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from pathlib import Path

from bench import limits, servers
from bench.chromium import Chromium, chromium
from bench.lab import Lab, same, telling
from bench.measure import Comparison, FailedError, rounds, run
from bench.plan import size_of
from bench.servers import LOOPBACK, Fsd, MissingError

_REMOTE = "linked"


def links(lab: Lab) -> None:
    """Get one file by its path, by a link, and by a link in a browser."""
    with contextlib.ExitStack() as stack:
        work = lab.folder("links")
        web = f"{LOOPBACK}:{_free_port()}"
        options = ("--web-listen", web, "--set", f"web.url=http://{web}")
        server = stack.enter_context(servers.fsd(work, options=options))
        try:
            browser = stack.enter_context(chromium(work / "chromium"))
        except MissingError as error:
            browser = None
            lab.skip("links in a browser", error)
        _links(lab, work, server, browser)


def _links(lab: Lab, work: Path, server: Fsd, browser: Chromium | None) -> None:
    size = lab.plan.linked
    source, back = lab.random_file("linked.bin", size), work / "back"
    run(server.client("put", source, _REMOTE), env=server.env)
    url = _made_link(server)
    title = f"Get one file of {size_of(size)}, by path and by link"
    found = Comparison("links", title, "MB/s", size / 1e6)
    found.ours, found.limit = "by path", limits.large(lab.limits)[1]
    commands = {
        "by path": server.client("get", _REMOTE, back),
        "by link": server.client("get", url, back),
    }

    def program(name: str) -> None:
        found.row(name).samples.append(run(commands[name], env=server.env, server=server.pid))
        if not same(source, back):
            raise FailedError(f"{name}: received bytes differ from sent bytes")
        back.unlink()

    def page(*, to_disk: bool) -> None:
        if browser is not None:
            name = f"by link, Chromium, {'to its disk' if to_disk else 'to memory'}"
            found.row(name).samples.append(browser.download(url, size, to_disk=to_disk))

    turns = [
        lambda: program("by path"),
        lambda: program("by link"),
        lambda: page(to_disk=False),
        lambda: page(to_disk=True),
    ]
    rounds(lab.plan.rounds, turns, telling(title))
    found.rows.sort(key=lambda row: (row.name != found.ours, row.name))
    lab.comparisons.append(found)
    source.unlink()


def _made_link(server: Fsd) -> str:
    done = subprocess.run(
        [*server.client("link", _REMOTE), "--json"],
        env=server.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise FailedError(f"fsclient link: {done.stderr}")
    return str(json.loads(done.stdout)["url"])


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        return int(sock.getsockname()[1])
