"""Find riddles: wording that a reader has to read twice, in documents, help, errors and log lines.

    python scripts/check_words.py [FILE …]

Checks the documents and every sentence that a program can print. Each finding names the file, the
line and what to write instead. Exit status 1 if there is any.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAMS = ("fsproto/", "fskit/", "fsd/", "fsadmin/", "fsclient/")

RULES = [
    (r"\bwhoever\b|(?:^|[.;:] )Who (?:has|gives|gets|asks|lost|is|was)\b(?![^.]*\?)", "the role"),
    (r"\b(?:is|are|was|were|be) told\b", "'is notified', 'is reported', or name what reports"),
    (r"\btells? of\b", "'reports'"),
    (r"\b(?:go|goes|going|went|gone) on with\b", "'resume' or 'continue'"),
    (r"\b(?:is|are|has|have|can|may) no more\b", "'no longer'"),
    (r"\bone's own\b", "'the user's' or 'its own'"),
    (r"\btakes? (?:its|their) leave\b", "'is removed'"),
    (r"\bbeg(?:ins|an|un)\b", "'starts' or 'started'"),
    (r"\bso is (?:one|it)\b", "what is so"),
    (r"\bbehind it\b|\bbeside them\b", "'after', 'next to', or name the thing"),
    (r"\banew\b", "'again'"),
    (r"\blets? in\b", "'accepts' or 'logs in'"),
    (r"\bturned away\b", "'rejected'"),
    (r"\bthe (?:SSH |native )?doors?\b", "'listener'"),
]
"""What not to write, and what to write instead."""
_COMPILED = [(re.compile(pattern), instead) for pattern, instead in RULES]


def _document_lines(text: str) -> Iterator[tuple[int, str]]:
    """Give the prose of a Markdown document: no code blocks, no code in backticks."""
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith("    "):
            yield number, re.sub(r"`[^`]*`", "", line)


def _is_command(node: ast.AST) -> bool:
    """Return whether a function is a command of click, whose docstring is its help."""
    decorators = getattr(node, "decorator_list", [])
    return any(re.search(r"\b(command|group)\b", ast.unparse(each)) for each in decorators)


def _printed(text: str) -> Iterator[tuple[int, str]]:
    """Give the sentences of a module that a program can print; other docstrings are for readers."""
    tree = ast.parse(text)
    silent = {
        id(each.value)
        for node in ast.walk(tree)
        if isinstance(body := getattr(node, "body", None), list) and not _is_command(node)
        for each in body
        if isinstance(each, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_sentence = " " in node.value.strip()
            if is_sentence and id(node) not in silent:
                yield node.lineno, node.value


def _findings(path: Path) -> Iterator[str]:
    text = path.read_text("utf-8")
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    pieces = _document_lines(text) if path.suffix == ".md" else _printed(text)
    for number, piece in pieces:
        for pattern, instead in _COMPILED:
            if found := pattern.search(piece):
                yield f"{name}:{number}: '{found[0]}': write {instead}."


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    wanted = [name for name in listed if name.endswith(".md") or name.startswith(PROGRAMS)]
    return [ROOT / name for name in wanted if "vectors/" not in name]


def main() -> int:
    """Check the given files, or all of them; print what was found."""
    paths = [Path(name).resolve() for name in sys.argv[1:]] or _tracked()
    found = [finding for path in paths for finding in _findings(path)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
