"""The page that opens public links and request links, as one HTML file without any other part.

It is put together from the ES modules in `web/` without a bundler: each module becomes a function
that returns what it exports, in the order of the imports. Lines of comments, types and indentation
stay behind: a third of the size. Nothing else changes. So the same source gives the same bytes on
every machine, and a person can compare the page with the sources, or its hash.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from pathlib import Path

_START = "page/main.js"
_IMPORT = re.compile(r'^import (\{[^}]*\}|\* as \w+) from "([^"]+)";\n', re.MULTILINE)
_EXPORTED = re.compile(
    r"^export (?=(?:async )?(?:function\*?|class|const|let) ([A-Za-z_$][\w$]*))", re.MULTILINE
)
_LIST = re.compile(r"^export \{([^}]*)\};?\n", re.MULTILINE)
_DEFAULT = re.compile(r"^export default \w+;\n", re.MULTILINE)
"""No module imports one."""
_PASSED_ON = re.compile(r'^export (\{[^}]*\}) from ("[^"]+";\n)', re.MULTILINE)
_DOCSTRING = re.compile(r"^[ \t]*/\*\*.*?\*/\n", re.MULTILINE | re.DOTALL)
_TYPE = re.compile(r"/\*\* @type .*?\*/ ?")
_INDENTATION = re.compile(r"^[ \t]+", re.MULTILINE)
_COMMENT = re.compile(r"^//.*\n", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def _find_sources() -> Path:
    """Return the folder of the page's sources: inside the installed package, or in the checkout."""
    package = Path(__file__).parent
    inside = package / "web"
    return inside if inside.is_dir() else package.parent / "web"


def made_page() -> bytes:
    """Return the page: HTML with its style and its script, which its policy names by their hashes.

    `ValueError` for a module that this does not understand.
    """
    sources = _find_sources()
    style = (sources / "page" / "page.css").read_text("utf-8")
    script = _script(sources)
    if "</script" in script.lower() or "</style" in style.lower():
        raise ValueError("the script or style would end its element")
    # A page from another place, or from a disk, must reach the server that the link names.
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        "connect-src 'self' https: http://127.0.0.1:* http://localhost:*; "
        f"script-src {_source(script)}; style-src {_source(style)}"
    )
    html = (sources / "page" / "page.html").read_text("utf-8")
    for name, value in (("csp", policy), ("style", style), ("script", script)):
        html = html.replace("{{" + name + "}}", value)
    return html.encode()


def page_hash(made: bytes) -> str:
    """Return the SHA-256 of a page as hex digits, as `sha256sum` prints it."""
    return hashlib.sha256(made).hexdigest()


def _source(text: str) -> str:
    """Return how a policy names an inline script or style (CSP level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _script(sources: Path) -> str:
    names: dict[str, str] = {}
    """The function of each module, by its path, in the order in which they run."""
    parts: list[str] = []

    def add(path: str) -> str:
        if path not in names:
            text = _shortened((sources / path).read_text("utf-8"))
            for _, imported in _IMPORT.findall(text):
                add(_resolved(path, imported))
            names[path] = f"$m{len(names)}"
            parts.append(_as_function(path, text, names))
        return names[path]

    add(_START)
    return "".join(parts)


def _shortened(text: str) -> str:
    """Return a module without what only readers of the source need; no text spans lines in it."""
    text = _TYPE.sub("", _DOCSTRING.sub("", text))
    text = _COMMENT.sub("", _INDENTATION.sub("", text))
    return _PASSED_ON.sub(r"import \1 from \2export \1;\n", text)


def _resolved(path: str, imported: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), imported))


def _as_function(path: str, text: str, names: dict[str, str]) -> str:
    """Return a module as a function that runs once and returns its exports."""
    exported = _EXPORTED.findall(text)
    for listed in _LIST.findall(text):
        exported += [name.strip() for name in listed.split(",") if name.strip()]

    def bound(match: re.Match[str]) -> str:
        wanted = match[1].removeprefix("* as ").replace(" as ", ": ")
        return f"const {wanted} = {names[_resolved(path, match[2])]};\n"

    text = _IMPORT.sub(bound, text)
    text = _DEFAULT.sub("", _LIST.sub("", _EXPORTED.sub("", text)))
    if left := _LEFT.search(text):
        raise ValueError(f"{path}: not understood: {left[0]}")
    returned = f"return {{ {', '.join(exported)} }};\n" if exported else ""
    return f"\n// {path}\nconst {names[path]} = (() => {{\n{text}{returned}}})();\n"
