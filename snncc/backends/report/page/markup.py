"""HTML and SVG built from elements: whatever text comes in is data and is escaped.

Nothing but ``Markup`` goes into a document unescaped, and nothing but ``element`` makes it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any, TypeAlias
from unicodedata import category

_VOID = ("meta", "input", "br", "link", "img")
_NAME = re.compile(r"[a-z][a-zA-Z0-9-]*\Z")


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"
"""Text, markup, nothing, or several of them."""


def text(child: Child) -> Markup:
    """Return a child as markup; text that is none is escaped."""
    if child is None:
        return Markup()
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return Markup(html.escape(_plain(child), quote=False))
    return Markup("".join(text(each) for each in child))


def element(name: str, /, *children: Child, **attributes: Any) -> Markup:
    """Return an element; ``class_`` is ``class``, and ``data_x`` is ``data-x``.

    An attribute that is None or False is left out, one that is True has no value.
    """
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no name of an element")
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{text(children)}</{name}>")


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    words = html.escape(_plain(str(value)), quote=False).replace('"', "&quot;")
    return f' {name}="{words}"'


def _plain(words: str) -> str:
    """Return text without what a document may not hold, or hides: controls, halves of a pair."""
    return "".join(c if c == "\n" or category(c)[0] != "C" else _shown(c) for c in words)


def _shown(character: str) -> str:
    return character.encode("unicode_escape").decode()


def script_json(document: Any) -> Markup:
    """Return JSON that may stand in a ``<script>``: no text in it can end the element."""
    written = json.dumps(document, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return Markup(written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
