"""Where an input has its batch: in front, or behind time as in ``[T, B, ...]``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import cast

from snncc.diagnostics.core import SnnccError
from snncc.frontends import rules
from snncc.ir.graph import Graph, Shape, Source, reading
from snncc.ir.ops import Input, Permute

SETTING = "batch_axis"
_TURNED = "input.turned"


def asked_axis(settings: Mapping[str, str], file: str = "") -> int | None:
    """Return the axis that ``--set batch_axis=`` names, None without. Raises ``SnnccError``."""
    said = settings.get(SETTING)
    if said not in (None, "0", "1"):
        message = f"`{SETTING}={said}`: wanted 0 or 1"
        raise SnnccError(rules.BAD_SETTING.at(Source(file=file), message))
    return None if said is None else int(said)


def batch_in_front(graph: Graph) -> Graph:
    """Return a tensor graph of an input ``[T, B, ...]`` as one that is given ``[B, T, ...]``."""
    read = cast(Input, graph.of_kind("input")[0])
    steps, samples, *rest = read.shape
    given = dataclasses.replace(read, shape=(samples, steps, *rest))
    order: Shape = (1, 0, *range(2, len(read.shape)))
    turned = Permute(name=_TURNED, inputs=(read.name,), order=order, source=read.source)
    others = (reading(op, {read.name: _TURNED}) for op in graph.ops if op is not read)
    return dataclasses.replace(graph, ops=(given, turned, *others))
