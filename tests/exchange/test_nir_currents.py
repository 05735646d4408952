"""NIR's currents that outlast a time step, and its leaky integrators: what they compute."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from snncc.backends.nir.write import write_nir
from snncc.compiler import check_model
from snncc.diagnostics.core import SnnccError
from snncc.frontends import hdf5, hdf5_child
from snncc.frontends.load import load_model
from snncc.ir.graph import Array, Graph
from snncc.ir.interpret import interpret

DT = 1e-4
X = np.random.default_rng(5).uniform(-1, 4, (30, 40, 4))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: another one for each file takes its time."""
    inside: Callable[[Path, str], None] = lambda p, f: hdf5_child.main(str(p), f)  # noqa: E731
    monkeypatch.setattr(hdf5, "_read_apart", inside)


def line(path: Path, *nodes: Any) -> Path:
    """Write a file of nodes in one line."""
    named = {f"n{i}": node for i, node in enumerate(nodes)}
    every = {"input": nir.Input(np.array([4])), **named, "output": nir.Output(np.zeros(0, int))}
    graph = nir.NIRGraph(every, list(pairwise(every)), type_check=False)
    nir.write(path, graph, compression=None)
    return path


def read(path: Path, **settings: str) -> Graph:
    given = {"framework": "nir", "T": str(len(X)), "input": "events", **settings}
    return load_model(str(path), settings=given).origin.graph()


def full(**fields: Any) -> dict[str, Any]:
    return {k: np.broadcast_to(v, (4,)).copy() for k, v in fields.items()}


def cuba(**fields: Any) -> nir.CubaLIF:
    usual = {"tau_syn": 5e-4, "tau_mem": 2e-4, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0}
    return nir.CubaLIF(**full(**{**usual, "v_reset": 0.0, "w_in": 1.0, **fields}))


def by_equation(x: Array, enters: Callable[[Array, Array], Array], rate: float, r: Any) -> Array:
    """A neuron of threshold 1 that reads a current; the current is updated first."""
    i, v, spikes = np.zeros(x.shape[1:]), np.zeros(x.shape[1:]), []
    for received in x:
        i = enters(i, received)
        v = v + rate * (r * i - v)
        spikes.append(v > 1)
        v = np.where(spikes[-1], 0.0, v)
    assert 0.05 < np.mean(spikes) < 0.95
    return np.stack(spikes)


