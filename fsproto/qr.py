"""QR codes as text or SVG, for secrets that a person scans."""

from __future__ import annotations


class _Page:
    """The text stream to which segno writes."""

    def __init__(self) -> None:
        self._written: list[str] = []

    def write(self, text: str) -> None:
        self._written.append(text)

    def lines(self) -> list[str]:
        return "".join(self._written).splitlines()


def drawn(text: str) -> list[str]:
    """Return a QR code (ISO/IEC 18004) as lines of half blocks, two modules per character.

    Only the light modules are drawn, so it needs light text on a dark background.
    """
    import segno

    page = _Page()
    segno.make(text, micro=False).terminal(page, compact=True)  # type: ignore[arg-type]
    return page.lines()


def svg(text: str) -> str:
    """Return a QR code as an `svg` element for HTML: black on white, with its margin.

    It has no size; the page must set one. The element contains the text only as the code.
    """
    import segno

    code = segno.make(text, micro=False)
    return code.svg_inline(dark="#000", light="#fff", omitsize=True, svgclass=None, lineclass=None)
