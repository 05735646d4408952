"""Energies that papers print, to stand beside what is computed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Published:
    """One figure of a paper: ``table_mj`` as its table rounds it, ``note`` what to know of it."""

    energy_mj: float
    table_mj: float
    source: str
    note: str
    compared_with: str = ""


def published(network: str) -> Published | None:
    """Return what a paper prints for a network, None where no figure is known."""
    return _all().get(network)


def reduction(ours: Published, theirs: Published) -> float:
    """Return by which share the first is below the second, from the tables' two decimals."""
    return 1 - ours.table_mj / theirs.table_mj


def published_document(network: str) -> dict[str, Any] | None:
    """Return what an energy document says of a paper's figure, None where none is known.

    ``less`` is by which share it is below the network that the paper compares with, both as the
    tables round them.
    """
    paper = published(network)
    if paper is None:
        return None
    found: dict[str, Any] = {
        "energy_mj": paper.energy_mj,
        "source": paper.source,
        "note": paper.note,
    }
    if other := published(paper.compared_with):
        found["compared_with"] = {
            "model": paper.compared_with,
            "energy_mj": other.table_mj,
            "less": reduction(paper, other),
        }
    return found


@cache
def _all() -> dict[str, Published]:
    text = (resources.files("snncc.energy") / "published.toml").read_text("utf-8")
    return {name: Published(**fields) for name, fields in tomllib.loads(text).items()}
