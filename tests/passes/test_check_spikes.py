"""The verdict on every product, and why; policy and allowances."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from snncc.diagnostics.core import Diagnostic, Severity
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Absent, Graph, Op, Source
from snncc.passes.base import run_passes
from snncc.passes.check_spikes import CheckSpikes, verdicts
from snncc.passes.spike_causes import causes, shown
from snncc.passes.spike_policy import Allowance, Policy

WEIGHTS = {
    "w": Absent((4, 4)),
    "g": Absent((4,)),
    "k": Absent((4, 4, 1, 1)),
    "c": Absent((4,)),
}


def op(kind: type[Op], name: str, *inputs: str, **fields: Any) -> Op:
    """An op of the module `net.NAME`, at line 7."""
    return kind(name=name, inputs=inputs, source=Source(f"net.{name}", "net.py", 7), **fields)


def linear(name: str, read: str) -> Op:
    return op(ops.Linear, name, read, weight="w")


def neuron(name: str, read: str) -> Op:
    return op(ops.Neuron, name, read)


def graph(*made: Op, domain: dom.Domain = dom.REAL) -> Graph:
    """A step graph from `x` through an encoder to spikes `s`, the ops, and a head on `z`."""
    before = (
        op(ops.Input, "x", shape=(4, 4), domain=domain),
        op(ops.Repeat, "r", "x"),
        linear("stem", "r"),
        neuron("s", "stem"),
        *made,
        op(ops.Readout, "t", "z", steps=4),
        linear("head", "t"),
        op(ops.Output, "y", "head"),
    )
    return Graph(before, WEIGHTS, "step", 4)


def found(
    *made: Op,
    allow: tuple[str, ...] = (),
    allow_with: tuple[Allowance, ...] = (),
    **options: Any,
) -> list[Diagnostic]:
    """Findings between the encoder and the head."""
    result = run_passes(
        graph(*made), [CheckSpikes(Policy(allow=allow_with, **options).allowing(allow))]
    )
    assert result.graph == graph(*made)
    return [d for d in result.diagnostics if d.source.module not in ("net.stem", "net.head")]


def test_spikes_pass() -> None:
    assert found(linear("a", "s"), neuron("z", "a")) == []


def test_the_encoder_and_the_head_are_shown_and_pass() -> None:
    findings = CheckSpikes().run(graph(neuron("z", "s"))).diagnostics
    assert [(d.rule.code, d.message, d.allowed_by, d.severity) for d in findings] == [
        ("SNN202", "`net.stem` reads real, not spikes", "policy: encoder", Severity.NOTE),
        ("SNN201", "`net.head` reads int[0..4], not spikes", "policy: head", Severity.NOTE),
    ]
    assert findings[0].because == ("`x` is the input of the network: real",)
    assert findings[1].because == ("`net.t` (net.py:7) sums over time spike: int[0..4]",)


def test_policy_can_be_strict() -> None:
    policy = Policy(encoder="spike", head="spike")
    strict = CheckSpikes(policy).run(graph(neuron("z", "s"))).diagnostics
    assert [(d.severity, d.allowed_by, d.hint) for d in strict] == [
        (Severity.ERROR, None, "the policy wants an encoder that reads a spike"),
        (Severity.ERROR, None, "put a spiking neuron before the head"),
    ]


def test_an_encoder_may_be_held_to_a_grid() -> None:
    check = CheckSpikes(Policy(encoder="grid"))
    real = check.run(graph(neuron("z", "s"))).diagnostics[0]
    assert (real.severity, real.hint) == (
        Severity.ERROR,
        "the policy wants an encoder that reads a grid",
    )
    pixels = check.run(graph(neuron("z", "s"), domain=dom.integers(0, 255))).diagnostics[0]
    assert pixels.allowed_by == "policy: encoder"


def firing(name: str, read: str, levels: int, norm: float = 1.0) -> Op:
    """A neuron that fires counts."""
    return op(ops.Neuron, name, read, levels=levels, norm=norm)


def test_counts_of_integer_firing_neurons_pass_up_to_a_level() -> None:
    made = (linear("a", "s"), firing("b", "a", 4, norm=4.0), linear("c", "b"), neuron("z", "c"))
    [finding] = found(*made, multi_level=1)
    assert finding.rule.code == "SNN209"
    assert finding.message == (
        "`net.c` reads grid(1/4, 0..4), not spikes: "
        "spike-driven only after expansion to 4 binary sub-steps"
    )
    assert finding.hint == "allow such counts on purpose: multi_level = 4 in the policy"
    assert found(*made, multi_level=3) == [finding]
    [allowed] = found(*made)
    assert allowed.message == finding.message
    why = "policy: multi-level, D=4 binary sub-steps"
    assert (allowed.allowed_by, allowed.hint) == (why, "")


def test_counts_survive_views_and_joins_but_not_sums() -> None:
    counts = (linear("a", "s"), firing("b", "a", 4), neuron("n", "a"))
    joined = (
        op(ops.Permute, "p", "b", order=(1, 0)),
        op(ops.Concat, "j", "p", "n", axis=0),
        op(ops.Slice, "f", "j", axis=0, start=0, stop=4, step=1),
    )
    [finding] = found(*counts, *joined, linear("c", "f"), neuron("z", "c"), multi_level=4)
    assert finding.allowed_by == "policy: multi-level, D=4 binary sub-steps"
    added = op(ops.Add, "u", "b", "n")
    [finding] = found(*counts, added, linear("c", "u"), neuron("z", "c"), multi_level=8)
    assert finding.allowed_by is None
    assert "sub-steps" not in finding.message


def test_products_of_counts_pass_by_their_lesser_count() -> None:
    made = (linear("a", "s"), firing("b", "a", 4), firing("c", "a", 8))
    product = (op(ops.MatMul, "m", "b", "c"), neuron("z", "m"))
    [finding] = found(*made, *product, multi_level=4)
    assert finding.allowed_by == "policy: multi-level, D=4 binary sub-steps"
    assert "expansion to 4 binary sub-steps" in finding.message


def test_a_reason_is_shown_with_what_it_allows() -> None:
    made = (op(ops.Add, "u", "s", "s"), linear("a", "u"), neuron("z", "a"))
    known = Allowance("SNN201", "net.a", "the baseline of the paper")
    [finding] = found(*made, allow_with=(known,))
    assert finding.allowed_by == "policy: SNN201:net.a, because the baseline of the paper"
    assert (finding.severity, finding.hint) == (Severity.NOTE, "")


def test_an_encoder_of_pixels_counts_and_spikes() -> None:
    pixels = CheckSpikes().run(graph(neuron("z", "s"), domain=dom.integers(0, 255)))
    assert pixels.diagnostics[0].rule.code == "SNN201"
    assert pixels.diagnostics[0].domain == dom.integers(0, 255)
    assert pixels.diagnostics[0].allowed_by == "policy: encoder"
    events = CheckSpikes().run(graph(neuron("z", "s"), domain=dom.SPIKE))
    assert [d.source.module for d in events.diagnostics] == ["net.head"]


def test_a_sum_of_spikes() -> None:
    findings = found(
        linear("a", "s"),
        neuron("b", "a"),
        op(ops.Add, "sum", "s", "b"),
        op(ops.Permute, "turned", "sum", order=(1, 0)),
        linear("c", "turned"),
        neuron("d", "c"),
        op(ops.Add, "more", "d", "sum"),
        linear("e", "more"),
        neuron("z", "e"),
    )
    assert [(d.rule.code, d.message) for d in findings] == [
        ("SNN201", "`net.c` reads int[0..2], not spikes"),
        ("SNN201", "`net.e` reads int[0..3], not spikes"),
    ]
    assert findings[1].because == (
        "`net.more` (net.py:7) adds spike and int[0..2]: int[0..3]",
        "`net.sum` (net.py:7) adds spike and spike: int[0..2]",
    )
    assert findings[1].domain == dom.integers(0, 3)
    assert findings[1].op == "linear"
    assert findings[1].source == Source("net.e", "net.py", 7)
    assert findings[1].allowed_by is None


def test_floats() -> None:
    [finding] = found(
        linear("a", "s"), op(ops.Add, "u", "s", "a"), linear("b", "u"), neuron("z", "b")
    )
    assert (finding.rule.code, finding.message) == ("SNN202", "`net.b` reads real, not spikes")
    assert finding.because == (
        "`net.u` (net.py:7) adds spike and real: real",
        "`net.a` (net.py:7) is a linear: real",
    )


def test_a_batch_norm_between_neuron_and_weight() -> None:
    norm = op(ops.BatchNorm, "n", "s", gamma=None, beta=None, mean="g", var="g", eps=1e-5, axis=1)
    [finding] = found(norm, linear("b", "n"), neuron("z", "b"))
    assert finding.rule.code == "SNN202"
    assert finding.because == ("`net.n` (net.py:7) normalises spike: real",)


def test_a_file_without_lines_is_named_without_one() -> None:
    norm = op(ops.BatchNorm, "n", "s", gamma=None, beta=None, mean="g", var="g", eps=1e-5, axis=1)
    norm = dataclasses.replace(norm, source=Source("n", "net.nir"))
    [finding] = found(norm, linear("b", "n"), neuron("z", "b"))
    assert finding.because == ("`n` (net.nir) normalises spike: real",)


def test_pools() -> None:
    windows: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}
    flat = op(ops.Reshape, "f", "p", shape=(1, 4))
    most = op(ops.MaxPool, "p", "s", dilation=(1, 1), **windows)
    assert found(most, flat, linear("b", "f"), neuron("z", "b")) == []
    mean = op(ops.AvgPool, "p", "s", **windows)
    [finding] = found(mean, flat, linear("b", "f"), neuron("z", "b"))
    assert finding.message == "`net.b` reads grid(1/4, 0..4), not spikes"
    assert finding.hint == (
        "as deployed (`--deployed`) a pool of spikes is merged into the weights behind it; where "
        "SNN211 says why not, take a max-pool, or put spiking neurons behind the pool"
    )
    summed = (mean, op(ops.Scale, "tt", "p", factor=4.0), dataclasses.replace(flat, inputs=("tt",)))
    [finding] = found(*summed, linear("b", "f"), neuron("z", "b"))
    assert finding.message == "`net.b` reads int[0..4], not spikes"
    assert finding.hint.startswith("as deployed")
    whole = op(ops.Sum, "g", "s", axes=(1,)), op(ops.Reshape, "f", "g", shape=(1, 4))
    hints = {each.hint[:11] for each in found(*whole, linear("b", "f"), neuron("z", "b"))}
    assert hints == {"as deployed"}


def test_a_scaled_spike_is_as_good() -> None:
    made = (op(ops.Scale, "h", "s", factor=0.5), linear("b", "h"), neuron("z", "b"))
    assert found(*made) == []
    assert [v.verdict for v in verdicts(graph(*made))] == [
        "real",
        "scaled spike",
        "multi-level",
    ]


def test_products() -> None:
    wide = op(ops.MatMul, "kv", "s", "s")
    assert found(wide, op(ops.MatMul, "m", "s", "kv"), neuron("z", "m")) == []
    [finding] = found(wide, op(ops.MatMul, "m", "kv", "kv"), neuron("z", "m"))
    assert finding.rule.code == "SNN203"
    assert finding.message == (
        "`net.m` multiplies int[0..4] and int[0..4], no spikes on either side"
    )
    assert finding.because == ("`net.kv` (net.py:7) multiplies spike and spike: int[0..4]",)


def test_masks() -> None:
    assert found(linear("a", "s"), op(ops.Mask, "m", "s", "a"), neuron("z", "m")) == []
    [finding] = found(linear("a", "s"), op(ops.Mask, "m", "a", "a"), neuron("z", "m"))
    assert finding.rule.code == "SNN204"


def test_a_factor_for_each_channel_is_a_mask() -> None:
    made = (
        linear("a", "s"),
        op(ops.Constant, "k", value="c"),
        op(ops.Mask, "m", "a", "k"),
        neuron("z", "m"),
    )
    [finding] = found(*made)
    assert finding.because == (
        "`net.a` (net.py:7) is a linear: real",
        "`net.k` (net.py:7) is a stored tensor: real",
    )


def test_foreign_operations() -> None:
    [finding] = found(
        op(ops.Foreign, "soft", "s", target="aten.softmax", shape=(4, 4)), neuron("z", "soft")
    )
    assert (finding.rule.code, finding.op) == ("SNN205", "foreign")
    assert finding.message == "`net.soft` (net.py:7) is aten.softmax, which has no spiking form"


@pytest.mark.parametrize(
    ("target", "answered", "said"),
    [
        ("aten.softmax", "sum", False),
        ("aten.log_softmax", "sum", True),
        ("aten.softmax", "soft", True),
        ("aten.log_softmax", "soft", True),
    ],
)
def test_a_softmax_at_the_end_may_be_left_out(target: str, answered: str, said: bool) -> None:
    """In front of the sum over time a logarithm alone: it moves all logits of a step alike."""
    first, then = ("total", "soft") if answered == "soft" else ("soft", "total")
    made = {
        "soft": op(
            ops.Foreign, "soft", {"total": "sum"}.get(first, "a"), target=target, shape=(4,)
        ),
        "total": op(ops.Readout, "sum", {"soft": "soft"}.get(first, "a"), steps=4),
    }
    ops_of = (
        op(ops.Input, "x", shape=(4,), domain=dom.SPIKE),
        op(ops.Repeat, "r", "x"),
        linear("a", "r"),
        made[first],
        made[then],
        op(ops.Output, "y", made[then].name),
    )
    checked = CheckSpikes().run(Graph(ops_of, WEIGHTS, "step", 4)).diagnostics
    (finding,) = (each for each in checked if each.rule.code == "SNN205")
    assert finding.hint.startswith("leave it out") == said


def test_factors_that_fold_nowhere() -> None:
    made = (linear("a", "s"), op(ops.Scale, "f", "a", factor=0.5))
    [finding] = found(*made, op(ops.Add, "u", "a", "f"), neuron("z", "u"))
    assert finding.rule.code == "SNN206"
    assert finding.message == "the factor 0.5 of `net.f` folds into no weight"
    assert found(*made, neuron("z", "f")) == []


def test_two_layers_without_a_neuron_are_no_head() -> None:
    [finding] = found(neuron("n", "s"), linear("z", "n"), linear("z2", "z"), neuron("z3", "z2"))
    assert finding.source.module == "net.z2"
    last = (neuron("n", "s"), op(ops.Add, "u", "n", "s"), linear("z", "u"))
    assert [(d.source.module, d.allowed_by) for d in found(*last)] == [("net.z", None)]


def test_allowances() -> None:
    made = (op(ops.Add, "u", "s", "s"), linear("a", "u"), linear("b", "u"))
    ends = (op(ops.Add, "v", "a", "b"), neuron("z", "v"))
    allow = ("SNN201:net.a", "SNN201:other.*", "SNN202")
    findings = found(*made, *ends, allow=allow)
    assert [(d.rule.code, d.source.module, d.allowed_by) for d in findings] == [
        ("SNN201", "net.a", "option: SNN201:net.a"),
        ("SNN201", "net.b", None),
        ("SNN208", "", None),
    ]
    assert findings[2].message == "the allowance `SNN201:other.*` matches no finding"
    assert findings[0].severity is Severity.NOTE
    everywhere = found(*made, *ends, allow=("SNN201:net.*",))
    assert {d.severity for d in everywhere} == {Severity.NOTE}


def test_verdicts() -> None:
    given = graph(op(ops.Add, "u", "s", "s"), linear("a", "u"), neuron("z", "a"))
    stem, a, head = verdicts(given)
    assert (stem.name, stem.role, stem.verdict, stem.levels) == ("stem", "encoder", "real", None)
    assert (a.path, a.role, a.verdict, a.levels) == ("net.a", "", "multi-level", 2)
    assert (head.role, head.levels, head.is_spike_driven) == ("head", 4, False)


def test_long_chains_are_cut() -> None:
    made = [op(ops.Add, "u0", "s", "s")]
    made += [op(ops.Add, f"u{i}", f"u{i - 1}", "s") for i in range(1, 40)]
    chain = causes(graph(*made, neuron("z", "u39")), "u39")
    assert len(chain) == 25
    assert chain[-1] == "and so on"


def test_steps_that_are_no_short_fraction_are_shown_as_decimals() -> None:
    assert shown(dom.grid(1 / 196, 0, 392)) == "0.005102 x int[0..392]"
    assert shown(dom.grid(1 / 64, 0, 3)) == "grid(1/64, 0..3)"


def test_levels_of_a_value_that_stands_in_many_places_are_found_once() -> None:
    """Each of 60 values joins the one before to a view of it: there are 2^60 ways back."""
    made: list[Op] = [firing("f", "s", 3)]
    for i in range(60):
        before = made[-1].name
        made += [
            op(ops.Permute, f"p{i}", before, order=(1, 0)),
            op(ops.Concat, f"c{i}", before, f"p{i}", axis=1),
            op(ops.Slice, f"v{i}", f"c{i}", axis=1, start=2, stop=6),
        ]
    (a,) = (
        v for v in verdicts(graph(*made, linear("a", "v59"), neuron("z", "a"))) if v.name == "a"
    )
    assert (a.counts, a.verdict) == (3, "multi-level")


def test_levels_are_found_behind_thousands_of_views() -> None:
    made: list[Op] = [firing("f", "s", 3)]
    for i in range(3000):
        made.append(op(ops.Permute, f"p{i}", made[-1].name, order=(1, 0)))
    found = verdicts(graph(*made, linear("a", made[-1].name), neuron("z", "a")))
    assert [v.counts for v in found if v.name == "a"] == [3]
