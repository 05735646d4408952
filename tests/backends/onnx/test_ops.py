"""Each op of the step graph in onnxruntime, at small sizes and at the edges of its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snncc.backends.onnx.model import write_onnx
from snncc.diagnostics.core import SnnccError
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.delay import Delay
from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.pad import Pad
from snncc.ir.substeps import Thermometer
from snncc.ir.synaptic_current import IntegerCurrent

Held = Callable[[Graph, Array], None]
NUMBERS = np.random.default_rng(7)


class Steps:
    """A step graph, built op by op; ``x`` is its input of integers ``lo..hi``."""

    def __init__(
        self, shape: Shape, lo: int = 0, hi: int = 1, *, varies: bool = True, steps: int = 3
    ) -> None:
        domain = dom.integers(lo, hi)
        self.ops: list[Op] = [
            ops.Input(name="x", shape=shape, domain=domain, varies=varies, scale=0.5)
        ]
        self.weights: dict[str, Any] = {}
        self.steps = steps
        self.x = self._samples(shape, lo, hi)
        if not varies:
            self.x = self.x[0]

    def _samples(self, shape: Shape, lo: int, hi: int) -> Array:
        x = NUMBERS.integers(lo, hi + 1, (self.steps, 3, *shape)) * 0.5
        x.flat[:2] = lo - 3, hi + 3
        return x + NUMBERS.choice([0.0, 0.25, -0.25, 0.125], x.shape)

    def add(self, kind: type[Op], *inputs: str, name: str = "", **fields: Any) -> str:
        name = name or f"{kind.kind}{len(self.ops)}"
        self.ops.append(kind(name=name, inputs=inputs or (self.ops[-1].name,), **fields))
        return name

    def weight(self, value: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(value)
        return name

    def int8(self, *shape: int) -> str:
        weight = NUMBERS.integers(-127, 128, shape).astype(np.int8)
        weight.flat[0] = -128
        return self.weight(weight)

    def conv(self, *shape: int, shift: int = 0, bias: bool = True, **fields: Any) -> str:
        n = len(shape) - 2
        given = {"stride": (1,) * n, "padding": (1,) * n, "dilation": (1,) * n, **fields}
        b = self.weight(NUMBERS.integers(-900, 900, shape[0]).astype(np.int32)) if bias else None
        return self.add(ops.Conv, weight=self.int8(*shape), bias=b, shift=shift, **given)

    def neuron(self, threshold: Any = 300, **fields: Any) -> str:
        given = {"decay": 2048, "shift": 2, **fields}
        row = self.weight(np.asarray(threshold, np.int32))
        return self.add(ops.IntegerNeuron, threshold=row, **given)

    def graph(self, *, readout: bool = True, scale: Any = None) -> Graph:
        if readout:
            self.add(ops.Readout, steps=self.steps)
        row = None if scale is None else self.weight(np.asarray(scale, np.float64))
        self.add(ops.Output, name="y", scale=row)
        return Graph(tuple(self.ops), self.weights, "step", self.steps)


MAPS: Shape = (4, 6, 5)

CONVS: dict[str, dict[str, Any]] = {
    "plain": {"shape": (6, 4, 3, 3)},
    "strided": {"shape": (6, 4, 3, 3), "stride": (2, 1), "padding": (1, 0)},
    "dilated": {"shape": (6, 4, 3, 2), "dilation": (1, 2), "padding": (2, 1)},
    "grouped": {"shape": (6, 2, 3, 3), "groups": 2},
    "depthwise": {"shape": (4, 1, 3, 3), "groups": 4},
    "shifted": {"shape": (6, 4, 1, 1), "padding": (0, 0), "shift": 5},
    "bare": {"shape": (6, 4, 1, 1), "padding": (0, 0), "bias": False},
    "bare and shifted": {"shape": (6, 4, 3, 3), "bias": False, "shift": 3},
    "beyond int32": {"shape": (6, 4, 3, 3), "shift": 24},
}


@pytest.mark.parametrize("span", [(0, 1), (0, 128), (0, 255), (-127, 127), (-(2**20), 2**20)])
@pytest.mark.parametrize("name", CONVS)
def test_conv(held: Held, name: str, span: tuple[int, int]) -> None:
    """In bytes, in float32, in digits of float32."""
    net = Steps(MAPS, *span)
    fields = dict(CONVS[name])
    net.conv(*fields.pop("shape"), **fields)
    held(net.graph(), net.x)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("largest", [1, 255, 2**22])
def test_conv_over_other_ranks(held: Held, rank: int, largest: int) -> None:
    net = Steps((2, *(5,) * rank), 0, largest)
    net.conv(3, 2, *(3,) * rank, stride=(2,) * rank)
    held(net.graph(), net.x)


@pytest.mark.parametrize("largest", [1, 200, 2**22])
def test_conv_of_substeps(held: Held, largest: int) -> None:
    net = Steps((3, 2, 6, 6), 0, largest)
    net.conv(4, 2, 3, 3)
    held(net.graph(), net.x)


def test_conv_adds_the_largest_numbers_exactly(held: Held) -> None:
    """Sums that reach the last integers that float32 holds, and those beyond."""
    for largest in (2**24 // (127 * 36) - 1, 2**24 // (127 * 36) + 1, 2**31 // (127 * 36)):
        net = Steps(MAPS, 0, largest)
        weight = net.weight(np.full((2, 4, 3, 3), 127, np.int8))
        net.add(ops.Conv, weight=weight, stride=(1, 1), padding=(1, 1), dilation=(1, 1))
        net.x[:] = largest * 0.5
        net.x.flat[::7] -= 0.5
        held(net.graph(), net.x)


@pytest.mark.parametrize("span", [(0, 1), (0, 128), (-40, 40), (0, 2**18), (0, 2**30), (0, 2**40)])
@pytest.mark.parametrize("shape", [(7,), (3, 7)])
def test_linear(held: Held, span: tuple[int, int], shape: Shape) -> None:
    net = Steps(shape, *span)
    bias = net.weight(np.array([5, -(2**31), 2**31 - 1], np.int32))
    net.add(ops.Linear, weight=net.int8(3, 7), bias=bias, shift=1)
    held(net.graph(scale=[0.1, 0.3, 1e-7]), net.x)


def test_wide_weights(held: Held) -> None:
    net = Steps((2, 6, 6), 0, 1)
    weight = net.weight(NUMBERS.integers(-3000, 3000, (3, 2, 3, 3)).astype(np.int16))
    net.add(ops.Conv, weight=weight, stride=(1, 1), padding=(1, 1), dilation=(1, 1))
    net.add(ops.Reshape, shape=(3, 36))
    wide = net.weight(NUMBERS.integers(-3000, 3000, (4, 36)).astype(np.int16))
    net.add(ops.Linear, weight=wide)
    held(net.graph(), net.x)


NEURONS: dict[str, dict[str, Any]] = {
    "leak, hard": {},
    "no leak": {"decay": 0},
    "all leaks": {"decay": 4096},
    "odd leak": {"decay": 1365},
    "soft": {"reset": "soft"},
    "a row of thresholds": {"threshold": NUMBERS.integers(-200, 900, (4, 1, 1))},
    "a map of thresholds": {"threshold": NUMBERS.integers(-200, 900, MAPS), "reset": "soft"},
    "wide": {"shift": 26, "threshold": 2**30},
    "wide and odd": {"shift": 26, "threshold": 2**30, "decay": 1, "reset": "soft"},
    "levels": {"levels": 4, "threshold": [100, 300, 500, 700]},
    "soft levels": {"levels": 3, "threshold": [150, 450, 750], "reset": "soft", "unit": 300},
    "soft levels without a unit": {
        "levels": 3, "threshold": np.arange(1, 4)[:, None, None, None] * 100 + np.zeros((4, 1, 1)),
        "reset": "soft",
    },
    "rows of levels": {
        "levels": 2, "threshold": NUMBERS.integers(0, 99, (2, 4, 1, 1)).cumsum(0) + 50,
        "reset": "soft", "unit": NUMBERS.integers(100, 200, (4, 1, 1)),
    },
    "many levels": {"levels": 127, "threshold": np.arange(1, 128) * 9},
}  # fmt: skip


@pytest.mark.parametrize("varies", [True, False])
@pytest.mark.parametrize("name", NEURONS)
def test_neurons(held: Held, name: str, varies: bool) -> None:
    fields = dict(NEURONS[name])
    net = Steps(MAPS, -300, 300, varies=varies, steps=5)
    if not varies:
        net.add(ops.Repeat)
    if "unit" in fields:
        fields["unit"] = net.weight(np.asarray(fields["unit"], np.int32))
    net.neuron(**fields)
    held(net.graph(), net.x)


def test_neurons_that_forget_everything_and_read_wide_currents(held: Held) -> None:
    net = Steps(MAPS, -(2**30), 2**30)
    net.neuron(2**30, decay=4096, shift=5)
    held(net.graph(), net.x)


@pytest.mark.parametrize("varies", [True, False])
@pytest.mark.parametrize("decay", [0, 1, 410, 2048, 4096])
@pytest.mark.parametrize(("shift", "top"), [(6, 300), (0, 1), (12, 2**30)])
def test_currents_that_last(held: Held, varies: bool, decay: int, shift: int, top: int) -> None:
    net = Steps(MAPS, -top, top, varies=varies, steps=5)
    if not varies:
        net.add(ops.Repeat)
    net.add(IntegerCurrent, decay=decay, shift=shift, steps=5)
    net.neuron(1000, shift=0)
    held(net.graph(), net.x)


def test_a_current_that_lasts_is_the_answer(held: Held) -> None:
    for readout in (True, False):
        net = Steps(MAPS, -9, 9, steps=4)
        net.add(IntegerCurrent, decay=1000, shift=6, steps=4)
        held(net.graph(readout=readout), net.x)


def attention(net: Steps) -> None:
    q = net.add(ops.Slice, "x", axis=0, start=0, stop=2)
    k = net.add(ops.Slice, "x", axis=0, start=1, stop=4, step=2)
    kt = net.add(ops.Permute, k, order=(0, 2, 1))
    product = net.add(ops.MatMul, q, kt)
    net.add(ops.MatMul, product, k)


def broadcast(net: Steps) -> None:
    row = net.add(ops.Slice, "x", axis=0, start=1, stop=2)
    flat = net.add(ops.Reshape, row, shape=(6, 5))
    net.add(ops.Add, "x", flat)


def products_of_ranks(net: Steps) -> None:
    row = net.add(ops.Slice, "x", axis=0, start=1, stop=2)
    flat = net.add(ops.Reshape, row, shape=(6, 5))
    turned = net.add(ops.Permute, flat, order=(1, 0))
    net.add(ops.MatMul, "x", turned)


def with_constant(net: Steps) -> None:
    constant = net.add(
        ops.Constant,
        name="c",
        value=net.weight(NUMBERS.integers(-9, 9, (2, 6, 5)).astype(np.int32)),
    )
    net.add(ops.Concat, "x", constant, axis=0)


def added_constant(net: Steps) -> None:
    value = net.weight(NUMBERS.integers(-9, 9, (4, 1, 1)).astype(np.int32))
    net.add(ops.Add, "x", net.add(ops.Constant, value=value))


def expanded(net: Steps) -> None:
    net.add(ops.Sum, "x", axes=(0, 2))
    net.add(ops.Reshape, shape=(6, 1))
    net.add(ops.Expand, shape=(2, 6, 4))


PLAIN: dict[str, Callable[[Steps], Any]] = {
    "add": lambda net: net.add(ops.Add, "x", "x"),
    "add of other ranks": broadcast,
    "mask": lambda net: net.add(ops.Mask, "x", net.add(ops.Permute, "x", order=(0, 1, 2))),
    "matmul": attention,
    "matmul of other ranks": products_of_ranks,
    "constant": added_constant,
    "concat with a constant": with_constant,
    "concat": lambda net: net.add(ops.Concat, "x", net.add(ops.Add, "x", "x"), axis=1),
    "expand": expanded,
    "slice": lambda net: net.add(ops.Slice, axis=2, start=1, stop=5, step=2),
    "permute": lambda net: net.add(ops.Permute, order=(2, 0, 1)),
    "sum": lambda net: net.add(ops.Sum, axes=(1, 2)),
    "sum that keeps axes": lambda net: net.add(ops.Sum, axes=(0,), keepdims=True),
    "scale": lambda net: net.add(ops.Scale, factor=-3.0),
    "scale by a fraction": lambda net: net.add(ops.Scale, factor=0.1),
    "round shift": lambda net: net.add(ops.RoundShift, bits=3),
    "delay": lambda net: net.add(Delay, steps=2),
    "thermometer": lambda net: net.add(Thermometer, net.add(ops.Mask, "x", "x"), levels=2**14),
    "max pool": lambda net: net.add(
        ops.MaxPool, kernel=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(1, 1)
    ),
    "max pool, dilated": lambda net: net.add(
        ops.MaxPool, kernel=(2, 2), stride=(1, 1), padding=(1, 1), dilation=(2, 2)
    ),
    "max pool, over the end": lambda net: net.add(
        ops.MaxPool, kernel=(2, 3), stride=(4, 3), padding=(0, 1), dilation=(1, 1), ceil_mode=True
    ),
    "max pool over one axis": lambda net: net.add(
        ops.MaxPool, kernel=(2,), stride=(2,), padding=(0,), dilation=(1,)
    ),
    "average pool": lambda net: net.add(
        ops.AvgPool, kernel=(3, 2), stride=(2, 1), padding=(1, 0)
    ),
    "average pool, borders left out": lambda net: net.add(
        ops.AvgPool, kernel=(3, 2), stride=(2, 1), padding=(1, 1), count_include_pad=False
    ),
    "pad": lambda net: net.add(Pad, before=(1, 0), after=(2, 1)),
    "pad with numbers": lambda net: net.add(
        Pad, before=(1, 0), after=(2, 1), value=net.weight(np.array([3, -4, 0, 9], np.int32))
    ),
    "pad with a number": lambda net: net.add(
        Pad, before=(1, 0), after=(2, 1), value=net.weight(np.array(-7, np.int32))
    ),
}  # fmt: skip


@pytest.mark.parametrize("span", [(0, 1), (0, 100), (-99, 100)])
@pytest.mark.parametrize("name", PLAIN)
def test_plain(held: Held, name: str, span: tuple[int, int]) -> None:
    if name == "thermometer":
        span = (0, min(span[1], 9))
    net = Steps(MAPS, *span)
    PLAIN[name](net)
    held(net.graph(), net.x)


@pytest.mark.parametrize("largest", [2**23, 2**30, 2**40])
@pytest.mark.parametrize("name", ["add", "mask", "matmul", "max pool", "round shift", "sum", "pad"])
def test_wide_numbers(held: Held, name: str, largest: int) -> None:
    if largest**2 * 30 > 2**62 and name in ("mask", "matmul"):
        largest = 2**28
    net = Steps(MAPS, -largest, largest)
    if name == "matmul":
        turned = net.add(ops.Permute, "x", order=(0, 2, 1))
        net.add(ops.MatMul, "x", turned)
    else:
        PLAIN[name](net)
    held(net.graph(), net.x)


@pytest.mark.parametrize("varies", [True, False])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_answers_at_each_step(held: Held, varies: bool, scale: float | None) -> None:
    """An answer that is not summed over time has the time steps in front."""
    net = Steps(MAPS, 0, 9, varies=varies)
    if not varies:
        net.add(ops.Repeat)
    net.add(ops.Add, "x", "x")
    held(net.graph(readout=False, scale=scale), net.x)
    net = Steps(MAPS, 0, 9, varies=varies)
    if not varies:
        net.add(ops.Repeat)
    net.neuron(9)
    held(net.graph(readout=False, scale=scale), net.x)


def test_no_time_at_all(held: Held) -> None:
    net = Steps(MAPS, 0, 9, varies=False)
    net.conv(2, 4, 3, 3)
    held(net.graph(readout=False), net.x)


def test_what_is_the_same_at_all_steps_is_computed_once(held: Held) -> None:
    net = Steps(MAPS, 0, 9, varies=False, steps=4)
    net.add(ops.Repeat)
    first = net.conv(2, 4, 3, 3)
    net.neuron()
    net.conv(2, 2, 3, 3)
    graph = net.graph()
    held(graph, net.x)
    model = write_onnx(graph)
    outside = [node.name for node in model.graph.node if node.op_type == "ConvInteger"]
    assert outside == [f"{first}/product"]
    assert [node.op_type for node in model.graph.node].count("Scan") == 1
    unrolled = [n.op_type for n in write_onnx(graph, unroll=True).graph.node]
    assert (unrolled.count("ConvInteger"), unrolled.count("Scan")) == (5, 0)


def test_a_sum_of_what_stays_is_a_product(held: Held) -> None:
    net = Steps((5,), 0, 9, varies=False, steps=4)
    net.add(ops.Repeat)
    held(net.graph(), net.x)


def refused(graph: Graph) -> list[str]:
    with pytest.raises(SnnccError) as caught:
        write_onnx(graph)
    assert {d.rule.code for d in caught.value.diagnostics} == {"SNN190"}
    return [d.message for d in caught.value.diagnostics]


def test_all_that_has_no_form_is_told_at_once() -> None:
    net = Steps(MAPS)
    net.add(ops.Neuron)
    net.add(ops.Foreign, target="softmax", shape=MAPS)
    assert refused(net.graph()) == [
        "`neuron1` (neuron) has no exact form in ONNX",
        "`foreign2` (foreign) has no exact form in ONNX",
    ]


def test_two_inputs_are_refused() -> None:
    net = Steps(MAPS)
    net.add(ops.Input, name="z", shape=MAPS, domain=dom.SPIKE, varies=True, scale=1.0)
    net.add(ops.Add, "x", "z")
    assert refused(net.graph()) == ["the graph has 2 ops of kind input, wanted 1"]


def test_a_float_input_is_refused() -> None:
    graph = Steps(MAPS).graph()
    floats = ops.Input(name="x", shape=MAPS, varies=True)
    assert refused(graph.replace((floats, *graph.ops[1:]))) == [
        "`x` (input) reads real as they are, wanted a scale to integers"
    ]


def test_a_tensor_graph_is_refused() -> None:
    (found,) = refused(Graph((ops.Input(name="x", shape=MAPS),)))
    assert found == "`network` is no step graph"


def test_float_weights_are_refused() -> None:
    net = Steps((7,))
    net.add(ops.Linear, weight=net.weight(np.ones((2, 7), np.float32)))
    assert refused(net.graph()) == ["`linear1` (linear) has weights of float32, wanted integers"]


def test_fractions_are_refused_where_integers_are_read() -> None:
    net = Steps((7,))
    net.add(ops.Scale, factor=0.5)
    net.neuron()
    with pytest.raises(Exception, match="not an integer"):
        write_onnx(net.graph())
    net = Steps((7,))
    net.add(ops.Scale, factor=0.5)
    net.add(ops.Linear, weight=net.int8(2, 7))
    assert refused(net.graph()) == ["`scale1` (scale) holds grid(1/2, 0..1), wanted integers"]


def test_windows_over_four_axes_are_refused() -> None:
    net = Steps((2, 3, 3, 3, 3))
    net.conv(2, 2, 1, 1, 1, 1, padding=(0,) * 4)
    (found,) = refused(net.graph())
    assert found.endswith("has windows over 4 axes, onnxruntime computes 3")
    net = Steps((2, 3, 3, 3, 3))
    ones = (1,) * 4
    net.add(ops.MaxPool, kernel=ones, stride=ones, padding=(0,) * 4, dilation=ones)
    assert "windows over 4 axes" in refused(net.graph())[0]


def test_potentials_beyond_64_bits_are_refused() -> None:
    net = Steps((7,), 0, 2**40)
    net.neuron(shift=20, decay=1)
    (found,) = refused(net.graph())
    assert "beyond 64 bits" in found


def test_currents_beyond_64_bits_are_refused() -> None:
    net = Steps((7,), 0, 2**40)
    net.add(IntegerCurrent, decay=1, shift=14, steps=3)
    assert "reaches" in refused(net.graph())[0]


def test_maxima_beyond_float64_are_refused() -> None:
    net = Steps(MAPS, 0, 2**54)
    PLAIN["max pool"](net)
    assert "wanted less than 2**53" in refused(net.graph())[0]


def test_weights_too_heavy_for_digits_are_refused() -> None:
    net = Steps((2, 4), 0, 9)
    weight = net.weight(np.full((1, 2, 1), 2**23, np.int32))
    net.add(ops.Conv, weight=weight, stride=(1,), padding=(0,), dilation=(1,))
    assert "wanted less than 2**23" in refused(net.graph())[0]


def test_an_answer_of_constants_is_refused() -> None:
    net = Steps((7,))
    net.add(ops.Constant, value=net.weight(np.arange(3)))
    assert "does not depend on the input" in refused(net.graph(readout=False))[0]


def test_borders_of_fractions_are_refused() -> None:
    net = Steps((4, 7))
    net.add(Pad, before=(1,), after=(1,), value=net.weight(np.array(0.5)))
    assert "has a border of float64" in refused(net.graph())[0]


def test_pools_that_no_kernel_places_are_refused() -> None:
    net = Steps(MAPS)
    net.add(ops.AvgPool, kernel=(4, 4), stride=(4, 4), padding=(0, 0), ceil_mode=True)
    assert "does not place" in refused(net.graph())[0]
    net = Steps(MAPS, 0, 2**23)
    net.add(ops.AvgPool, kernel=(2, 2), stride=(1, 1), padding=(0, 0))
    assert "beyond 2**24" in refused(net.graph())[0]


def test_more_levels_than_a_count_holds_are_refused() -> None:
    net = Steps((4,))
    net.neuron(np.arange(1, 129), levels=128)
    assert "counts 128 levels, wanted at most 127" in refused(net.graph())[0]


def test_decays_of_no_chip_are_refused() -> None:
    net = Steps((4,))
    net.neuron(decay=5000)
    assert "has decay 5000, wanted 0..4096" in refused(net.graph())[0]
