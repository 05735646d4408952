"""Each limit of a target is broken once, and named with its numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op, Source
from snncc.ir.ops import (
    Add,
    Input,
    IntegerNeuron,
    Linear,
    MatMul,
    MaxPool,
    Output,
    Readout,
    Repeat,
    RoundShift,
)
from snncc.ir.sites import USUAL_SITES, Sites
from snncc.passes.check_neurons import fits_bias_field
from snncc.passes.check_target import CheckTarget, neuron_count
from snncc.passes.unroll_levels import UnrollLevels
from snncc.targets.facts import Fact
from snncc.targets.load import Target, load_target

CHIP = Sites("chip", "chip")
SOURCE = Source("layer", "net.py", 3)


WIDE = (
    "SNN416 `n` gets a bias of -4480064 from `l`, the field of loihi1 "
    "holds 13 bits times 2**7 at most; 1 of 4 biases do not fit"
)


def network(
    *,
    weight: int = 100,
    threshold: int = 6401,
    top: int = 1,
    bias: int = 0,
    sign: int = 1,
    **neuron: Any,
) -> Graph:
    weights: dict[str, Array] = {
        "l.w": np.full((4, 4), weight, np.int16),
        "l.b": np.array([0, bias, 1, 0]),
        "n.t": np.array([threshold], np.int32),
    }
    weights["l.w"][0, 0] *= sign
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(4, 4), domain=dom.integers(0, top), scale=1.0),
        Repeat(name="r", inputs=("x",)),
        Linear(name="l", inputs=("r",), weight="l.w", bias="l.b", source=SOURCE),
        IntegerNeuron(
            name="n", inputs=("l",), **{"threshold": "n.t", "decay": 2048, "shift": 6, **neuron}
        ),
        MatMul(name="m", inputs=("n", "n")),
        Readout(name="o", inputs=("m",), steps=4),
        Output(name="y", inputs=("o",)),
    )
    return Graph(ops, weights, "step", 4)


def messages(graph: Graph, target: Target, sites: Sites = USUAL_SITES) -> list[str]:
    found = CheckTarget(target, sites).run(graph).diagnostics
    return [f"{d.rule.code} {d.message}" for d in found]


def test_a_legal_network_has_no_findings() -> None:
    assert messages(network(), load_target("loihi2")) == []


@pytest.mark.parametrize(
    ("graph", "target", "wanted"),
    [
        (network(weight=200), "loihi2", "SNN410 `l` needs weights of 9 bits, loihi2 has 8"),
        (
            network(threshold=64 * 131072 + 1),
            "loihi2",
            "SNN411 `n` needs a threshold of 131072, the register of loihi2 holds 131071",
        ),
        (
            network(top=16),
            "loihi1",
            "SNN412 `l` reads int[0..16], a payload of 5 bits; the spikes of loihi1 carry none",
        ),
        (
            network(),
            "loihi1",
            "SNN414 `m` multiplies two computed values, the neurons of loihi1 are not programmable",
        ),
        (
            network(weight=200, sign=-1),
            "loihi1",
            "SNN410 `l` needs weights of 9 bits, loihi1 has 8",
        ),
        (network(weight=-300), "loihi1", "SNN410 `l` needs weights of 10 bits, loihi1 has 9"),
        (
            network(threshold=0),
            "loihi2",
            "SNN411 `n` needs a threshold of -1, the register of loihi2 holds 131071",
        ),
        (
            network(reset="soft"),
            "loihi1",
            "SNN415 `n` resets softly, the neurons of loihi1 reset to zero",
        ),
        (
            network(threshold=6400),
            "loihi1",
            "SNN415 `n` has thresholds between multiples of 64, the neurons of loihi1 have none",
        ),
        (
            network(bias=-70001),
            "loihi1",
            WIDE,
        ),
        (
            network(decay=4096),
            "loihi1",
            "SNN417 `n` needs a decay of 4096, the register of loihi1 holds 4095",
        ),
    ],
)
def test_each_limit_is_named_with_its_numbers(graph: Graph, target: str, wanted: str) -> None:
    assert wanted in messages(graph, load_target(target))


def codes(graph: Graph, target: Target, sites: Sites = CHIP) -> set[str]:
    return {d.rule.code for d in CheckTarget(target, sites).run(graph).diagnostics}


def test_programmable_neurons_have_no_such_limits() -> None:
    chip = load_target("loihi2")
    assert codes(network(reset="soft", threshold=6400, bias=70001, decay=4096), chip) == set()


def test_nine_bits_of_one_sign() -> None:
    """A weight may have the ninth bit where no other of its layer has the other sign."""
    loihi1 = load_target("loihi1")
    assert "SNN410" not in codes(network(weight=255), loihi1)
    assert "SNN410" not in codes(network(weight=-256), loihi1)
    assert "SNN410" in codes(network(weight=256), loihi1)


def test_several_spikes_at_once_take_programmable_neurons() -> None:
    graph = network(levels=2)
    graph = graph.replace(graph.ops, {"n.t": np.array([[65], [129]])})
    wanted = "SNN415 `n` fires up to 2 spikes at once, the neurons of loihi1 fire one"
    assert wanted in messages(graph, load_target("loihi1"))


def test_decays_of_another_width_are_not_compiled_for() -> None:
    chip = load_target("loihi2")
    eight = dataclasses.replace(chip.arithmetic, decay_bits=Fact(8, source="a test", unit="bit"))
    coarse = dataclasses.replace(chip, arithmetic=eight)
    assert messages(network(), coarse) == [
        "SNN417 `n` leaks in 12-bit shares, those of loihi2 have 8"
    ]
    assert messages(network(decay=0), coarse) == []


def test_currents_fit_their_register_in_the_unit_of_the_potential() -> None:
    """400 << 3 takes 13 bits with its sign, and so does anything down to -4096."""
    chip = load_target("loihi2")
    for bits, found in ((13, 0), (12, 1)):
        narrow = dataclasses.replace(
            chip.arithmetic, current_bits=Fact(bits, source="a test", unit="bit")
        )
        wanted = (
            "SNN419 `n` gets currents of int[0..401], 13 bits when shifted by 3; "
            "the register of loihi2 has 12"
        )
        graph = network(shift=3)
        assert messages(graph, dataclasses.replace(chip, arithmetic=narrow)) == [wanted][:found]


def test_the_shift_of_a_layer_counts_in_its_currents() -> None:
    chip, graph = load_target("loihi2"), network(shift=3)
    shifted = dataclasses.replace(graph["l"], shift=2, bias=None)  # type: ignore[call-arg]
    graph = graph.replace([shifted if op.name == "l" else op for op in graph.ops])
    narrow = dataclasses.replace(
        chip.arithmetic, current_bits=Fact(12, source="a test", unit="bit")
    )
    wanted = (
        "SNN419 `n` gets currents of int[0..1600], 15 bits when shifted by 3; "
        "the register of loihi2 has 12"
    )
    assert messages(graph, dataclasses.replace(chip, arithmetic=narrow)) == [wanted]


@given(st.integers(1, 14), st.integers(0, 3), st.integers(-(2**20), 2**20))
def test_a_bias_fits_if_some_mantissa_and_exponent_make_it(
    mantissa_bits: int, exponent_bits: int, bias: int
) -> None:
    fields: dict[str, Any] = {
        "bias_mantissa_bits": Fact(mantissa_bits, source="a test", unit="bit"),
        "bias_exponent_bits": Fact(exponent_bits, source="a test", unit="bit"),
    }
    arithmetic = dataclasses.replace(load_target("loihi1").arithmetic, **fields)
    most = 2 ** (mantissa_bits - 1)
    made = any(bias % 2**e == 0 and -most <= bias // 2**e < most for e in range(2**exponent_bits))
    assert fits_bias_field(np.array([bias]), arithmetic).tolist() == [made]


def layer(fan_in: int, target: str, *, weight: int = 1, memory: int | None = None) -> list[str]:
    """What a layer of that many spiking inputs breaks, with that much memory in a core."""
    chip = load_target(target)
    if memory is not None:
        limits = {**chip.limits, "synaptic_memory_bytes_per_core": Fact(memory, source="a test")}
        chip = dataclasses.replace(chip, limits=limits)
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(fan_in,), domain=dom.SPIKE, scale=1.0, varies=True),
        IntegerNeuron(name="i", inputs=("x",), threshold="t", decay=0, shift=6),
        Linear(name="l", inputs=("i",), weight="w"),
        IntegerNeuron(name="n", inputs=("l",), threshold="t", decay=0, shift=6),
        Output(name="y", inputs=("n",)),
    )
    weights: dict[str, Array] = {"w": np.full((1, fan_in), weight, np.int8), "t": np.array([65])}
    return messages(Graph(ops, weights, "step", 4), chip)


def test_a_neuron_has_its_synapses_on_one_core() -> None:
    assert layer(4096, "loihi1") == []
    assert layer(4097, "loihi1") == [
        "SNN418 a neuron behind `l` takes 4097 sources, a core has 4096 input axons on loihi1"
    ]
    assert layer(4097, "loihi2") == []


def test_a_neuron_has_its_weights_in_one_memory() -> None:
    assert layer(100, "loihi2", weight=127, memory=100) == []
    (found,) = layer(100, "loihi2", weight=127, memory=99)
    wanted = "SNN418 a neuron behind `l` takes 100 bytes of weights, a core has 99 for synapses"
    assert found == f"{wanted} on loihi2"


def stream(**fields: Any) -> Graph:
    """Currents that wait for a branch: a residual sum."""
    spiking: Any = {"threshold": "t", "decay": 2048, "shift": 6}
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(4,), domain=dom.SPIKE, scale=1.0, varies=True),
        Linear(name="a", inputs=("x",), weight="w"),
        IntegerNeuron(name="s", inputs=("a",), **spiking),
        Linear(name="b", inputs=("s",), weight="w"),
        Add(name="r", inputs=("a", "b")),
        IntegerNeuron(name="n", inputs=("r",), **spiking),
        Linear(name="h", inputs=("n",), weight="w", **fields),
        Readout(name="o", inputs=("h",), steps=4),
        Output(name="y", inputs=("o",)),
    )
    return Graph(ops, {"w": np.full((4, 4), 100, np.int8), "t": np.array([65])}, "step", 4)


def test_currents_that_wait_travel_as_payloads() -> None:
    waits = "SNN412 `a` waits as int[0..400], a payload of 9 bits; the spikes of loihi1 carry none"
    assert messages(stream(), load_target("loihi1")) == [waits]
    assert messages(stream(), load_target("loihi2")) == []


def test_currents_that_leave_the_host_travel_as_payloads() -> None:
    found = CheckTarget(load_target("loihi1"), Sites("host", "chip")).run(stream()).diagnostics
    assert [d.message for d in found] == [
        "`r` reads int[0..400], a payload of 9 bits; the spikes of loihi1 carry none"
    ]


def test_pixels_stay_on_the_host_with_the_encoder() -> None:
    loihi1 = load_target("loihi1")
    (pixels,) = (
        d for d in CheckTarget(loihi1, CHIP).run(network(top=16)).diagnostics
        if d.rule.code == "SNN412" and "`l`" in d.message
    )  # fmt: skip
    assert pixels.hint == "run the encoder on the host: --encoder host"
    assert codes(network(top=16), loihi1, Sites("host", "host")) == {"SNN412", "SNN414"}
    graph = network(top=16, weight=300, reset="soft", bias=70001)
    assert "SNN410" in codes(graph, loihi1, CHIP)
    assert not codes(graph, loihi1, Sites("host", "host")) & {"SNN410", "SNN415", "SNN416"}


def test_a_head_on_the_chip_is_held_to_its_limits() -> None:
    graph = stream(bias="b").replace(stream(bias="b").ops, {"b": np.zeros(4, np.int64)})
    wide = graph.replace(graph.ops, {"w": np.full((4, 4), 300, np.int16)})
    chip = load_target("loihi2")
    assert not any("`h`" in m for m in messages(wide, chip, Sites("chip", "host")))
    assert any("`h`" in m for m in messages(wide, chip, CHIP))


def test_rounding_and_maxima_of_currents_take_programmable_neurons() -> None:
    window: Any = {"kernel": (2,), "stride": (2,), "padding": (0,), "dilation": (1,)}
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(4,), domain=dom.SPIKE, scale=1.0, varies=True),
        MaxPool(name="or", inputs=("x",), **window),
        Linear(name="a", inputs=("x",), weight="w"),
        RoundShift(name="cut", inputs=("a",), bits=2),
        MaxPool(name="p", inputs=("cut",), **window),
        Output(name="y", inputs=("p",)),
        Output(name="z", inputs=("or",)),
    )
    graph = Graph(ops, {"w": np.full((4, 4), 100, np.int8)}, "step", 4)
    found = messages(graph, load_target("loihi1"))
    assert [m for m in found if m.startswith("SNN415")] == [
        "SNN415 `cut` rounds a current to fewer bits, the neurons of loihi1 cannot",
        "SNN415 `p` takes the largest of several currents, the neurons of loihi1 cannot",
    ]
    assert messages(graph, load_target("loihi2")) == []


def test_a_mended_network_of_a_fixed_chip_has_no_findings() -> None:
    """An encoder on the host, spikes in between, a head on the host: nothing is left to say."""
    assert messages(stream().replace(op for op in PLAIN), load_target("loihi1")) == []


PLAIN: tuple[Op, ...] = tuple(
    dataclasses.replace(op, inputs=("b",)) if op.name == "n" else op
    for op in stream().ops
    if op.name != "r"
)


def test_counts_travel_spike_by_spike_where_they_are_unrolled() -> None:
    """A sum of two spikes, on a chip without payloads: refused as it is, legal in sub-steps."""
    spiking: Any = {"threshold": "t", "decay": 2048, "shift": 6}
    window: Any = {"kernel": (2,), "stride": (2,), "padding": (0,), "dilation": (1,)}
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(4,), domain=dom.SPIKE, scale=1.0, varies=True),
        IntegerNeuron(name="s", inputs=("x",), **spiking),
        Linear(name="a", inputs=("s",), weight="w"),
        IntegerNeuron(name="n", inputs=("a",), **spiking),
        Add(name="two", inputs=("s", "n")),
        MaxPool(name="p", inputs=("two",), **window),
        Linear(name="b", inputs=("p",), weight="v"),
        IntegerNeuron(name="m", inputs=("b",), **spiking),
        Output(name="y", inputs=("m",)),
    )
    weights: dict[str, Array] = {
        "w": np.full((4, 4), 100, np.int8),
        "v": np.full((4, 2), 100, np.int8),
        "t": np.array([65]),
    }
    graph, loihi1 = Graph(ops, weights, "step", 4), load_target("loihi1")
    assert codes(graph, loihi1) == {"SNN412", "SNN415"}
    assert codes(UnrollLevels().run(graph).graph, loihi1) == set()
    biased = Linear(name="b", inputs=("p",), weight="v", bias="c")
    wide = [biased if op.name == "b" else op for op in graph.ops]
    loud = graph.replace(wide, {"c": np.full(4, 70001)})
    assert codes(UnrollLevels().run(loud).graph, loihi1) == {"SNN416"}


def test_biases_that_meet_in_a_neuron_are_added() -> None:
    """Each of two fits the field, both together do not; of opposite signs they do again."""
    spiking: Any = {"threshold": "t", "decay": 2048, "shift": 6}
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(4,), domain=dom.SPIKE, scale=1.0, varies=True),
        Linear(name="a", inputs=("x",), weight="w", bias="a.b"),
        Linear(name="b", inputs=("x",), weight="w", bias="b.b"),
        Add(name="r", inputs=("a", "b")),
        IntegerNeuron(name="n", inputs=("r",), **spiking),
        Output(name="y", inputs=("n",)),
    )
    weights: dict[str, Array] = {"w": np.eye(4, dtype=np.int8), "t": np.array([65])}
    for other, wanted in (
        (7001, ["SNN416 `n` gets a bias of 896128 from `a` and `b`, the field of loihi1 holds"]),
        (-7001, []),
    ):
        biases = {"a.b": np.full(4, 7001), "b.b": np.full(4, other)}
        found = messages(Graph(ops, {**weights, **biases}, "step", 4), load_target("loihi1"))
        assert [m.partition(" 13 bits")[0] for m in found] == wanted


def test_more_neurons_than_a_chip_has_are_counted_in_chips() -> None:
    chip = load_target("loihi2")
    small = {**chip.limits, "neurons_per_chip": Fact(value=5, source="a test")}
    found = messages(network(), dataclasses.replace(chip, limits=small))
    assert found == ["SNN413 16 neurons take 4 chips or more of loihi2, which has 5 a chip"]


def test_neurons_are_counted() -> None:
    assert neuron_count(network()) == 16
    assert neuron_count(network(), host={"n"}) == 0
