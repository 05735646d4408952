"""The two streams: results on stdout, everything for people's eyes on stderr."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from snncc.diagnostics.core import Diagnostic

if TYPE_CHECKING:
    from rich.console import Console


_WIDEST, _NARROWEST = 100, 40


def stderr() -> Console:
    """Return a console on today's stderr: in colour on a terminal, unless NO_COLOR is set."""
    from rich.console import Console

    return Console(file=sys.stderr)


def show(*diagnostics: Diagnostic, every: bool = False) -> None:
    """Print findings to stderr; those that follow from others are counted, or ``every`` printed."""
    from snncc.diagnostics.render import print_to

    print_to(stderr(), *diagnostics, every=every)


def say(text: str) -> None:
    """Print lines of summary to stderr; nothing where there are none."""
    if text:
        stderr().print(text.rstrip("\n"), soft_wrap=True, highlight=False, markup=False)


def columns() -> int:
    """Return how wide text on stdout may be: 100, less on a narrow terminal."""
    if not sys.stdout.isatty():
        return _WIDEST
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))


def result(text: str) -> None:
    """Print the result to stdout, as it is."""
    click.echo(text, nl=not text.endswith("\n"))


def result_json(document: Any) -> None:
    """Print one JSON document to stdout."""
    result(json.dumps(document, indent=2, allow_nan=False))
