"""Floats to integers: golden text, shared scales, and what has no integer form."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.execute.executor import Executor
from snncc.execute.measure import run_floats
from snncc.execute.quality import compare
from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.ir.ops import (
    Add,
    AvgPool,
    Conv,
    Foreign,
    Input,
    Linear,
    Neuron,
    Output,
    Readout,
    Repeat,
    Scale,
    Sum,
)
from snncc.ir.pad import Pad
from snncc.ir.text import dump
from snncc.passes.grids import input_grid
from snncc.passes.quantize import Calibration, Quantize
from snncc.targets.load import load_target


def conv(name: str, reads: str, bias: str | None = None) -> Conv:
    return Conv(
        name=name, inputs=(reads,), weight=f"{name}.w", bias=bias,
        stride=(1, 1), padding=(0, 0), dilation=(1, 1),
    )  # fmt: skip


def residual_network(seed: int = 0) -> Graph:
    """Two convs into one stream, a neuron on it, and a head on the mean of the stream."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Array] = {
        "a.w": rng.normal(0, 0.2, (4, 2, 1, 1)),
        "a.b": rng.normal(0, 0.2, 4),
        "b.w": rng.normal(0, 1.6, (4, 4, 1, 1)),
        "h.w": rng.normal(0, 0.4, (3, 4)),
        "h.b": rng.normal(0, 0.4, 3),
    }
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(2, 3, 3)),
        Repeat(name="r", inputs=("x",)),
        conv("a", "r", "a.b"),
        Neuron(name="s", inputs=("a",), v_threshold=0.25),
        conv("b", "s"),
        Add(name="sum", inputs=("a", "b")),
        Neuron(name="n", inputs=("sum",), v_threshold=0.5),
        Sum(name="tokens", inputs=("sum",), axes=(1, 2)),
        Readout(name="read", inputs=("tokens",), steps=4),
        Scale(name="mean", inputs=("read",), factor=1 / 36),
        Linear(name="h", inputs=("mean",), weight="h.w", bias="h.b"),
        Output(name="y", inputs=("h",)),
    )
    return Graph(ops, weights, "step", 4)


def quantized(graph: Graph, x: Array, target: str = "loihi2") -> Graph:
    chip = load_target(target)
    calibration = Calibration(x, run_floats(graph, x).mean_inputs)
    result = Quantize(chip.arithmetic, chip.features, calibration).run(graph)
    assert not [d for d in result.diagnostics if d.severity == 2], result.diagnostics
    return result.graph


def samples(seed: int = 1, n: int = 16) -> Array:
    return np.random.default_rng(seed).integers(0, 17, (n, 2, 3, 3)) / 16


def test_producers_of_one_stream_share_its_scale_and_larger_weights_are_shifted() -> None:
    graph = quantized(residual_network(), samples())
    a, b = graph["a"], graph["b"]
    assert isinstance(a, Conv)
    assert isinstance(b, Conv)
    assert a.shift < b.shift
    assert np.abs(np.asarray(graph.weights["b.weight"])).max() <= 127
    assert graph.weights["b.weight"].dtype == np.int8


def test_the_integer_network_stays_near_the_float_one() -> None:
    graph, x = residual_network(), samples()
    quality = compare(run_floats(graph, x), quantized(graph, x), x).quality
    assert quality.sqnr_db > 25
    assert min(layer.equal_spikes for layer in quality.layers.values()) > 0.97


def test_a_chip_without_thresholds_a_neuron_gets_one_scale_a_layer() -> None:
    fine = quantized(residual_network(), samples(), "loihi2")
    coarse = quantized(residual_network(), samples(), "loihi1")
    assert fine.weights["n.threshold"].shape == (4, 1, 1)
    assert np.asarray(coarse.weights["n.threshold"]).size == 1


def test_integer_graphs_hold_integers_alone() -> None:
    graph = quantized(residual_network(), samples())
    for name, weight in graph.weights.items():
        assert np.asarray(weight).dtype.kind == "i" or name == "y.scale"
    assert "real" not in dump(graph)
    assert not graph.of_kind("scale", "neuron", "batch_norm")


