"""Currents that outlast a time step, from the check to the chip's integers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics.core import Diagnostic
from snncc.execute.executor import Executor
from snncc.execute.measure import run_floats
from snncc.execute.pipelined import run_pipelined
from snncc.execute.quality import compare
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph, Op, Source, Weight
from snncc.ir.interpret import interpret
from snncc.ir.sites import Sites
from snncc.ir.synaptic_current import IntegerCurrent, SynapticCurrent
from snncc.ir.text import dump
from snncc.passes.balance_delays import pipelined
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.check_spikes import CheckSpikes
from snncc.passes.check_target import CheckTarget
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales
from snncc.passes.merge_linear_chains import MergeLinearChains
from snncc.passes.quantize import Calibration, LayerScales, Quantize
from snncc.passes.roll_levels import RollLevels
from snncc.passes.unroll_levels import UnrollLevels
from snncc.targets.facts import Fact
from snncc.targets.load import Target, load_target

Networks = Callable[..., Graph]
Events = Callable[..., Array]
RNG = np.random.default_rng(0)
WEIGHTS: dict[str, Weight] = {
    "w": RNG.normal(size=(4, 4)), "b": RNG.normal(size=4), "zero": np.zeros(4),
    "mean": RNG.normal(size=4), "var": RNG.uniform(0.5, 2, 4),
}  # fmt: skip


def op(kind: type[Op], name: str, *inputs: str, **fields: Any) -> Op:
    return kind(name=name, inputs=inputs, source=Source(f"net.{name}"), **fields)


def linear(name: str, read: str, bias: str | None = "b") -> Op:
    return op(ops.Linear, name, read, weight="w", bias=bias)


def kept(name: str, read: str, keep: float = 0.75) -> Op:
    return op(SynapticCurrent, name, read, keep=keep)


def graph_of(*made: Op, varies: bool = True, domain: dom.Domain = dom.REAL) -> Graph:
    """A step graph that reads ``x``, 3 by 4, and answers the sum over 5 steps of ``z``."""
    every = (
        op(ops.Input, "x", shape=(3, 4), varies=varies, domain=domain),
        *made,
        op(ops.Readout, "r", "z", steps=5),
        op(ops.Output, "y", "r"),
    )
    return Graph((), {}, "step", 5).replace(every, WEIGHTS)


def same_answers(before: Graph, after: Graph) -> None:
    steps = (5,) if getattr(before.ops[0], "varies", False) else ()
    x = np.random.default_rng(1).uniform(-1, 3, (*steps, 2, 3, 4))
    assert np.allclose(interpret(before, x)["y"], interpret(after, x)["y"], rtol=1e-12)


def test_a_current_of_one_step_goes() -> None:
    before = graph_of(linear("l", "x"), kept("i", "l", 0.0), op(ops.Neuron, "z", "i"))
    after = Canonicalise().run(before).graph
    assert [o.kind for o in after.ops] == ["input", "linear", "neuron", "readout", "output"]
    same_answers(before, after)


def test_one_of_what_never_changes_is_shown_at_every_step() -> None:
    before = graph_of(linear("l", "x"), kept("z", "l", 0.0), varies=False)
    after = Canonicalise().run(before).graph
    assert [o.kind for o in after.ops] == ["input", "linear", "repeat", "readout", "output"]
    same_answers(before, after)


def test_factors_pass_through() -> None:
    behind = graph_of(
        linear("l", "x"), kept("i", "l"), op(ops.Scale, "f", "i", factor=-0.5),
        op(ops.Neuron, "z", "f"),
    )  # fmt: skip
    ahead = graph_of(
        linear("l", "x"), op(ops.Scale, "f", "l", factor=4.0), kept("i", "f"),
        op(ops.Neuron, "z", "i"),
    )  # fmt: skip
    for before in (behind, ahead):
        found = FoldScales().run(before)
        assert found.diagnostics == ()
        assert not found.graph.of_kind("scale")
        same_answers(before, found.graph)


def norm(name: str, read: str, beta: str | None, mean: str) -> Op:
    return op(
        ops.BatchNorm, name, read, gamma="mean", beta=beta, mean=mean, var="var", eps=1e-5, axis=1
    )


@pytest.mark.parametrize("beta", [None, "zero"])
def test_a_batch_norm_that_only_scales_folds_through(beta: str | None) -> None:
    before = graph_of(
        linear("l", "x"), kept("i", "l"), norm("n", "i", beta, "zero"), op(ops.Neuron, "z", "n")
    )
    found = FoldBatchNorm().run(before)
    assert found.diagnostics == ()
    assert not found.graph.of_kind("batch_norm")
    same_answers(before, found.graph)


def test_a_batch_norm_that_shifts_does_not() -> None:
    before = graph_of(
        linear("l", "x"), kept("i", "l"), norm("n", "i", "b", "mean"), op(ops.Neuron, "z", "n")
    )
    (found,) = FoldBatchNorm().run(before).diagnostics
    assert found.message == "`net.n` cannot fold into weights"
    assert found.because == ("before it stands `net.i` (synaptic_current)",)


def test_one_before_the_current_folds_as_ever() -> None:
    before = graph_of(
        linear("l", "x"), norm("n", "l", "b", "mean"), kept("i", "n"), op(ops.Neuron, "z", "i")
    )
    after = FoldBatchNorm().run(before).graph
    assert [o.kind for o in after.ops][1:4] == ["linear", "synaptic_current", "neuron"]
    same_answers(before, after)


def test_linear_chains_end_at_a_current() -> None:
    before = graph_of(linear("l", "x"), kept("i", "l"), linear("m", "i"), op(ops.Neuron, "z", "m"))
    after = MergeLinearChains().run(before).graph
    assert [o.kind for o in after.ops] == [o.kind for o in before.ops]


def test_a_weighted_layer_that_reads_a_current_is_told_why() -> None:
    graph = graph_of(
        linear("l", "x"), op(ops.Neuron, "s", "l"), linear("m", "s"), kept("i", "m"),
        linear("k", "i"), op(ops.Neuron, "z", "k"),
    )  # fmt: skip
    encoder, found = CheckSpikes().run(graph).diagnostics
    assert encoder.allowed_by == "policy: encoder"
    assert found.message == "`net.k` reads real, not spikes"
    assert found.because == (
        "`net.i` keeps a current made of real: real",
        "`net.m` is a linear: real",
    )


def test_a_current_of_spikes_is_no_spike() -> None:
    graph = graph_of(kept("i", "x"), linear("k", "i"), op(ops.Neuron, "z", "k"), domain=dom.SPIKE)
    (found,) = CheckSpikes().run(graph).diagnostics
    assert found.because == ("`net.i` keeps a current made of spike: real",)


def test_a_head_whose_answer_lasts_is_a_head() -> None:
    graph = graph_of(
        op(ops.Neuron, "s", "x"), linear("h", "s"), kept("z", "h"),
    )  # fmt: skip
    assert CheckSpikes().run(graph).diagnostics == ()


def quantized(
    graph: Graph, data: Array, target: Target | None = None, bits: int = 8
) -> tuple[Graph, tuple[Diagnostic, ...], list[LayerScales]]:
    chip = target or load_target("loihi2")
    means = run_floats(graph, data).mean_inputs
    quantize = Quantize(chip.arithmetic, chip.features, Calibration(data, means), bits)
    found = quantize.quantize(graph)
    return found.graph, found.found, list(found.layers)


def test_the_integers_are_those_of_stock_neurons(lasting_network: Networks, events: Events) -> None:
    """Decays are in 4096ths; currents and potentials have one unit, and no second shift."""
    integer, found, layers = quantized(lasting_network(), events())
    assert found == ()
    kinds = [(i.decay, i.shift, i.steps) for i in integer.ops if isinstance(i, IntegerCurrent)]
    assert kinds == [(1024, 6, 6), (2048, 6, 6), (410, 6, 6)]
    neurons = [n for n in integer.ops if isinstance(n, ops.IntegerNeuron)]
    assert [(n.decay, n.shift) for n in neurons] == [(2048, 0)] * 3
    for neuron in neurons:
        threshold = np.asarray(integer.weights[neuron.threshold])
        assert threshold.size > 1  # one a channel: they pass through the current
        assert not np.any((threshold - 1) % 64)
    assert not any(layer.plan.exact for layer in layers)
    text = "\n".join(line for line in dump(integer).splitlines() if "net.lif1" in line)
    assert "= integer_current(%a, decay=1024, shift=6, steps=6)" in text


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("target", ["loihi1", "loihi2"])
def test_the_integers_stay_near_the_floats(
    lasting_network: Networks, events: Events, residual: bool, v_reset: float | None, target: str
) -> None:
    graph = lasting_network(residual=residual, v_reset=v_reset)
    integer, _, _ = quantized(graph, events(), load_target(target))
    quality = compare(run_floats(graph, events(1, 24)), integer, events(1, 24)).quality
    assert min(layer.equal_spikes for layer in quality.layers.values()) > 0.95
    assert min(layer.rate_float for layer in quality.layers.values()) > 0.05


def test_counts_times_their_scale_are_the_current(
    lasting_network: Networks, events: Events
) -> None:
    """Of one layer alone: what it reads is the input, which loses nothing."""
    graph = lasting_network()
    integer, _, _ = quantized(graph, events())
    x = events(3).swapaxes(0, 1)
    real, whole = (interpret(each, x)["i1"] for each in (graph, integer))
    flat, counts = (np.moveaxis(v, 2, -1).reshape(-1, 4) for v in (real, whole))
    scale = (flat * counts).sum(axis=0) / (counts**2).sum(axis=0)
    assert np.abs(counts * scale - flat).max() < 0.01 * np.abs(flat).max()


def test_two_filters_in_a_row_shift_once(events: Events) -> None:
    graph = graph_of(
        linear("l", "x"), kept("i", "l", 0.5), kept("j", "i", 0.25), op(ops.Neuron, "z", "j")
    )
    data = np.random.default_rng(0).uniform(0, 1, (4, 5, 3, 4))
    integer, _, _ = quantized(graph, data)
    assert [(i.shift, i.decay) for i in integer.ops if isinstance(i, IntegerCurrent)] == [
        (6, 2048), (0, 3072),
    ]  # fmt: skip
    assert isinstance(integer["z"], ops.IntegerNeuron)
    assert integer["z"].shift == 0


def test_spikes_can_be_kept_as_they_are() -> None:
    graph = graph_of(
        linear("l", "x"), op(ops.Neuron, "s", "l"), kept("i", "s", 0.5),
        op(ops.Neuron, "z", "i", tau=None, v_threshold=1.5, v_reset=None),
    )  # fmt: skip
    data = np.random.default_rng(0).uniform(0, 1, (4, 5, 3, 4))
    integer, found, _ = quantized(graph, data)
    assert found == ()
    assert integer.type_of("i").domain == dom.integers(0, 64 + 32 + 16 + 8 + 4)
    assert int(np.asarray(integer.weights["z.threshold"]).max()) == 96


def test_a_stored_bias_meets_what_lasts_in_its_unit() -> None:
    graph = graph_of(
        linear("l", "x", None), kept("i", "l"), op(ops.Constant, "k", value="b"),
        op(ops.Add, "a", "i", "k"), op(ops.Neuron, "z", "a"),
    )  # fmt: skip
    data = np.random.default_rng(0).uniform(0, 1, (4, 5, 3, 4))
    integer, _, _ = quantized(graph, data)
    quality = compare(run_floats(graph, data), integer, data).quality
    assert quality.layers["z"].equal_spikes > 0.95


def test_no_bias_is_put_before_a_current_that_lasts(
    lasting_network: Networks, events: Events
) -> None:
    """What rounding takes off the mean is not made up for: stock neurons have no place for it."""
    without, _, _ = quantized(lasting_network(biases=False), events())
    assert all(op.bias is None for op in without.ops if isinstance(op, ops.Conv))
    with_biases, _, _ = quantized(lasting_network(), events())
    assert all(op.bias for op in with_biases.ops if isinstance(op, ops.Conv))


def test_a_current_that_may_leave_its_register_is_told(
    lasting_network: Networks, events: Events
) -> None:
    chip = load_target("loihi2")
    narrow = dataclasses.replace(chip.arithmetic, current_bits=Fact(12, "a test"))
    target = dataclasses.replace(chip, arithmetic=narrow)
    integer, found, _ = quantized(lasting_network(), events(), target)
    domain = integer.type_of("i1").domain
    assert isinstance(domain, Grid)
    assert found[0].rule.code == "SNN302"
    assert found[0].message == (
        f"`i1` could reach a current of {domain.magnitude}, beyond the 2047 of the target's width"
    )
    assert [d.rule.code for d in CheckTarget(target).run(integer).diagnostics] == []


CHIP = Sites("chip", "chip")


def integers(*made: Op, **weights: Array) -> Graph:
    """An integer step graph of spikes ``x`` whose answer is ``z``."""
    every = (
        op(ops.Input, "x", shape=(4,), varies=True, domain=dom.SPIKE, scale=1.0),
        *made,
        op(ops.Linear, "h", "z", weight="w"),
        op(ops.Readout, "r", "h", steps=4),
        op(ops.Output, "y", "r"),
    )
    stored = {"w": np.eye(4, dtype=np.int8), "b": np.array([0, 5, 0, 0]), "zero": np.zeros(4, int)}
    pool: dict[str, Weight] = {**stored, "t": np.array([65]), **weights}
    return Graph((), {}, "step", 4).replace(every, pool)


def keeps(name: str, read: str, decay: int = 1000, shift: int = 6) -> Op:
    return op(IntegerCurrent, name, read, decay=decay, shift=shift, steps=4)


def fires(name: str, read: str) -> Op:
    return op(ops.IntegerNeuron, name, read, threshold="t", decay=2048, shift=0)


FIXED = "the neurons of loihi1"
LOSES = "neurons of loihi1 lose"


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        ([linear("l", "x", "zero"), keeps("i", "l"), fires("z", "i")], []),
        ([linear("l", "x", None), keeps("i", "l", 1), fires("z", "i")], []),
        ([linear("l", "x", None), keeps("i", "l", 4096), fires("z", "i")], []),
        (
            [linear("l", "x", None), keeps("i", "l", 0), fires("z", "i")],
            [f"SNN417 `i` loses nothing of its current, {LOSES} at least 1 of 4096 in a step"],
        ),
        (
            [linear("l", "x"), keeps("i", "l"), fires("z", "i")],
            [f"SNN415 `i` keeps the bias of `l` from step to step, {FIXED} add it anew in each"],
        ),
        (
            [linear("l", "x"), op(ops.Scale, "n", "l", factor=-1), keeps("i", "n"),
             fires("z", "i")],
            [f"SNN415 `i` keeps the bias of `l` from step to step, {FIXED} add it anew in each"],
        ),
        (
            [linear("l", "x", None), op(ops.Constant, "k", value="b"), op(ops.Add, "a", "l", "k"),
             keeps("i", "a"), fires("z", "i")],
            [f"SNN415 `i` keeps the bias of `k` from step to step, {FIXED} add it anew in each"],
        ),
        (
            [linear("l", "x", None), op(ops.Constant, "k", value="b"), keeps("i", "l"),
             op(ops.Add, "a", "i", "k"), fires("z", "a")],
            [],
        ),
        (
            [linear("l", "x", None), keeps("i", "l"), keeps("j", "i", shift=0), fires("z", "j")],
            [f"SNN415 `i` is read by `j` (integer_current), {FIXED} read their own current",
             f"SNN415 `j` keeps what was kept before, {FIXED} keep one current"],
        ),
        (
            [linear("l", "x", None), keeps("i", "l"), linear("m", "x", None), keeps("j", "m"),
             op(ops.Add, "a", "i", "j"), fires("z", "a")],
            [f"SNN415 `i` is read by `a` (add), {FIXED} read their own current",
             f"SNN415 `j` is read by `a` (add), {FIXED} read their own current"],
        ),
    ],
)  # fmt: skip
def test_what_stock_neurons_keep_of_a_current(made: list[Op], wanted: list[str]) -> None:
    graph = integers(*made)
    found = CheckTarget(load_target("loihi1"), CHIP).run(graph).diagnostics
    assert [f"{d.rule.code} {d.message}" for d in found] == wanted
    assert CheckTarget(load_target("loihi2"), CHIP).run(graph).diagnostics == ()


def test_decays_of_another_width() -> None:
    chip = load_target("loihi2")
    narrow = dataclasses.replace(chip.arithmetic, decay_bits=Fact(8, "a test"))
    target = dataclasses.replace(chip, arithmetic=narrow)
    found = CheckTarget(target).run(integers(linear("l", "x"), keeps("i", "l"), fires("z", "i")))
    assert [d.message for d in found.diagnostics] == [
        "`i` loses its current in 12-bit shares, those of loihi2 have 8",
        "`z` leaks in 12-bit shares, those of loihi2 have 8",
    ]


def test_a_network_without_biases_compiles_for_fixed_neurons(
    lasting_network: Networks, events: Events
) -> None:
    target = load_target("loihi1")
    for biases, codes in ((False, set()), (True, {"SNN415"})):
        integer, _, _ = quantized(lasting_network(biases=biases), events(), target)
        found = CheckTarget(target, Sites("host", "host")).run(integer).diagnostics
        assert {d.rule.code for d in found} == codes


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from((0.0, 0.3, 0.9, 1.0)), st.booleans(), st.sampled_from((0.0, None)),
    st.integers(0, 99),
)  # fmt: skip
def test_passes_keep_the_answers_of_torch(
    lasting_network: Networks, events: Events, keep: float, residual: bool,
    v_reset: float | None, seed: int,
) -> None:  # fmt: skip
    """The recurrence written out in torch, as snnTorch and Norse have it."""
    graph = lasting_network(keep=(keep, 0.5, 0.9), residual=residual, v_reset=v_reset, seed=seed)
    folded = run_passes(graph, (FoldScales(), FoldBatchNorm(), FoldScales(), Canonicalise())).graph
    x = events(seed, 3).swapaxes(0, 1)
    wanted = _in_torch(graph, torch.from_numpy(x).double()).numpy()
    for each in (graph, folded):
        assert np.allclose(interpret(each, x)["y"], wanted, rtol=1e-9)
        assert np.allclose(Executor(each).run(x).output, wanted, rtol=1e-9)


def _in_torch(graph: Graph, x: torch.Tensor) -> torch.Tensor:
    conv2d, weight = torch.nn.functional.conv2d, {
        name: torch.from_numpy(np.asarray(w)) for name, w in graph.weights.items()
    }  # fmt: skip
    keep = [op.keep for op in graph.ops if isinstance(op, SynapticCurrent)]
    hard = getattr(graph["s1"], "v_reset") == 0.0  # noqa: B009 - of any op
    syn, mem = [torch.zeros(()).double()] * 3, [torch.zeros(()).double()] * 3

    def fire(layer: int, current: torch.Tensor, extra: torch.Tensor | float = 0.0) -> torch.Tensor:
        syn[layer] = keep[layer] * syn[layer] + current
        mem[layer] = mem[layer] - mem[layer] / 2 + (syn[layer] + extra)
        spikes = (mem[layer] > 1).double()
        mem[layer] = mem[layer] * (1 - spikes) if hard else mem[layer] - spikes
        return spikes

    total = torch.zeros(()).double()
    for frame in x:
        s1 = fire(0, conv2d(frame, weight["a.w"], weight["a.b"], padding=1))
        short = conv2d(s1, weight["s.w"]) if "s.w" in weight else 0.0
        s2 = fire(1, conv2d(s1, weight["b.w"], weight["b.b"], padding=1), short)
        s3 = fire(2, s2.flatten(1) @ weight["c.w"].T + weight["c.b"])
        total = total + s3 @ weight["h.w"].T + weight["h.b"]
    return total


def test_counts_in_substeps_reach_the_current_as_one_sum() -> None:
    """What a current keeps is of whole time steps: sub-steps are added before."""
    counts = {"threshold": "levels", "unit": "unit", "levels": 3, "reset": "soft"}
    graph = integers(
        linear("l", "x"), keeps("i", "l", 410),
        op(ops.IntegerNeuron, "s", "i", decay=2048, shift=0, **counts),
        linear("m", "s"), keeps("j", "m"), fires("z", "j"),
        levels=np.array([20, 60, 100])[:, None], unit=np.array(40),
    )  # fmt: skip
    unrolled = UnrollLevels().run(graph).graph
    assert unrolled.of_kind("thermometer")
    x = np.random.default_rng(0).integers(0, 2, (4, 5, 4)).astype(np.float64)
    wanted = interpret(graph, x)
    assert wanted["s"].max() > 1
    for name, value in interpret(unrolled, x).items():
        assert name not in wanted or np.array_equal(value, wanted[name])
    rolled = RollLevels().run(unrolled).graph
    assert [o.kind for o in rolled.of_kind("integer_current")] == ["integer_current"] * 2
    assert not rolled.of_kind("thermometer")
    for each in (graph, unrolled, rolled):
        late = pipelined(each, CHIP)
        found = run_pipelined(late, x, ["i", "s", "j", "z"])
        assert all(np.array_equal(value, wanted[name]) for name, value in found.items())


def test_weights_that_read_a_current_have_an_integer_form() -> None:
    """Not spike-driven, but compiled where it is allowed."""
    graph = graph_of(
        linear("l", "x"), kept("i", "l", 0.5), linear("m", "i"), op(ops.Neuron, "z", "m")
    )
    data = np.random.default_rng(0).uniform(0, 1, (4, 5, 3, 4))
    integer, _, _ = quantized(graph, data)
    quality = compare(run_floats(graph, data), integer, data).quality
    assert quality.layers["z"].equal_spikes > 0.95
