"""Energies that papers print, to stand beside what is computed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources

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


def published(network: str) -> Published | None:
    """Return what a paper prints for a network, None where no figure is known."""
    return _all().get(network)


def reduction(ours: Published, theirs: Published) -> float:
    """Return by which share the first is below the second, from the tables' two decimals."""
    return 1 - ours.table_mj / theirs.table_mj


@cache
def _all() -> dict[str, Published]:
    text = (resources.files("snncc.energy") / "published.toml").read_text()
    return {name: Published(**fields) for name, fields in tomllib.loads(text).items()}
