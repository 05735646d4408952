"""Copies of modules, to run without leaving a trace in the user's."""

from __future__ import annotations

import copy

import torch
from torch import nn


def twin_of(module: nn.Module) -> nn.Module:
    """Return a deep copy in eval mode; functions of autograd, which have no state, are shared."""
    functions = (
        value
        for each in module.modules()
        for value in vars(each).values()
        if isinstance(value, torch.autograd.Function)
    )
    return copy.deepcopy(module, {id(each): each for each in functions}).eval()