ENTER: dict[str, tuple[Callable[[Array, Array], Array], dict[str, str], dict[str, float]]] = {
    "weighed": (lambda i, x: i + 0.2 * (1.5 * x - i), {}, {}),
    "exact": (
        lambda i, x: i + (1 - np.exp(-0.2)) * (1.5 * x - i), {"integration": "exact"},
        {"tau_mem": DT / np.log(2)},
    ),
    "whole": (
        lambda i, x: 0.8 * i + 1.5 * x, {"framework": "norse", "dt": "0.0001"},
        {"tau_syn": 5e-8, "tau_mem": 2e-8},
    ),
    "leaked": (
        lambda i, x: np.exp(-0.2) * (i + 1.5 * x),
        {"framework": "sinabs", "reset": "hard", "compare": "above"},
        {"tau_syn": 5.0, "tau_mem": 1 / np.log(2)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", ENTER)
def test_a_current_is_its_equation_in_each_convention(way: str, tmp_path: Path) -> None:
    enters, settings, fields = ENTER[way]
    path = line(tmp_path / "a.nir", cuba(w_in=1.5, r=0.75, **fields))
    graph = read(path, **settings)
    assert [op.kind for op in graph.ops][1:] == [
        "scale", "synaptic_current", "neuron", "readout", "output",
    ]  # fmt: skip
    found = interpret(graph, X)["n0"]
    np.testing.assert_array_equal(found, by_equation(X, enters, 0.5, 0.75))


def test_weights_and_resistances_of_their_own_for_each_channel(tmp_path: Path) -> None:
    w, r = np.array([1.0, 1.5, -1.0, 2.0]), np.array([2.0, 1.0, 3.0, 1.0])
    graph = read(line(tmp_path / "a.nir", cuba(w_in=w, r=r)))
    current, fired = graph.of_kind("synaptic_current", "neuron")
    assert fired.inputs == (current.name,)
    wanted = by_equation(X, lambda i, x: i + 0.2 * (w * x - i), 0.5, r)
    np.testing.assert_array_equal(interpret(graph, X)["n0"], wanted)


def test_a_current_that_lasts_one_step_is_no_second_state(tmp_path: Path) -> None:
    graph = read(line(tmp_path / "a.nir", cuba(tau_syn=DT)))
    assert [op.kind for op in graph.ops] == ["input", "neuron", "readout", "output"]


@pytest.mark.parametrize("r", [2.0, np.array([1.0, 2.0, 3.0, 0.5])], ids=["one", "a channel"])
def test_a_leaky_integrator_gives_its_potential_at_each_step(r: Any, tmp_path: Path) -> None:
    graph = read(line(tmp_path / "a.nir", nir.LI(**full(tau=4e-4, r=r, v_leak=0.0))))
    v, total = np.zeros(X.shape[1:]), np.zeros(X.shape[1:])
    for x in X:
        v = v + 0.25 * (r * x - v)
        total += v
    np.testing.assert_allclose(interpret(graph, X)[graph.ops[-1].name], total, rtol=1e-12)


def test_an_integrator_of_a_current(tmp_path: Path) -> None:
    node = nir.CubaLI(**full(tau_syn=5e-4, tau_mem=4e-4, r=3.0, v_leak=0.0, w_in=2.0))
    graph = read(line(tmp_path / "a.nir", node), readout="mean")
    i, v, total = (np.zeros(X.shape[1:]) for _ in range(3))
    for x in X:
        i = i + 0.2 * (2.0 * x - i)
        v = v + 0.25 * (3.0 * i - v)
        total += v
    answer = interpret(graph, X)[graph.ops[-1].name]
    np.testing.assert_allclose(answer, total / len(X), rtol=1e-12)


def test_an_integrator_between_layers_gives_no_spikes(tmp_path: Path) -> None:
    node = nir.LI(**full(tau=4e-4, r=1.0, v_leak=0.0))
    last = nir.LIF(**full(tau=2e-4, r=1.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0))
    path = line(tmp_path / "a.nir", last, node, nir.Linear(np.eye(4)), last)
    model = load_model(str(path), settings={"framework": "nir", "T": "4", "input": "events"})
    found = check_model(model).diagnostics
    assert ("SNN202", "`n2` reads real, not spikes") in [(d.rule.code, d.message) for d in found]


HOSTILE: dict[str, tuple[dict[str, Any], str, str]] = {
    "zero": ({"tau_syn": 0.0}, "SNN176", "`tau_syn` is 0, wanted a time above 0"),
    "negative": ({"tau_syn": -1e-4}, "SNN176", "-0.0001, wanted a time above 0"),
    "fast": ({"tau_syn": 5e-5}, "SNN176", "2 of the current would leak in one time step"),
    "tiny": ({"tau_syn": 1e-320}, "SNN176", "inf of the current would leak"),
    "nan": ({"tau_syn": np.nan}, "SNN106", "4 of 4 values are not finite"),
    "infinite": ({"tau_syn": np.inf}, "SNN106", "4 of 4 values are not finite"),
    "differ": ({"tau_syn": [1e-4, 2e-4, 3e-4, 4e-4]}, "SNN176", "wanted one for all"),
    "membrane": ({"tau_mem": [1e-4, 2e-4, 3e-4, 4e-4]}, "SNN176", "wanted one for all"),
    "weight": ({"w_in": [1.0, 2.0, 3.0]}, "SNN176", "do not meet neurons of shape (4,)"),
    "matrix": ({"w_in": [[1.0, 2.0], [3.0, 4.0]]}, "SNN176", "do not meet neurons of shape (4,)"),
    "no weight": ({"w_in": []}, "SNN174", "it has no numbers `w_in`"),
    "text": ({"w_in": "much"}, "SNN174", "it has no numbers `w_in`"),
    "infinite weight": ({"w_in": np.inf}, "SNN106", "1 of 1 values are not finite"),
    "no tau": ({"tau_syn": None}, "SNN174", "it has no numbers `tau_syn`"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.filterwarnings("error")
def test_hostile_values_are_one_finding(case: str, tmp_path: Path) -> None:
    fields, code, said = HOSTILE[case]
    path = line(tmp_path / "a.nir", cuba())
    with h5py.File(path, "a") as file:
        for name, value in fields.items():
            del file[f"node/nodes/n0/{name}"]
            wide = np.full(4, value) if np.isscalar(value) and name != "w_in" else value
            if value is not None:
                file[f"node/nodes/n0/{name}"] = wide
    with pytest.raises(SnnccError) as refused:
        read(path)
    (found,) = refused.value.diagnostics
    assert (found.rule.code, said in found.message) == (code, True), found.message


def test_neurons_with_a_current_leak_to_somewhere(tmp_path: Path) -> None:
    """The pull is added behind the current: it does not last."""
    graph = read(line(tmp_path / "a.nir", cuba(r=0.75, v_leak=0.5)))
    i, v, spikes = np.zeros(X.shape[1:]), np.zeros(X.shape[1:]), []
    for received in X:
        i = i + 0.2 * (received - i)
        v = v + 0.5 * (0.5 - v + 0.75 * i)
        spikes.append(v > 1)
        v = np.where(spikes[-1], 0.0, v)
    assert 0.02 < np.mean(spikes) < 0.98
    np.testing.assert_array_equal(interpret(graph, X)["n0"], np.stack(spikes))
    write_nir(graph, tmp_path / "b.nir")
    node = nir.read(tmp_path / "b.nir").nodes["n0"]
    assert type(node).__name__ == "CubaLIF"
    assert np.allclose(node.v_leak, 0.5)
    np.testing.assert_array_equal(interpret(read(tmp_path / "b.nir"), X)["n0"], np.stack(spikes))


def test_a_leak_to_somewhere_is_not_guessed_at_for_a_framework(tmp_path: Path) -> None:
    node = cuba(v_leak=0.5, tau_syn=5e-8, tau_mem=2e-8)
    with pytest.raises(SnnccError, match="is reset to 0, wanted one of both"):
        read(line(tmp_path / "a.nir", node), framework="norse", dt="0.0001")


def test_an_integrator_with_another_rest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SnnccError, match="it leaks to 1, wanted 0 where nothing fires"):
        read(line(tmp_path / "a.nir", nir.LI(**full(tau=4e-4, r=1.0, v_leak=1.0))))
