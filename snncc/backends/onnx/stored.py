"""Where each weight of the step graph stands among the stored tensors of a file, and in which form.

The writers put them there (``products``, ``neurons``, ``plain``, ``ends``); here is the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from snncc.backends.onnx.products import ZERO_POINT
from snncc.ir.graph import Array, Op

Form: TypeAlias = tuple[str, Callable[[Array], Array]]
"""The name of a stored tensor, and what gives the weight back, but for its type and shape."""


def forms_of(op: Op, field: str) -> Iterator[Form]:
    """Yield under which names the weight in a field of an op may be stored; one of them is."""
    weight = getattr(op, field)
    if (op.kind, field) == ("conv", "weight"):
        yield f"{weight}+{ZERO_POINT}", _lowered
        yield weight, _as_it_is
    elif (op.kind, field) == ("linear", "weight"):
        yield f"{weight}.transposed", np.transpose
    else:
        yield f"{op.name}{_ENDS.get(op.kind, f'.{field}')}", _as_it_is


_ENDS: Mapping[str, str] = MappingProxyType({"constant": ""})
"""By the kind of op: what stands behind its name; else it is the name of the field."""


def _as_it_is(array: Array) -> Array:
    return array


def _lowered(array: Array) -> Array:
    return array.astype(np.int16) - ZERO_POINT
