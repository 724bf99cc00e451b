"""A QR code as text, for whoever shows secrets to be scanned."""

from __future__ import annotations


class _Page:
    """What segno writes to."""

    def __init__(self) -> None:
        self._written: list[str] = []

    def write(self, text: str) -> None:
        self._written.append(text)

    def lines(self) -> list[str]:
        return "".join(self._written).splitlines()


def drawn(text: str) -> list[str]:
    """Return a QR code (ISO/IEC 18004) in lines of half blocks, two modules a character.

    Light is drawn and dark is left out: it takes light characters on a dark ground.
    """
    import segno

    page = _Page()
    segno.make(text, micro=False).terminal(page, compact=True)  # type: ignore[arg-type]
    return page.lines()


def svg(text: str) -> str:
    """Return a QR code as an `svg` element to be put into HTML: black on white, with its margin.

    It has no size of its own; the page gives it one. Nothing of the text is in it but the code.
    """
    import segno

    code = segno.make(text, micro=False)
    return code.svg_inline(dark="#000", light="#fff", omitsize=True, svgclass=None, lineclass=None)
