"""The page that opens public links and request links, as one HTML file without any other part.

It is put together from the ES modules in `web/` without a bundler: each module becomes a function
that returns what it exports, in the order of the imports. Lines of comments, types and indentation
are left out, and the parts of libraries that nothing uses. Nothing else changes. So the same source
gives the same bytes on every machine, and a person can compare the page with the sources, or its
hash.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from pathlib import Path

_START = "page/main.js"
_LIBRARIES = "vendor/"
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
_DECLARED = re.compile(
    r"(?:export )?(?:async )?(?:function\*?|class|const|let) ([A-Za-z_$][\w$]*)", re.ASCII
)
_WORD = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
_MASKED = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`""",
    re.DOTALL,
)
"""Comments and strings."""


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
        f"worker-src blob:; script-src {_source(script)}; style-src {_source(style)}"
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
    modules: dict[str, str] = {}
    """The text of each module, by its path, in the order in which they run."""

    def add(path: str) -> None:
        text = _shortened((sources / path).read_text("utf-8"))
        for _, imported in _IMPORT.findall(text):
            if _resolved(path, imported) not in modules:
                add(_resolved(path, imported))
        modules[path] = text

    add(_START)
    modules = _without_unused(modules)
    names = {path: f"$m{number}" for number, path in enumerate(modules)}
    return "".join(_as_function(path, text, names) for path, text in modules.items())


def _shortened(text: str) -> str:
    """Return a module without what only readers of the source need; no text spans lines in it."""
    text = _TYPE.sub("", _DOCSTRING.sub("", text))
    text = _COMMENT.sub("", _INDENTATION.sub("", text))
    return _PASSED_ON.sub(r"import \1 from \2export \1;\n", text)


def _without_unused(modules: dict[str, str]) -> dict[str, str]:
    """Return the modules without declarations in libraries that nothing names.

    A declaration stays if its name occurs in any part that stays, in whatever meaning. One that is
    left out must not have side effects: this holds for the libraries in `web/vendor/`.
    """
    parts = {
        path: _parts(path, text) if path.startswith(_LIBRARIES) else [text]
        for path, text in modules.items()
    }
    waiting: dict[str, list[str]] = {}
    """Declarations in libraries that nothing has named yet, by their names."""
    named: list[str] = []
    for path, of_module in parts.items():
        for part in of_module:
            found = None
            if path.startswith(_LIBRARIES):
                found = _DECLARED.match(_MASKED.sub("", part).lstrip())
            if found is not None:
                waiting.setdefault(found[1], []).append(part)
            elif not part.startswith(("import {", "export {", "export default ")):
                named.append(part)
    while named:
        for word in set(_WORD.findall(_MASKED.sub("", named.pop()))):
            named += waiting.pop(word, [])
    unused = {part for of_name in waiting.values() for part in of_name}
    return {
        path: "".join(part for part in of_module if part not in unused)
        for path, of_module in parts.items()
    }


def _parts(path: str, text: str) -> list[str]:
    """Return the statements of a module, each with its line ends."""
    parts, part, depth = [], "", 0
    masked = _MASKED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for line, bare in zip(text.splitlines(keepends=True), masked.splitlines(), strict=True):
        part += line
        depth += sum(map(bare.count, "([{")) - sum(map(bare.count, ")]}"))
        if depth == 0 and (not part.strip() or bare.rstrip().endswith((";", "}"))):
            parts.append(part)
            part = ""
    if depth or part.strip():
        raise ValueError(f"{path}: not understood: {part[:80]}")
    return parts


def _resolved(path: str, imported: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), imported))


def _as_function(path: str, text: str, names: dict[str, str]) -> str:
    """Return a module as a function that runs once and returns its exports."""
    exported = _EXPORTED.findall(text)
    for listed in _LIST.findall(text):
        words = set(_WORD.findall(_LIST.sub("", text)))
        exported += [name.strip() for name in listed.split(",") if name.strip() in words]

    def bound(match: re.Match[str]) -> str:
        wanted = match[1].removeprefix("* as ").replace(" as ", ": ")
        return f"const {wanted} = {names[_resolved(path, match[2])]};\n"

    text = _IMPORT.sub(bound, text)
    text = _DEFAULT.sub("", _LIST.sub("", _EXPORTED.sub("", text)))
    if left := _LEFT.search(text):
        raise ValueError(f"{path}: not understood: {left[0]}")
    returned = f"return {{ {', '.join(exported)} }};\n"
    return f"\n// {path}\nconst {names[path]} = (() => {{\n{text}{returned}}})();\n"
