"""The Markdown of explanations as HTML: paragraphs, lists, code, and no more.

Whatever is not one of these stays the text that it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from snncc.backends.report.page.markup import Markup, element, text

_CODE = re.compile(r"`([^`]+)`")
_FENCE = "```"


def html_of(markdown: str) -> Markup:
    """Return Markdown as HTML."""
    return text(list(_blocks(markdown)))


def _blocks(markdown: str) -> Iterator[Markup]:
    paragraph: list[str] = []
    fenced: list[str] | None = None
    for line in [*markdown.splitlines(), ""]:
        if line.startswith(_FENCE):
            if fenced is None:
                yield from _paragraph(paragraph)
                paragraph, fenced = [], []
            else:
                yield element("pre", element("code", "\n".join(fenced)))
                fenced = None
        elif fenced is not None:
            fenced.append(line)
        elif line.strip():
            paragraph.append(line)
        else:
            yield from _paragraph(paragraph)
            paragraph = []
    if fenced:
        yield element("pre", element("code", "\n".join(fenced).rstrip("\n")))


def _paragraph(lines: list[str]) -> Iterator[Markup]:
    if not lines:
        return
    if lines[0].startswith("- "):
        items = "\n".join(lines).removeprefix("- ").split("\n- ")
        yield element("ul", [element("li", inline(item)) for item in items])
    else:
        yield element("p", inline(" ".join(lines)))


def inline(words: str) -> list[str]:
    """Return words with what stands between backquotes as code."""
    parts = _CODE.split(words)
    return [element("code", part) if at % 2 else part for at, part in enumerate(parts)]
