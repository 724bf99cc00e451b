"""Settings as people read them: the page of the documentation, and what is in force.

python -m fsd.settings.reference > docs/configuration.md
"""

from __future__ import annotations

import sys

from fsd.home.home import Home, default_home
from fsd.settings.load import Loaded
from fsd.settings.model import Settings
from fsd.settings.table import SETTINGS, Setting

_HEAD = """\
# Configuration

Everything has a default; `fsd` alone is a whole server. What is to be otherwise stands in
`fsd.toml` in the server's home, or in the file that `--config FILE` (or `FSD_CONFIG`) names:

```toml
listen = "0.0.0.0:65432"

[login]
session = "8 h"
```

The environment goes above the file, and the command line above both: `--set login.session=8h`, or
an option of its own where there is one. A setting that is misspelt or out of range keeps the server
from starting; what is said names the place, the value and what is allowed. `fsd --check-config`
tells of everything that is wrong at once and starts nothing. If nothing is, it shows every setting
as it is in force, with where it comes from; what it prints is itself such a file, but for
a password in the URL of the database, which is not shown.

`fsadmin` reads the same file, for the home and the database.

**SIGHUP** (`systemctl reload fsd`) has the file read again, and the host key. What is marked *at
once* counts for connections from then on; those there are keep what they began with. Of everything
else that has changed the log says that it waits for a restart. A file with something wrong in it
changes nothing, and the log says what is wrong.

This page is made from the table in `fsd/settings/table.py`; a test holds one to the other.
"""
_SECTIONS = {
    "": ("The server", "At the top of the file, above all sections."),
    "login": ("`[login]`", "Sessions, and what is held against guessing."),
    "door": ("`[door]`", "How long is waited for what."),
    "upload": ("`[upload]`", "How much one person may have on its way."),
    "drops": (
        "`[drops]`",
        "What may be dropped, where `drop_box` allows it, and how long it waits.",
    ),
}
_WIDTH = 34


def page() -> str:
    """Return the documentation of all settings, as Markdown."""
    defaults = Settings(Home(default_home()))
    sections: dict[str, list[Setting]] = {}
    for setting in SETTINGS:
        sections.setdefault(setting.name.rpartition(".")[0], []).append(setting)
    parts = [_HEAD]
    for section, settings in sections.items():
        title, about = _SECTIONS.get(section, (f"`[{section}]`", ""))
        parts += [f"\n## {title}\n\n{about}\n", *(_entry(one, defaults) for one in settings)]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _entry(setting: Setting, defaults: Settings) -> str:
    if setting.name == "home":
        default = "`~/.local/share/fsd`, or what the system has in its place"
    else:
        default = f"`{setting.kind.show(setting.of(defaults))}`"
    reload = "at once" if setting.reloads else "after a restart"
    return (
        f"### `{setting.name}`\n\n{setting.help}\n\n"
        f"- default: {default}\n- allowed: {setting.kind.allowed}\n"
        f"- in the environment: `{setting.variable}`\n- a change counts: {reload}\n"
    )


def in_force(loaded: Loaded) -> str:
    """Return all settings as a file would have them, with where each comes from."""
    lines: list[str] = []
    before = ""
    for setting in SETTINGS:
        section, _, key = setting.name.rpartition(".")
        if section != before:
            lines += ["", f"[{section}]"]
            before = section
        value = setting.kind.show(setting.of(loaded.settings))
        start = "# " if setting.name == "home" else ""  # a file in the home may not name it
        where = loaded.sources.get(setting.name, "default")
        lines.append(f"{start}{key} = {value}".ljust(_WIDTH) + f"  # {where}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page())
