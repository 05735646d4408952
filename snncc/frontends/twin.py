"""Copies of modules, to run without leaving a trace in the user's."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def twin_of(module: nn.Module) -> nn.Module:
    """Return a deep copy in eval mode, with what Python alone would not copy.

    Functions of autograd, which have no state, are shared; states that a gradient leads through,
    left behind by an earlier run, lose it.
    """
    memo: dict[int, Any] = {}
    for value in _attributes(module):
        if isinstance(value, torch.autograd.Function):
            memo[id(value)] = value
        elif isinstance(value, Tensor) and not value.is_leaf:
            memo[id(value)] = value.detach().clone()
    return copy.deepcopy(module, memo).eval()


def _attributes(module: nn.Module) -> Iterator[object]:
    """Yield what modules hold, and what stands in their dictionaries."""
    for each in module.modules():
        for value in vars(each).values():
            yield value
            if isinstance(value, dict):
                yield from value.values()
