"""Tables and figures as plain text of at most 100 columns, less where a terminal has less."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import zip_longest
from typing import TypeAlias

WIDTH = 100
_COLUMNS = ContextVar("columns", default=WIDTH)
_GAP = "  "
_NARROWEST = 8
_JOINS = (" ", ".", "/", ",", ":")
_INDENT = "  "

Column: TypeAlias = tuple[str, bool]
"""A heading, and whether numbers stand under it: they are set to the right and never broken."""


@contextmanager
def fitted(columns: int = WIDTH) -> Iterator[None]:
    """Keep all text that is made inside to so many columns; files always get ``WIDTH``."""
    before = _COLUMNS.set(columns)
    try:
        yield
    finally:
        _COLUMNS.reset(before)


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """Return rows under their headings; where the width is short, long texts take more lines."""
    cells = [[heading for heading, _ in columns], *rows]
    widths = _widths(columns, cells)
    lines = [line for row in cells for line in _lines(columns, row, widths)]
    rule = "-" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _lines(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield one row: the first line of each text, then what is left of the long ones."""
    parts = [broken(cell, width) for cell, width in zip(row, widths, strict=True)]
    for texts in zip_longest(*parts, fillvalue=""):
        fitted = (
            text.rjust(width) if is_number else text.ljust(width)
            for text, width, (_, is_number) in zip(texts, widths, columns, strict=True)
        )
        yield _GAP.join(fitted).rstrip()


def broken(text: str, width: int) -> list[str]:
    """Return the text in lines of at most ``width`` characters, those after the first indented.

    They end behind a mark that joins parts of names and sentences, where there is one.
    """
    lines, indent = [], ""
    while len(indent + text) > width:
        room = width - len(indent)
        at = max(text.rfind(mark, room // 2, room) for mark in _JOINS) + 1 or room
        lines.append((indent + text[:at]).rstrip())
        text, indent = text[at:].lstrip(), _INDENT
    return [*lines, indent + text]


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    room = _COLUMNS.get() - len(_GAP) * (len(widths) - 1)
    texts = [i for i, (_, is_number) in enumerate(columns) if not is_number]
    while sum(widths) > room and texts:
        widest = max(texts, key=lambda i: widths[i])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def cut(text: str, width: int) -> str:
    """Return the text in at most ``width`` characters; its end says more than its middle."""
    if len(text) <= width:
        return text
    head = (width - 1) // 3
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def paragraph(text: str, indent: str = "") -> str:
    """Return the text broken into lines, those after the first indented."""
    return (
        textwrap.fill(text, _COLUMNS.get(), subsequent_indent=indent, break_long_words=False) + "\n"
    )


def count_of(number: int, what: str) -> str:
    """Return ``1 sample``, ``3 samples``, ``0 mismatches``."""
    plural = f"{what}es" if what.endswith("ch") else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"


def si(number: float) -> str:
    """Return a number of operations in four digits with a prefix: ``1.230 M``."""
    power = min(int(math.log10(number) // 3), 5) if number >= 1000 else 0
    scaled = number / 1000**power
    if power and float(f"{scaled:.4g}") >= 1000 and power < 5:
        power, scaled = power + 1, scaled / 1000
    digits = f"{scaled:.4g}" if not power else f"{scaled:#.4g}".rstrip(".")
    return f"{digits} {' kMGTP'[power]}".rstrip()


def percent(share: float) -> str:
    """Return a share as ``12.3 %``."""
    return f"{100 * share:.1f} %"


def energy(mj: float, digits: int = 4) -> str:
    """Return an energy in the unit in which it reads best: ``2.850 uJ``."""
    units = ((1.0, "mJ"), (1e3, "uJ"), (1e6, "nJ"))
    factor, unit = next((u for u in units if mj * u[0] >= 0.9995), (1e9, "pJ"))
    return f"{mj * factor:#.{digits}g}".rstrip(".") + f" {unit}"
