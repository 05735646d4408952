"""The border op: a value with constants around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snncc.ir.graph import IRError, Op, Shape, Type, Weights
from snncc.ir.inference import with_border


@dataclass(frozen=True, kw_only=True)
class Pad(Op):
    """``y[c, i] = x[c, i - before]`` where that exists, ``value[c]`` in the border around it.

    The last ``len(before)`` axes are padded; ``c`` is the axis in front of them. ``value`` is one
    number, or one for each ``c``; without it the border is 0.
    """

    kind = "pad"
    weight_fields: ClassVar[tuple[str, ...]] = ("value",)
    before: Shape
    after: Shape
    value: str | None = None

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """The domain that holds the input's values and the border's."""
        shape, n = inputs[0].shape, len(self.before)
        fits = n == len(self.after) <= len(shape)
        if not fits or min((*self.before, *self.after), default=0) < 0:
            raise IRError(f"a border of {self.before} and {self.after} does not fit {shape}")
        value = weights[self.value] if self.value else None
        lead, inner = shape[: len(shape) - n], shape[len(shape) - n :]
        if value is not None and value.shape not in ((), lead[-1:]):
            raise IRError(f"a border of shape {tuple(value.shape)} does not meet {shape}")
        sides = zip(inner, self.before, self.after, strict=True)
        outer = tuple(places + front + back for places, front, back in sides)
        return Type((*lead, *outer), with_border(inputs[0].domain, value))
