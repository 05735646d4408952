"""Delays at joins: few, on the cheap side, on one line, and never of a value's meaning."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from snncc.ir.delay import Delay
from snncc.ir.graph import Array, Graph, IRError, Op, Weight
from snncc.ir.interpret import interpret
from snncc.ir.latency import bits_of, latencies, steps_taken
from snncc.ir.sites import Sites, on_host
from snncc.ir.text import dump, parse
from snncc.mapping.populations import net_of
from snncc.mapping.schedule import arrivals
from snncc.passes.balance_delays import BalanceDelays, pipelined
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.to_steps import ToSteps

WEIGHTS: dict[str, Weight] = {
    "w": np.eye(4, dtype=np.int8),
    "wide": np.full((4, 4), 100, np.int8),
    "t": np.array([3]),
}
CHIP, ENDS = Sites("chip", "chip"), Sites("host", "host")
SITES = (CHIP, ENDS, Sites("host", "chip"), Sites())


def body(*lines: str) -> Graph:
    """A step graph that starts from spikes `x` of 4 places."""
    head = (
        "graph step T2 {",
        "  %x = input(shape=(4, 1), domain='spike', varies=True) : <4x1; spike>",
    )
    return parse("\n".join([*head, *(f"  {line}" for line in lines), "}"]), WEIGHTS)


def lines(graph: Graph) -> list[str]:
    return [line.strip() for line in dump(graph).splitlines()[2:-1]]


RESIDUAL = (
    "%a = reshape(%x, shape=(4,)) : <4; spike>",
    "%c = linear(%a, weight='wide') : <4; int[0..400]>",
    "%s = integer_neuron(%c, threshold='t', decay=2048, shift=2) : <4; spike>",
    "%d = linear(%s, weight='w') : <4; spike>",
    "%n = integer_neuron(%d, threshold='t', decay=2048, shift=2) : <4; spike>",
    "%e = linear(%n, weight='w') : <4; spike>",
)


def test_a_residual_stream_waits_for_its_branch() -> None:
    graph = body(
        *RESIDUAL, "%r = add(%c, %e) : <4; int[0..401]>", "%y = output(%r) : <4; int[0..401]>"
    )
    assert lines(BalanceDelays(CHIP).run(graph).graph) == [
        *RESIDUAL,
        "%c.later2 = delay(%c, steps=2) : <4; int[0..400]>",
        "%r = add(%c.later2, %e) : <4; int[0..401]>",
        "%y = output(%r) : <4; int[0..401]>",
    ]
    found = pipelined(graph, CHIP)
    assert (found.depth, found.interval, found.latency) == (3, 2, 5)
    assert [(b.value, b.steps, b.bits, b.memory_bits) for b in found.buffers] == [("c", 1, 9, 36)]


SHARED = (
    "%a = reshape(%x, shape=(4,)) : <4; spike>",
    "%c = linear(%a, weight='wide') : <4; int[0..400]>",
    "%i = integer_current(%c, decay=2048, shift=0, steps=2) : <4; int[0..600]>",
)


@pytest.mark.parametrize(
    ("rest", "wanted"),
    [
        (("%j = integer_current(%c, decay=1024, shift=0, steps=2) : <4; int[0..700]>",
          "%r = add(%i, %j) : <4; int[0..1300]>"), {"c": 1, "i": 2, "j": 2, "r": 2}),
        (("%r = add(%i, %c) : <4; int[0..1000]>",), {"c": 1, "i": 2, "r": 2}),
        (("%s = integer_neuron(%i, threshold='t', decay=2048, shift=2) : <4; spike>",
          "%j = integer_current(%c, decay=1024, shift=0, steps=2) : <4; int[0..700]>",
          "%r = integer_neuron(%j, threshold='t', decay=2048, shift=2) : <4; spike>"),
         {"c": 1, "i": 1, "s": 1, "j": 1, "r": 1}),
    ],
)  # fmt: skip
def test_what_is_kept_of_a_shared_product(rest: tuple[str, ...], wanted: dict[str, int]) -> None:
    """It travels to currents that are added, and not to neurons that ride on its own."""
    graph = body(*SHARED, *rest, f"%y = output(%r) : {rest[-1].split(' : ')[1]}")
    late = pipelined(graph, CHIP).latency_of
    assert {name: late[name] for name in wanted} == wanted
    net = net_of(pipelined(graph, CHIP).graph, sites=CHIP)
    assert all(way.before >= 0 for way in arrivals(net))


ATTENTION = (
    "%p = max_pool(%x, kernel=(1,), stride=(1,), padding=(0,), dilation=(1,)) : <4x1; spike>",
    "%q = integer_neuron(%p, threshold='t', decay=2048, shift=2) : <4x1; spike>",
    "%k = permute(%q, order=(1, 0)) : <1x4; spike>",
    "%m = matmul(%k, %q) : <1x1; int[0..4]>",
)


def test_q_k_and_v_meet_in_the_neurons_that_multiply_them() -> None:
    """``Q (K^T V)`` is one connection: the counters of K and V stand where Q arrives."""
    graph = body(
        *ATTENTION,
        "%o = matmul(%q, %m) : <4x1; int[0..4]>",
        "%y = output(%o) : <4x1; int[0..4]>",
    )
    assert BalanceDelays(CHIP).run(graph).graph.ops == graph.ops
    assert latencies(graph)["y"] == 2


def test_products_with_something_between_are_two_connections() -> None:
    """K and V meet first; Q, which is needed a step later, waits as spikes."""
    graph = body(
        *ATTENTION,
        "%z = round_shift(%m, bits=1) : <1x1; int[0..2]>",
        "%o = matmul(%q, %z) : <4x1; int[0..2]>",
        "%y = output(%o) : <4x1; int[0..2]>",
    )
    balanced = BalanceDelays(CHIP).run(graph).graph
    assert lines(balanced)[5:7] == [
        "%q.later1 = delay(%q, steps=1) : <4x1; spike>",
        "%o = matmul(%q.later1, %z) : <4x1; int[0..2]>",
    ]
    assert latencies(balanced)["y"] == 3


def test_an_inner_product_is_made_with_its_outer_one() -> None:
    """V comes later than Q and K: these wait, and not their product, though that is narrower."""
    graph = body(
        *ATTENTION,
        "%v = max_pool(%q, kernel=(1,), stride=(1,), padding=(0,), dilation=(1,)) : <4x1; spike>",
        "%o = matmul(%v, %m) : <4x1; int[0..4]>",
        "%y = output(%o) : <4x1; int[0..4]>",
    )
    found = pipelined(graph, CHIP)
    assert [(b.value, b.steps) for b in found.buffers] == [("q", 1)]
    assert found.latency_of["o"] == 3
    assert found.graph["o"].inputs == ("v", "m")


def test_spikes_travel_to_the_sum_that_reads_them() -> None:
    """A sum of the spikes of two layers stands in neurons of its own: one step behind the later."""
    graph = body(
        *RESIDUAL[:-1],
        "%r = add(%s, %n) : <4; int[0..2]>",
        "%z = linear(%r, weight='w') : <4; int[0..2]>",
        "%y = output(%z) : <4; int[0..2]>",
    )
    found = pipelined(graph, CHIP)
    late = {name: found.latency_of[name] for name in ("s", "n", "r", "z")}
    assert late == {"s": 1, "n": 2, "r": 3, "z": 4}
    assert [(op.inputs, op.name) for op in found.graph.of_kind("delay")] == [
        (("s",), "s.later2"),
        (("n",), "n.later1"),
    ]
    assert [(b.value, b.steps) for b in found.buffers] == [("s", 1)]


def test_readers_of_one_value_share_a_line() -> None:
    graph = body(
        *RESIDUAL,
        "%late = add(%e, %c) : <4; int[0..401]>",
        "%d2 = linear(%s, weight='w') : <4; spike>",
        "%early = add(%d2, %c) : <4; int[0..401]>",
        "%f = linear(%early, weight='w') : <4; int[0..401]>",
        "%g = add(%f, %late) : <4; int[0..802]>",
        "%y = output(%g) : <4; int[0..802]>",
    )
    found = pipelined(graph, CHIP)
    (line,) = found.buffers
    assert (line.value, line.taps, line.steps) == ("c", (1, 2), 1)
    assert found.graph["c.later2"].inputs == ("c.later1",)


def test_narrow_inputs_wait_rather_than_wide_results() -> None:
    """A shortcut layer starts late: its spikes wait, four bits, not its currents, 36."""
    graph = body(
        *RESIDUAL,
        "%short = linear(%s, weight='wide') : <4; int[0..400]>",
        "%r = add(%e, %short) : <4; int[0..401]>",
        "%y = output(%r) : <4; int[0..401]>",
    )
    found = pipelined(graph, CHIP)
    assert [(b.value, b.memory_bits) for b in found.buffers] == [("s", 4)]


def test_wide_inputs_do_not_wait_for_narrow_results() -> None:
    """Neurons fire as soon as they can: it is their spikes that wait."""
    graph = body(
        *RESIDUAL,
        "%gate = integer_neuron(%c, threshold='t', decay=2048, shift=4) : <4; spike>",
        "%r = mask(%n, %gate) : <4; spike>",
        "%y = output(%r) : <4; spike>",
    )
    assert [(b.value, b.memory_bits) for b in pipelined(graph, CHIP).buffers] == [("gate", 4)]


def test_a_long_delay_is_several_of_the_longest() -> None:
    graph = body(
        *RESIDUAL, "%r = add(%c, %e) : <4; int[0..401]>", "%y = output(%r) : <4; int[0..401]>"
    )
    found = pipelined(graph, CHIP, longest=1)
    assert [(*op.inputs, op.name) for op in found.graph.of_kind("delay")] == [
        ("c", "c.later1"),
        ("c.later1", "c.later2"),
    ]
    assert [b.steps for b in found.buffers] == [1]


def test_what_waits_too_long_goes_through_relays() -> None:
    graph = body(
        *RESIDUAL,
        "%h = linear(%e, weight='w') : <4; spike>",
        "%m = integer_neuron(%h, threshold='t', decay=2048, shift=2) : <4; spike>",
        "%i = linear(%m, weight='w') : <4; spike>",
        "%early = add(%c, %e) : <4; int[0..401]>",
        "%f = linear(%early, weight='w') : <4; int[0..401]>",
        "%r = add(%c, %i) : <4; int[0..401]>",
        "%g = add(%r, %f) : <4; int[0..802]>",
        "%y = output(%g) : <4; int[0..802]>",
    )
    for longest, relays in ((1, 3), (2, 1), (3, 1), (4, 0), (None, 0)):
        found = pipelined(graph, CHIP, longest)
        every = [op for op in found.graph.of_kind("delay") if isinstance(op, Delay)]
        line = [op for op in every if op.name.startswith("c.")]
        assert [sum(op.steps for op in line), sum(op.relay for op in line)] == [4, relays], longest


def test_what_the_host_makes_waits_for_free() -> None:
    graph = body(
        *RESIDUAL, "%r = add(%c, %e) : <4; int[0..401]>", "%y = output(%r) : <4; int[0..401]>"
    )
    found = pipelined(graph, Sites("host", "chip"))
    assert (found.depth, found.buffers) == (2, ())
    assert "c.later2" in found.host


def test_constants_meet_whatever_is_there() -> None:
    weights = {**WEIGHTS, "k": np.arange(4)}
    text = dump(body(*RESIDUAL, "%y = output(%e) : <4; spike>"))
    text = text.replace("%y = output(%e)", "%k = constant(value='k') : <4; int[0..3]>\n"
                        "  %z = add(%e, %k) : <4; int[0..4]>\n  %y = output(%z)")  # fmt: skip
    graph = parse(text.replace("output(%z) : <4; spike>", "output(%z) : <4; int[0..4]>"), weights)
    assert BalanceDelays().run(graph).graph == graph


def test_the_tensor_level_is_refused() -> None:
    graph = body("%y = output(%x) : <4x1; spike>").replace((), level="tensor")
    with pytest.raises(IRError, match="delays are of step graphs, not of level tensor"):
        BalanceDelays().run(graph)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sites=st.sampled_from(SITES),
    longest=st.sampled_from((None, 1, 3)),
)
def test_delays_balance_and_change_nothing(
    random_network: Callable[[int], Graph],
    images: Callable[[Graph, int], Array],
    seed: int,
    sites: Sites,
    longest: int | None,
) -> None:
    network = random_network(seed)
    steps = run_passes(network, [Canonicalise(), ToSteps(), Canonicalise()]).graph
    balanced = BalanceDelays(sites, longest).run(steps).graph
    assert parse(dump(balanced), balanced.weights) == balanced
    late = latencies(balanced, on_host(balanced, sites))
    first = latencies_unbalanced(steps, on_host(steps, sites))
    assert all(late[name] is None or (late[name] or 0) >= at for name, at in first.items())
    assert max(late[op.name] or 0 for op in steps.of_kind("output")) == max(
        first[op.name] for op in steps.of_kind("output")
    )
    assert BalanceDelays(sites, longest).run(balanced).graph == balanced
    assert longest is None or all(
        cast(Delay, op).steps <= longest for op in balanced.of_kind("delay")
    )
    entry = steps.of_kind("input")[0]
    time = (steps.steps,) if getattr(entry, "varies", False) else ()
    x = np.random.default_rng(seed).uniform(-1, 2, (*time, 2, *steps.type_of(entry.name).shape))
    before, after = interpret(steps, x), interpret(balanced, x)
    assert all(np.array_equal(after[name], value) for name, value in before.items())


def waiting_bits(graph: Graph, made: dict[str, int]) -> int:
    """What is on its way or waits where op by op everything is made at these moments."""
    steps, total = steps_taken(graph), 0
    for op in graph.ops:
        read = [made[user.name] - steps[user.name] for user in graph.users[op.name]]
        size = math.prod(graph.type_of(op.name).shape) * bits_of(graph.type_of(op.name).domain)
        total += size * max((at - made[op.name] for at in read), default=0)
    return total


def least_waiting_bits(graph: Graph) -> float:
    """The optimum, by linear programming: the constraints are differences, so it is integral."""
    names, steps = [op.name for op in graph.ops], steps_taken(graph)
    place = {name: i for i, name in enumerate(names)}
    cost, rows, limits = np.zeros(2 * len(names)), [], []
    for op in graph.ops:
        size = math.prod(graph.type_of(op.name).shape) * bits_of(graph.type_of(op.name).domain)
        cost[len(names) + place[op.name]] = size
        for user in graph.users[op.name]:
            wait = np.zeros(2 * len(names))
            wait[place[user.name]], wait[place[op.name]] = 1, -1
            rows.append(-wait)
            limits.append(-steps[user.name])
            limits[-1] -= travels(graph, op.name, user)
            line = wait.copy()
            line[len(names) + place[op.name]] = -1
            rows.append(line)
            limits.append(steps[user.name])
    first = latencies_unbalanced(graph, frozenset())
    ends = {op.name for op in graph.of_kind("input", "output")}
    bounds = [(first[n], first[n] if n in ends else None) for n in names] + [(0, None)] * len(names)
    found = optimize.linprog(cost, np.array(rows), np.array(limits), bounds=bounds)
    assert found.success
    return float(found.fun)


def test_little_waits(random_network: Callable[[int], Graph]) -> None:
    """Never more than if all is made as early as it can be, and near the optimum in sum."""
    chosen = best = 0.0
    for seed in range(40):
        network = run_passes(
            random_network(seed), [Canonicalise(), ToSteps(), Canonicalise()]
        ).graph
        if network.of_kind("constant"):
            continue
        late = pipelined(network, CHIP).latency_of
        found = waiting_bits(network, {op.name: late[op.name] or 0 for op in network.ops})
        first = waiting_bits(network, latencies_unbalanced(network, frozenset()))
        assert least_waiting_bits(network) - 0.5 <= found <= first
        chosen, best = chosen + found, best + least_waiting_bits(network)
    assert best - 1 <= chosen <= 1.02 * best


def latencies_unbalanced(graph: Graph, host: frozenset[str]) -> dict[str, int]:
    """The length of the longest path to each value, counted in connections."""
    found: dict[str, int] = {}
    connections = ("conv", "linear", "matmul", "mask", "sum", "max_pool", "avg_pool")
    for op in graph.ops:
        read = [
            found[name] + travels(graph, name, op) * (op.name not in host) for name in op.inputs
        ]
        inner = op.kind == "matmul" and {user.kind for user in graph.users[op.name]} == {"matmul"}
        own = int(op.kind in connections and op.name not in host and not inner)
        found[op.name] = max(read, default=0) + own
    return found


def travels(graph: Graph, name: str, user: Op) -> int:
    """The step that spikes take to a sum, or to neurons, and shared currents to a sum."""
    fires, views = ("neuron", "integer_neuron"), ("reshape", "permute", "expand", "slice", "repeat")
    maker = graph[name]
    while maker.kind in (*views, "scale") or (
        maker.kind in ("round_shift", "compare", "thermometer") and readers(graph, maker.name) == 1
    ):
        maker = graph[maker.inputs[0]]
    if maker.kind in ("input", *fires):
        return int(user.kind in ("add", *fires))
    sent = maker.kind not in ("constant", "delay") and readers(graph, maker.name) > 1
    return int(sent and user.kind == "add")


def readers(graph: Graph, name: str) -> int:
    through = ("reshape", "permute", "expand", "slice", "repeat", "scale")
    return sum(
        readers(graph, user.name) if user.kind in through else 1 for user in graph.users[name]
    )
