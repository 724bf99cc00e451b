"""Write the tables of docs/json.md from the fields that the two programs declare.

python -m scripts.json_page
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import fsadmin.results
import fsclient.results.table

PAGE = Path(__file__).parent.parent / "docs" / "json.md"


def page() -> str:
    """Return the text of docs/json.md with new tables."""
    text = PAGE.read_text("utf-8")
    for program, results, without in (
        ("fsclient", fsclient.results.table.RESULTS, fsclient.results.table.WITHOUT),
        ("fsadmin", fsadmin.results.RESULTS, fsadmin.results.WITHOUT),
    ):
        start, end = f"<!-- fields of {program} -->\n", f"<!-- end of {program} -->\n"
        names = ", ".join(f"`{name}`" for name in without)
        tables = [f"Without a JSON result: {names}.\n"]
        for commands, fields in _grouped(results):
            title = ", ".join(f"`{name}`" for name in commands)
            rows = "".join(f"| `{name}` | {what} |\n" for name, what in fields.items())
            tables.append(f"### {title}\n\n| field | |\n|---|---|\n{rows}")
        before, _, rest = text.partition(start)
        text = before + start + "\n".join(tables) + end + rest.partition(end)[2]
    return text


def _grouped(
    results: Mapping[str, Mapping[str, str]],
) -> list[tuple[list[str], Mapping[str, str]]]:
    """Return the fields of each result once, with all commands that have exactly these."""
    groups: list[tuple[list[str], Mapping[str, str]]] = []
    for name, fields in results.items():
        for commands, known in groups:
            if known == fields:
                commands.append(name)
                break
        else:
            groups.append(([name], fields))
    return groups


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
