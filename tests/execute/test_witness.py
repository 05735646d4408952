"""Witnesses: found where a layer is not proved, real in PyTorch too, never where it is proved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snncc.compiler import Checked, check_model
from snncc.execute import witness as search
from snncc.execute.dataset import load_dataset
from snncc.execute.witness import Witness, find_witnesses, save_witnesses
from snncc.frontends.load import load_model
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Array, Graph, Op, Source
from snncc.ir.io import sample_shape
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.check_spikes import verdicts
from snncc.passes.to_steps import ToSteps

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def op(kind: type[Op], name: str, *inputs: str, **fields: Any) -> Op:
    return kind(name=name, inputs=inputs, source=Source(f"net.{name}"), **fields)


def graph(*made: Op, domain: dom.Domain = dom.REAL, bias: float = 0.0) -> Graph:
    """A step graph from `x` through an encoder and spikes `s`, and what is made of it."""
    rng = np.random.default_rng(0)
    weights: dict[str, Array] = {
        "w": rng.normal(size=(6, 6)).astype(np.float32),
        "b": np.full(6, bias, np.float32),
    }
    before = (
        op(ops.Input, "x", shape=(6,), domain=domain),
        op(ops.Repeat, "r", "x"),
        op(ops.Linear, "stem", "r", weight="w", bias="b"),
        op(ops.Neuron, "s", "stem"),
    )
    last = op(ops.Output, "y", made[-1].name)
    return Graph((*before, *made, last), weights, "step", 4)


def linear(name: str, read: str) -> Op:
    return op(ops.Linear, name, read, weight="w")


SUM = (
    linear("a", "s"),
    op(ops.Neuron, "t", "a"),
    op(ops.Add, "u", "s", "t"),
    linear("b", "u"),
)


def test_a_sum_of_spikes_has_a_witness() -> None:
    given = graph(*SUM)
    found = find_witnesses(given, ["a", "b"])
    assert list(found) == ["b"]
    witness = found["b"]
    assert (witness.path, witness.value) == ("net.b", 2.0)
    assert witness.inputs.shape == (6,)
    assert witness.inputs.dtype == np.float32
    assert witness.step in range(4)


def test_a_quiet_network_is_found_out_all_the_same() -> None:
    """Noise makes not one neuron of it fire."""
    quiet = graph(*SUM, bias=-40.0)
    assert find_witnesses(quiet, ["b"], tries=16) == {}
    assert find_witnesses(quiet, ["b"])["b"].value == 2.0


def test_changes_of_the_best_input_find_what_noise_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "_STRENGTHS", (1.0,))
    quiet = graph(*SUM, bias=-8.0)
    assert find_witnesses(quiet, ["b"], tries=64) == {}
    assert find_witnesses(quiet, ["b"])["b"].value == 2.0


def test_the_input_stays_on_its_grid() -> None:
    pixels = graph(*SUM, domain=dom.integers(0, 255), bias=-300.0)
    inputs = find_witnesses(pixels, ["b"])["b"].inputs
    assert set(np.unique(inputs)) <= set(range(256))
    events = graph(*SUM, domain=dom.SPIKE, bias=-0.5)
    assert set(np.unique(find_witnesses(events, ["b"])["b"].inputs)) <= {0.0, 1.0}


def test_scaled_values_are_counted_in_their_step() -> None:
    half = op(ops.Scale, "h", "s", factor=0.1)
    assert find_witnesses(graph(half, linear("b", "h")), ["b"]) == {}
    both = (op(ops.Add, "u", "h", "h"), linear("b", "u"))
    found = find_witnesses(graph(half, *both), ["b"])["b"]
    assert found.value == pytest.approx(0.2)


def test_floats_are_a_witness_at_once() -> None:
    found = find_witnesses(graph(linear("b", "stem")), ["b"], tries=1)
    assert found["b"].value not in (0.0, 1.0)


def test_what_comes_once_a_sample_has_no_time_step() -> None:
    given = graph(op(ops.Readout, "t", "s", steps=4), linear("b", "t"))
    found = find_witnesses(given, ["b"])["b"]
    assert found.step is None
    assert found.value in (2.0, 3.0, 4.0)


def test_behind_an_op_that_cannot_be_computed_nothing_is_found() -> None:
    soft = op(ops.Foreign, "f", "s", target="aten.softmax", shape=(6,))
    assert find_witnesses(graph(soft, linear("b", "f")), ["b"]) == {}
    assert list(find_witnesses(graph(*SUM, soft, linear("c", "f")), ["b", "c"])) == ["b"]


def test_the_search_is_the_same_each_time() -> None:
    one, two = (find_witnesses(graph(*SUM), ["b"])["b"] for _ in range(2))
    np.testing.assert_array_equal(one.inputs, two.inputs)


@pytest.mark.parametrize("seed", range(12))
def test_no_layer_that_is_proved_has_a_witness(
    random_network: Callable[[int], Graph], seed: int
) -> None:
    """It fails by construction: whatever is tried, and whatever the network."""
    steps = run_passes(random_network(seed), [Canonicalise(), ToSteps(), Canonicalise()]).graph
    judged = [v for v in verdicts(steps) if v.kind in ("conv", "linear")]
    proved = {v.name for v in judged if v.is_spike_driven}
    found = find_witnesses(steps, [v.name for v in judged], tries=64)
    assert not proved & found.keys()
    for name, each in found.items():
        domain = steps.type_of(steps[name].inputs[0]).domain
        if isinstance(domain, dom.Grid):
            assert domain.lo <= round(each.value / float(domain.step)) <= domain.hi


@pytest.fixture(scope="module")
def spikformer() -> Checked:
    """The trained example whose residual sums leave spikes behind."""
    return check_model(load_model(str(DIGITS / "spikformer.pth.tar")))


def test_every_finding_of_the_example_has_a_witness_that_torch_confirms(
    spikformer: Checked,
) -> None:
    layers = {v.name: v for v in spikformer.verdicts if v.verdict == "multi-level" and not v.role}
    found = find_witnesses(spikformer.graph, layers)
    assert found.keys() == layers.keys()
    assert len(found) == 8
    for witness in found.values():
        assert received(spikformer, witness) == pytest.approx(witness.value)


def received(checked: Checked, witness: Witness) -> float:
    """What the module itself hands to that layer at that time step: the largest value."""
    module = checked.model.module.get_submodule(witness.path)
    seen: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        checked.model.module(torch.from_numpy(witness.inputs)[None])
    hook.remove()
    assert witness.step is not None
    (value,) = seen
    return float(value.reshape(checked.graph.steps, -1)[witness.step].max())


def test_the_compliant_example_has_none() -> None:
    checked = check_model(load_model(str(DIGITS / "spikingformer.pth.tar")))
    proved = [v.name for v in checked.verdicts if v.is_spike_driven]
    assert find_witnesses(checked.graph, proved, tries=64) == {}


def test_one_file_for_all_can_be_given_as_data(tmp_path: Path) -> None:
    given = graph(*SUM, linear("c", "u"))
    found = find_witnesses(given, ["b", "c"]).values()
    place = tmp_path / "deep" / "w.npz"
    assert save_witnesses(place, found) == [place, place]
    assert len(load_dataset(str(place), sample_shape(given))) == 2
    with np.load(place) as kept:
        assert kept["paths"].tolist() == ["net.b", "net.c"]
        assert kept["ops"].tolist() == ["b", "c"]
        assert kept["values"].tolist() == [2.0, 2.0]
        assert set(kept["steps"]) <= set(range(4))


def test_one_file_for_each_in_a_directory_whatever_the_names(tmp_path: Path) -> None:
    x = np.zeros(3, np.float32)
    named = [Witness("b", path, x, 2.0, None) for path in ("net.b", "../../etc/x", "", "net.b")]
    files = save_witnesses(tmp_path / "w", named)
    assert [file.name for file in files] == [
        "000-net.b.npz",
        "001-.._.._etc_x.npz",
        "002-b.npz",
        "003-net.b.npz",
    ]
    assert all(file.parent == tmp_path / "w" for file in files)
    with np.load(files[0]) as kept:
        assert kept["steps"].tolist() == [-1]
