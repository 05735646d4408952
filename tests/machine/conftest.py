"""A small placed network, made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import Conv, Input, IntegerNeuron, Linear, Output, Readout, Reshape
from snncc.mapping.placement import Core, Part, Placement, Seat, whole

SIMULATOR = "loihi1-sanafe"
"""The target whose rules are SANA-FE's."""


def layer(name: str, reads: str, threshold: int, reset: str = "soft", decay: int = 0) -> Op:
    """A layer that fires above ``threshold`` and takes it off, as SANA-FE's do."""
    return IntegerNeuron(
        name=name, inputs=(reads,), threshold=f"{name}.t", unit=f"{name}.u",
        decay=decay, shift=0, reset=reset,  # type: ignore[arg-type]
    )  # fmt: skip


def thresholds(**given: int) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name, threshold in given.items():
        found[f"{name}.t"] = np.array(threshold + 1)
        found[f"{name}.u"] = np.array(threshold)
    return found


@pytest.fixture(scope="module")
def two_layers() -> tuple[Graph, Placement, Array]:
    """A padded convolution and a dense layer on three cores of two tiles, and six steps of input.

    Case G2 of our notes on SANA-FE 2.2.9, whose answers the tests hold.
    """
    rng = np.random.default_rng(7)
    x = rng.random((4, 2, 8, 8)) < 0.25
    weights: dict[str, Array] = {
        "c.w": rng.integers(-32, 33, (4, 2, 3, 3)).astype(np.int8),
        "l.w": rng.integers(-32, 33, (10, 256)).astype(np.int8),
        **thresholds(s=64, o=96),
    }
    ones = (1, 1)
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(2, 8, 8), domain=dom.integers(0, 1), varies=True),
        Conv(name="c", inputs=("x",), weight="c.w", stride=ones, padding=ones, dilation=ones),
        layer("s", "c", 64),
        Reshape(name="f", inputs=("s",), shape=(256,)),
        Linear(name="l", inputs=("f",), weight="l.w"),
        layer("o", "l", 96),
        Readout(name="r", inputs=("o",), steps=6),
        Output(name="y", inputs=("r",)),
    )
    cores = (
        Core(Seat(0, 0, 0, 0), (Part("x", whole((2, 8, 8))),)),
        Core(Seat(0, 0, 0, 1), (Part("s", whole((4, 8, 8))),)),
        Core(Seat(0, 0, 1, 0), (Part("o", whole((10,))),)),
    )
    silent = np.zeros((2, 2, 8, 8), bool)
    placement = Placement(SIMULATOR, cores, inputs_on_cores=True)
    return Graph(ops, weights, "step", 6), placement, np.concatenate([x, silent]).astype(np.int64)
