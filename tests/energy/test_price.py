"""Prices: the published logs to the last digit, and counts against a loop over spikes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.energy.load import load_energy_model, precisions_of
from snncc.energy.price import (
    Load,
    counted,
    document,
    estimate,
    estimated,
    loads,
    price,
)
from snncc.execute.counts import Counts, count
from snncc.execute.executor import Executor
from snncc.ir.domain import integers
from snncc.ir.graph import Array, Graph, Source
from snncc.ir.ops import (
    Add,
    Conv,
    Input,
    IntegerNeuron,
    Linear,
    MatMul,
    Output,
    Permute,
    Readout,
    Repeat,
    Reshape,
)

GOLDEN = Path(__file__).parent.parent / "golden"
PAPER = load_energy_model("paper-45nm")
COUNTED = load_energy_model("counted-45nm")


def golden(size: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"spikingformer-{size}.json").read_text())
    return found


def loads_of(log: dict[str, Any], heads: int) -> list[Load]:
    """The estimates of a published log, from its rates and dense operations."""
    found = [
        estimate(
            layer["name"],
            layer["name"],
            layer["type"],
            layer["dense_ops"],
            layer["input_firing_rate"] if layer["kind"] == "AC" else None,
        )
        for layer in log["layers"]
    ]
    config = log["config"]
    size = config["T"] * heads * config["tokens"] * (config["dim"] // heads) ** 2
    for block in log["attention"]:
        path = f"block.{block['block']}.attn"
        found.append(estimate("kv", path, "matmul", size, min(block["k"], block["v"])))
        found.append(estimate("qkv", path, "matmul", size, block["q"]))
    return found


@pytest.mark.parametrize(
    ("size", "heads", "gmac", "gac", "energy_mj"),
    [
        ("8-512", 8, 0.347329512, 6.517540940762441, 7.463502601886196),
        ("8-768", 12, 0.520993768, 12.513659576717108, 13.658864951845398),
        ("8-768", 8, 0.520993768, 12.531207288238393, 13.674657892214555),
    ],
)
def test_the_published_logs_to_the_last_digit(
    size: str, heads: int, gmac: float, gac: float, energy_mj: float
) -> None:
    energy = price(loads_of(golden(size), heads), PAPER)
    assert energy.mac / 1e9 == pytest.approx(gmac, rel=1e-12)
    assert energy.ac / 1e9 == pytest.approx(gac, rel=1e-12)
    assert energy.energy_mj == pytest.approx(energy_mj, rel=1e-12)


def test_each_layer_of_the_log_costs_what_it_says() -> None:
    log = golden("8-512")
    energy = price(loads_of(log, 8), PAPER)
    for layer, priced in zip(log["layers"], energy.layers, strict=False):
        assert priced.load.ac + priced.load.mac == pytest.approx(layer["ops"], rel=1e-12)
        assert priced.energy_mj == pytest.approx(layer["energy_mJ"], rel=1e-12)


def test_a_mac_and_an_ac_have_the_prices_of_the_tables() -> None:
    work = [estimate("a", "a", "conv", 1000, None), estimate("b", "b", "conv", 1000, 0.5)]
    assert price(work, PAPER).energy_mj == pytest.approx((4600 + 450) * 1e-9)
    assert price(work, COUNTED, "int8").energy_mj == pytest.approx((230 + 15) * 1e-9)
    assert precisions_of(PAPER) == ("fp32",)
    assert precisions_of(COUNTED) == ("fp32", "int8")


def network() -> Graph:
    """Pixels, a strided conv, neurons, a padded dilated grouped conv, attention and a head."""
    rng = np.random.default_rng(3)

    def weight(*shape: int) -> Array:
        return rng.integers(-5, 6, shape).astype(np.int8)

    ops = (
        Input(name="x", shape=(2, 5, 5), domain=integers(0, 3), scale=1.0),
        Repeat(name="xs", inputs=("x",)),
        Conv(
            name="stem", inputs=("xs",), weight="w0", stride=(2, 2), padding=(1, 1),
            dilation=(1, 1), source=Source("stem"),
        ),
        IntegerNeuron(name="n0", inputs=("stem",), threshold="one", decay=2048, shift=0),
        Conv(
            name="conv", inputs=("n0",), weight="w1", bias="b1", stride=(1, 1), padding=(1, 2),
            dilation=(1, 2), groups=2, source=Source("body.conv"),
        ),
        IntegerNeuron(name="n1", inputs=("conv",), threshold="one", decay=2048, shift=0),
        Add(name="sum", inputs=("n0", "n1")),
        Conv(
            name="wide", inputs=("sum",), weight="w2", stride=(1, 1), padding=(0, 0),
            dilation=(1, 1), source=Source("body.wide"),
        ),
        IntegerNeuron(name="n2", inputs=("wide",), threshold="one", decay=2048, shift=0),
        Reshape(name="q", inputs=("n2",), shape=(4, 9)),
        Reshape(name="k", inputs=("n1",), shape=(4, 9)),
        Permute(name="kt", inputs=("k",), order=(1, 0)),
        MatMul(name="kv", inputs=("q", "kt"), source=Source("attn")),
        MatMul(name="qkv", inputs=("kv", "q"), source=Source("attn")),
        Reshape(name="flat", inputs=("n2",), shape=(36,)),
        Readout(name="mean", inputs=("flat",), steps=3),
        Linear(name="head", inputs=("mean",), weight="wh", bias="bh", source=Source("head")),
        Output(name="y", inputs=("head",)),
    )  # fmt: skip
    weights = {
        "w0": weight(4, 2, 3, 3), "w1": weight(4, 2, 3, 3), "b1": weight(4),
        "w2": weight(4, 4, 1, 1), "wh": weight(3, 36), "bh": weight(3), "one": np.array(6),
    }  # fmt: skip
    return Graph(ops, weights, "step", 3)


@pytest.fixture(scope="module")
def x() -> Array:
    return np.random.default_rng(1).integers(0, 4, (3, 2, 5, 5)).astype(float)


@pytest.fixture(scope="module")
def counts(x: Array) -> Counts:
    return count(network(), x)


def synapses(conv: Conv, graph: Graph, values: Array) -> tuple[int, int]:
    """(value, events) times synapses of one conv on `[C, H, W]`, by a loop over all of them."""
    weight = graph.weights[conv.weight]
    outs, per_group, *kernel = weight.shape
    sizes = graph.type_of(conv.name).shape[1:]
    total = events = 0
    for o, i, *taps in itertools.product(*(range(n) for n in (outs, per_group, *kernel))):
        channel = o // (outs // conv.groups) * per_group + i
        for place in itertools.product(*(range(n) for n in sizes)):
            at = [
                p * s + t * d - pad
                for p, s, t, d, pad in zip(
                    place, conv.stride, taps, conv.dilation, conv.padding, strict=True
                )
            ]
            inside = all(0 <= a < n for a, n in zip(at, values.shape[1:], strict=True))
            value = int(values[(channel, *at)]) if inside else 0
            total += value
            events += value != 0
    return total, events


@pytest.mark.parametrize("name", ["stem", "conv", "wide"])
def test_counts_of_convs_equal_a_loop_over_synapses(name: str, x: Array, counts: Counts) -> None:
    graph = network()
    op = graph[name]
    assert isinstance(op, Conv)
    inputs = Executor(graph).run(x, keep=op.inputs).values[op.inputs[0]]
    expected = [
        [synapses(op, graph, inputs[t, b]) for b in range(len(x))] for t in range(graph.steps)
    ]
    sums = np.array(expected).sum(axis=1)
    assert counts.ops[name].synaptic_ops.tolist() == sums[:, 0].tolist()
    assert counts.ops[name].event_ops.tolist() == sums[:, 1].tolist()
    assert sums.sum() > 0


def test_what_is_no_spike_is_a_mac_and_what_is_one_an_ac(counts: Counts) -> None:
    found = {load.name: load for load in counted(counts)}
    for name in ("stem", "wide", "head"):
        assert found[name].ac == 0
        assert found[name].mac == counts.ops[name].event_ops.sum() / 3
        assert found[name].rate == 1
    for name in ("conv", "kv", "qkv"):
        assert found[name].mac == 0
        assert found[name].ac == counts.ops[name].synaptic_ops.sum() / 3
        assert 0 < found[name].rate < 1


def test_the_estimate_is_rate_times_dense_operations(counts: Counts) -> None:
    found = {load.name: load for load in estimated(counts)}
    assert list(found) == ["stem", "conv", "wide", "kv", "qkv", "head"]
    assert found["stem"].mac == found["stem"].dense_ops == 3 * 9 * 4 * 18
    assert found["head"].dense_ops == 3 * 36 + 3
    dense = 3 * (36 * 18 + 36)
    assert found["conv"].dense_ops == dense
    assert found["conv"].ac == dense * counts.rate_out("n0")
    assert found["kv"].rate == min(counts.rate_out("n2"), counts.rate_out("n1"))
    assert found["kv"].ac == 3 * 4 * 9 * 4 * found["kv"].rate
    assert found["qkv"].rate == counts.rate_out("n2")


def test_counting_in_parts_changes_nothing(x: Array, counts: Counts) -> None:
    parts = count(network(), x[:1]) + count(network(), x[1:], batch=1)
    assert counted(parts) == counted(counts)
    assert estimated(parts) == estimated(counts)


@pytest.mark.parametrize("model", [PAPER, COUNTED])
def test_the_document_adds_up_and_says_what_it_leaves_out(counts: Counts, model: Any) -> None:
    found = document("net", loads(counts, model), model)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["schema"] == "snncc.energy/1"
    assert found["model"] == "net"
    assert found["energy_model"] == model.name
    for key in ("mac", "ac", "energy_mj"):
        total = sum(layer[key] for layer in found["layers"])
        assert found["totals"][key] == pytest.approx(total)
    keys = {"path", "op", "rate", "dense_ops", "mac", "ac", "energy_mj"}
    assert all(layer.keys() >= keys for layer in found["layers"])
    assert found["leaves_out"]
    assert found["constants"]["ac_fp32"]["unit"] == "pJ"
    assert found["totals_by_precision"].keys() == set(precisions_of(model))
