"""Settings for people: the page of the documentation, and the effective settings.

python -m fsd.settings.reference > docs/configuration.md
"""

from __future__ import annotations

import sys

from fsd.home.home import Home
from fsd.home.places import SYSTEM_HOME, default_home
from fsd.settings.load import Loaded
from fsd.settings.model import Settings
from fsd.settings.table import SETTINGS, Setting

_HEAD = """\
# Configuration

Every setting has a default; `fsd` runs without any configuration. To change a setting, write it
into `fsd.toml` in the server's data directory, or into the file that `--config FILE` (or
`FSD_CONFIG`) names:

```toml
listen = "0.0.0.0:65432"

[login]
session = "8 h"
```

The environment overrides the file, and the command line overrides both: `--set login.session=8h`,
or the option of that setting where there is one.

**Check the configuration** with `fsd --check-config`. It reports all errors at once and starts
nothing. Without errors, it prints every setting with its effective value and the source of the
value. The output is itself a valid configuration file, except that a password in the URL of the
database and the path in `hooks.url` are not shown.

fsd does not start with a misspelt setting or a value out of range. The error names the place, the
value and the allowed values.

`fsadmin` reads the same file, for the data directory and the database.

**Reload** with `systemctl reload fsd` (SIGHUP): fsd reads the file and the host key again. Settings
marked *at once* apply to connections from then on; existing connections keep their values. For
every other changed setting, the log says that the change waits for a restart. If the file contains
an error, nothing changes, and the log shows the error.

This page is generated from `fsd/settings/table.py`; a test checks that they agree.
"""
_SECTIONS = {
    "": ("The server", "These settings are at the top of the file, before all sections."),
    "login": ("`[login]`", "Sessions, and the throttle against guessing."),
    "door": ("`[door]`", "Time limits and connection limits of the listeners."),
    "blobs": (
        "`[blobs]`",
        "Place of large contents; see [Operations](operations.md#object-store).",
    ),
    "upload": ("`[upload]`", "Limits for the uploads of one user."),
    "hooks": ("`[hooks]`", "Delivery of events; see [Operations](operations.md#hooks)."),
    "web": ("`[web]`", "The web listener for [public links](public-links.md)."),
    "links": ("`[links]`", "Limits for public links."),
    "requests": ("`[requests]`", "Limits for [request links](public-links.md#request-links)."),
    "drops": ("`[drops]`", "Limits for drops: of the drop box, and of request links."),
}
_WIDTH = 34


def page() -> str:
    """Return the documentation of the settings, as Markdown."""
    defaults = Settings(Home(default_home() or SYSTEM_HOME))
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
        default = (
            "`~/.local/share/fsd`, or the equivalent of the operating system; `/var/lib/fsd` if "
            "only that exists"
        )
    else:
        default = f"`{setting.kind.show(setting.of(defaults))}`"
    reload = "at once" if setting.reloads else "after a restart"
    return (
        f"### `{setting.name}`\n\n{setting.help}\n\n"
        f"- default: {default}\n- allowed: {setting.kind.allowed}\n"
        f"- environment variable: `{setting.variable}`\n- a change applies: {reload}\n"
    )


def in_force(loaded: Loaded) -> str:
    """Return all settings in the format of the file, each with the source of its value."""
    lines: list[str] = []
    before = ""
    for setting in SETTINGS:
        section, _, key = setting.name.rpartition(".")
        if section != before:
            lines += ["", f"[{section}]"]
            before = section
        value = setting.kind.show(setting.of(loaded.settings))
        start = "# " if setting.name == "home" else ""  # forbidden in a file there
        where = loaded.sources.get(setting.name, "default")
        lines.append(f"{start}{key} = {value}".ljust(_WIDTH) + f"  # {where}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page())
