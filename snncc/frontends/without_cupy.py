"""Building networks whose neurons ask for CuPy, where there is none.

Published code names CuPy in every neuron, and SpikingJelly refuses to build one without it, though
the arithmetic is the same in PyTorch, where the neurons of a network that is built here compute.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import nn

T = TypeVar("T")

_CHECKS = {
    "spikingjelly.clock_driven.neuron": "check_backend",
    "spikingjelly.activation_based.base": "check_backend_library",
}
"""Which functions of SpikingJelly 0.0.0.0.6 to 0.0.0.0.14 refuse a neuron, by module."""


def built(make: Callable[[], T]) -> T:
    """Return what ``make`` makes; where that fails for want of CuPy, made again without it."""
    try:
        return make()
    except (AssertionError, ImportError) as error:
        if "cupy" not in str(error).lower():
            raise
    with _let_through():
        made = make()
    for each in made if isinstance(made, tuple) else (made,):
        _compute_in_torch(each)
    return made


@contextmanager
def _let_through() -> Iterator[None]:
    """Let neurons be built that ask for CuPy; other backends are checked as ever."""
    own: dict[str, Callable[..., Any]] = {}
    for name, check in _CHECKS.items():
        if name in sys.modules and hasattr(sys.modules[name], check):
            own[name] = getattr(sys.modules[name], check)
            setattr(sys.modules[name], check, _but_cupy(own[name]))
    try:
        yield
    finally:
        for name, function in own.items():
            setattr(sys.modules[name], _CHECKS[name], function)


def _but_cupy(check: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda backend: None if backend == "cupy" else check(backend)


def _compute_in_torch(made: object) -> None:
    every: list[Any] = list(made.modules()) if isinstance(made, nn.Module) else []
    for each in every:
        if getattr(each, "backend", "") == "cupy":
            each.backend = "torch"
