"""A conv or linear layer as the product kernels see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from snncc.ir.graph import Array
from snncc.ir.ops import Conv, Linear

Run: TypeAlias = Callable[[Array], Array]
"""``[N, *shape]`` to the bare sums of products ``[N, *shape]``."""


@dataclass(frozen=True)
class Layer:
    """One op with its weight, ``span`` of its input and ``bound`` of its sums (None: not known)."""

    op: Conv | Linear
    weight: Array
    span: tuple[int, int] | None = None
    bound: int | None = None

    @property
    def pointwise(self) -> bool:
        """Whether each output place reads one input place: a linear, or a 1x1 conv."""
        op = self.op
        if isinstance(op, Linear):
            return True
        ones = all(k == 1 for k in self.weight.shape[2:]) and all(s == 1 for s in op.stride)
        return ones and not any(op.padding) and op.groups == 1


def tensor(x: Array) -> Any:
    """Return an array as a torch tensor, without copying it where it can be written."""
    import torch  # noqa: PLC0415 - seconds

    return torch.from_numpy(x if x.flags.writeable else x.copy())


def channels_last(run: Run) -> Run:
    """Let a product of the last axis, ``[M, C]``, run on ``[N, C, *positions]``."""

    def turned(x: Array) -> Array:
        order = (0, *range(2, x.ndim), 1)
        rows = x.transpose(order)
        back = (0, x.ndim - 1, *range(1, x.ndim - 1))
        return run(rows).transpose(back)

    return turned
