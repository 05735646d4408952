"""Which family weights nearly belong to, where no signature matches: what is missing or odd.

Names are compared up to the first number in them, the index of a block: what all blocks of a
family's network have, every block in the file is expected to have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

import torch

from snncc.frontends.signatures import Tensors
from snncc.models.zoo import Architecture

_INDEXED = re.compile(r"(.*?)\.(\d+)\.(.*)")
_NEARLY = 0.8
"""The share of a file's weights that a family must know to be called near."""


class Near(NamedTuple):
    """A form that knows most of the weights, and what keeps them from being of it."""

    form: Architecture
    missing: tuple[str, ...]
    odd: tuple[str, ...]


def nearest(readings: Iterable[Tensors], forms: Iterable[Architecture]) -> Near | None:
    """Return the form that knows most of the weights, and they most of it; None if none is near.

    ``readings`` are the weights under the names that they may stand for. Weights that can be
    missing everywhere (``num_batches_tracked``) are left out.
    """
    best, found = 0.0, None
    placed = [(each, {name: _place(name) for name in filter(_counts, each)}) for each in readings]
    for form in forms:
        for tensors, places in placed:
            axes = {_place(name): tensor.ndim for name, tensor in _weights(form).items()}
            known = sum(place in axes for place in places.values())
            if known < max(best, _NEARLY) * len(places):
                continue  # whatever is missing: it does not win
            share, near = _compared(form, axes, tensors, known)
            if share > best:
                best, found = share, near
    return found if best >= _NEARLY else None


@cache
def _weights(form: Architecture) -> Tensors:
    """Return names and shapes of the weights that a form has by default."""
    with torch.device("meta"):
        return form.build().state_dict()


def _compared(
    form: Architecture, axes: Mapping[str, int], tensors: Tensors, known: int
) -> tuple[float, Near]:
    """Return how much of both sides is the same, and what is not; ``known`` are so many names."""
    wanted = _weights(form)
    given = {name: tensor.ndim for name, tensor in tensors.items() if _counts(name)}
    missing = tuple(name for name in _expected(wanted, given) if name not in given)
    odd = tuple(
        f"{name} {tuple(tensors[name].shape)}, wanted {axes[_place(name)]} axes"
        for name in given
        if given[name] != axes.get(_place(name), given[name])
    )
    return known / max(len(given) + len(missing), 1), Near(form, missing, odd)


def _expected(wanted: Tensors, given: Mapping[str, int]) -> Iterator[str]:
    """Yield the names that a network has which has the blocks of the file."""
    blocks: dict[str, dict[str, set[str]]] = {}
    for name in filter(_counts, wanted):
        if match := _INDEXED.fullmatch(name):
            blocks.setdefault(match[1], {}).setdefault(match[2], set()).add(match[3])
        else:
            yield name
    seen: dict[str, set[str]] = {}
    for match in filter(None, map(_INDEXED.fullmatch, given)):
        seen.setdefault(match[1], set()).add(match[2])
    for part, own in blocks.items():
        common = set.intersection(*own.values())
        if 2 * len(common) * len(own) < sum(map(len, own.values())):  # no blocks: parts of a whole
            yield from (f"{part}.{i}.{rest}" for i, names in own.items() for rest in sorted(names))
            continue
        for index in sorted(seen.get(part, own.keys()), key=int):
            yield from (f"{part}.{index}.{rest}" for rest in sorted(common))


def _place(name: str) -> str:
    """Return a name without its first index."""
    match = _INDEXED.fullmatch(name)
    return f"{match[1]}.#.{match[3]}" if match else name


def _counts(name: str) -> bool:
    return not name.endswith("num_batches_tracked")