def test_head_counts_times_scale_are_the_logits() -> None:
    graph, x = residual_network(), samples(5)
    whole = quantized(graph, x)
    counts = Executor(whole).run(x, keep=("h",))
    assert np.array_equal(counts.output, counts.values["h"] * whole.weights["y.scale"])


@pytest.mark.parametrize(
    ("sample", "wanted"),
    [
        (np.arange(17) / 16, (1 / 16, 16, 0)),
        (np.array([-1.0, 0.5, 1.0]), (0.5, 2, -2)),
        (np.array([0.0, 1.0]), (1.0, 1, 0)),
        (np.arange(256) / 255, (1 / 255, 255, 0)),
        (np.zeros(3), (256.0, 1, 0)),
    ],
)
def test_input_grid_is_the_coarsest_that_loses_least(
    sample: Array, wanted: tuple[float, int, int]
) -> None:
    assert input_grid(sample) == wanted


def test_an_average_pool_becomes_a_sum() -> None:
    weights = {"l.w": np.ones((2, 3)), "c.w": np.ones((3, 2, 1, 1)) * 0.3}
    ops = (
        Input(name="x", shape=(2, 4, 4)),
        Repeat(name="r", inputs=("x",)),
        conv("c", "r"),
        Neuron(name="s", inputs=("c",)),
        AvgPool(name="p", inputs=("s",), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
        Sum(name="t", inputs=("p",), axes=(1, 2)),
        Linear(name="l", inputs=("t",), weight="l.w"),
        Readout(name="o", inputs=("l",), steps=2),
        Output(name="y", inputs=("o",)),
    )
    graph, x = Graph(ops, weights, "step", 2), samples(n=4)[:, :, :1].repeat(4, 2).repeat(2, 3)
    x = x[..., :4]
    whole = quantized(graph, x)
    spikes = Executor(whole).run(x, keep=("s", "p")).values
    assert np.array_equal(
        spikes["p"].reshape(2, -1, 3, 2, 2),
        spikes["s"].astype(int).reshape(2, -1, 3, 2, 2, 2, 2).sum(axis=(4, 6)),
    )
    want = Executor(graph).run(x).output
    assert np.allclose(Executor(whole).run(x).output, want, atol=0.05)


def test_what_has_no_integer_form_is_named_and_nothing_is_changed() -> None:
    ops = (
        Input(name="x", shape=(2, 3, 3)),
        Repeat(name="r", inputs=("x",)),
        Foreign(name="soft", inputs=("r",), target="softmax", shape=(2, 3, 3)),
        Neuron(name="n", inputs=("soft",)),
        Output(name="y", inputs=("n",)),
    )
    graph, chip = Graph(ops, {}, "step", 2), load_target("loihi2")
    result = Quantize(chip.arithmetic, chip.features, Calibration(samples())).run(graph)
    assert [d.rule.code for d in result.diagnostics] == ["SNN301"]
    assert "soft" in result.diagnostics[0].message
    assert result.graph is graph


@pytest.mark.parametrize("between", [(), ("b",)], ids=["at once", "behind another layer"])
def test_a_layer_that_adds_to_the_current_it_reads_has_no_unit(between: tuple[str, ...]) -> None:
    """``x + W x``, with no neuron between: the weights of W would count in their own unit."""
    layers = ("a", *between, "c")
    ops = (
        Input(name="x", shape=(4,)), Repeat(name="r", inputs=("x",)),
        *(
            Linear(name=name, inputs=(read,), weight="w")
            for name, read in zip(layers, ("r", *layers), strict=False)
        ),
        Add(name="s", inputs=("a", "c")), Neuron(name="n", inputs=("s",)),
        Readout(name="o", inputs=("n",), steps=4), Output(name="y", inputs=("o",)),
    )  # fmt: skip
    graph, chip = Graph(ops, {"w": np.eye(4) * 0.3}, "step", 4), load_target("loihi2")
    result = Quantize(chip.arithmetic, chip.features, Calibration(np.ones((2, 4)))).run(graph)
    assert [(d.rule.code, d.message) for d in result.diagnostics] == [
        ("SNN301", f"`{name}` adds to the current that it is made of, with no neuron between")
        for name in layers[1:]
    ]


def bordered_network(border: Array | None, reads: str = "a") -> Graph:
    """A conv, a border around its currents or around spikes, and a conv that sees the border."""
    weights = {**residual_network().weights, "c.w": np.ones((4, 4, 3, 3)) * 0.3}
    if border is not None:
        weights["p.b"] = border
    pad = Pad(
        name="p", inputs=(reads,), before=(1, 1), after=(1, 1),
        value=None if border is None else "p.b",
    )  # fmt: skip
    first = residual_network().ops[:4]
    rest = (conv("c", "p"), Neuron(name="m", inputs=("c",)))
    end: tuple[Op, ...] = (
        Sum(name="t", inputs=("m",), axes=(1, 2)),
        Linear(name="h", inputs=("t",), weight="h.w", bias="h.b"),
        Readout(name="o", inputs=("h",), steps=4),
        Output(name="y", inputs=("o",)),
    )
    return Graph((*first, pad, *rest, *end), weights, "step", 4)


@pytest.mark.parametrize("border", [None, np.array(0.7), np.array([0.5, -0.2, 0.0, 1.0])])
def test_a_border_of_currents_is_rounded_to_their_unit(border: Array | None) -> None:
    graph, x, chip = bordered_network(border), samples(), load_target("loihi2")
    whole = Quantize(chip.arithmetic, chip.features, Calibration(x)).run(graph).graph
    integer = Executor(whole).run(x, keep=("a", "p")).values
    assert np.array_equal(integer["p"][..., 1:-1, 1:-1], integer["a"])
    edge = Executor(graph).run(x, keep=("p",)).values["p"][0, 0, :, 0, 0]
    units = np.asarray(whole.weights["a.bias"]) / np.asarray(graph.weights["a.b"])
    np.testing.assert_allclose(integer["p"][0, 0, :, 0, 0], edge * units, rtol=0.01, atol=1)
    assert compare(run_floats(graph, x), whole, x).quality.layers["m"].equal_spikes > 0.95


def test_a_border_of_spikes_must_be_a_count() -> None:
    graph, x = bordered_network(np.array(1.0), "s"), samples()
    whole = quantized(graph, x)
    assert (Executor(whole).run(x, keep=("p",)).values["p"][..., 0, 0] == 1).all()
    chip = load_target("loihi2")
    for value in (0.5, np.inf):
        graph = bordered_network(np.array(value), "s")
        result = Quantize(chip.arithmetic, chip.features, Calibration(x)).run(graph)
        assert [d.rule.code for d in result.diagnostics] == ["SNN301"]
        assert "border" in result.diagnostics[0].message


@pytest.mark.parametrize("places", [3, 5])
def test_an_answer_with_its_channels_in_front_has_one_scale(places: int) -> None:
    rng, shape = np.random.default_rng(0), (2, places, places)
    made = (
        Input(name="x", shape=shape, varies=True, domain=dom.SPIKE, scale=1.0),
        Conv(name="c", inputs=("x",), weight="c.w", stride=(1, 1), padding=(1, 1),
             dilation=(1, 1)),
        Readout(name="r", inputs=("c",), steps=4), Output(name="y", inputs=("r",)),
    )  # fmt: skip
    weight = rng.normal(size=(3, 2, 3, 3)) * np.array([1, 2, 3]).reshape(3, 1, 1, 1)
    graph = Graph(made, {"c.w": weight}, "step", 4)
    chip = load_target("loihi2")
    calibration = Calibration(np.ones((2, *shape)))
    found = Quantize(chip.arithmetic, chip.features, calibration).quantize(graph).graph
    x = rng.integers(0, 2, (4, 6, *shape)).astype(float)
    before, after = interpret(graph, x)["y"], interpret(found, x)["y"]
    assert np.abs(before - after).mean() < 0.02 * np.abs(before).mean()
