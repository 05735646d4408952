"""From networks to a page, a summary or a figure, and to a file, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from snncc.artefact import UNWRITABLE_OUTPUT
from snncc.backends.report.page.figures import figure_of
from snncc.backends.report.page.network import Network
from snncc.backends.report.page.render import page
from snncc.backends.report.page.summary import summary
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Source


def content_of(networks: Sequence[Network], form: str, figure: str | None = None) -> bytes:
    """Return one or two networks as ``html``, ``md``, or one figure of them as ``png`` or ``svg``.

    Raises ``SnnccError`` for a figure that there is not.
    """
    if form == "html":
        return page(networks).encode()
    if form == "md":
        return summary(networks).encode()
    return figure_of(networks, form, figure)


def usual_name(networks: Sequence[Network], form: str, figure: str | None) -> str:
    """Return the name of a file that a user left out: of letters that every disk takes."""
    name = "-".join([*(network.name for network in networks), figure or "report"])
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).lstrip(".-")
    return f"{kept or 'report'}.{form}"


def check_file(path: Path) -> None:
    """Raise ``SnnccError`` where ``write_file`` would."""
    parent = path.resolve().parent
    if path.is_dir():
        raise _refusal(path, "it is a directory")
    if not parent.is_dir():
        raise _refusal(path, f"`{parent}` is no directory")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise _refusal(path, f"`{parent}` cannot be written to")


def write_file(path: Path, content: bytes) -> None:
    """Write a file, in the place of an older one, behind a link too.

    Raises ``SnnccError``; leaves no half behind.
    """
    check_file(path)
    place = path.resolve()
    try:
        with tempfile.NamedTemporaryFile(
            dir=place.parent, prefix=f".{place.name}.", delete=False
        ) as scratch:
            try:
                scratch.write(content)
                scratch.close()
                Path(scratch.name).chmod(0o644)
                Path(scratch.name).replace(place)
            except BaseException:
                Path(scratch.name).unlink(missing_ok=True)
                raise
    except OSError as fault:
        raise _refusal(path, fault.strerror or str(fault)) from fault


def _refusal(path: Path, reason: str) -> SnnccError:
    message = f"`{path}` cannot be written: {reason}"
    return SnnccError(UNWRITABLE_OUTPUT.at(Source(file=str(path)), message))
