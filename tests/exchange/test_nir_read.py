"""NIR files as step graphs: what each node computes, what is assumed, and what is refused."""

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
from snncc.compiler import compile_model
from snncc.diagnostics.core import SnnccError
from snncc.frontends import hdf5, hdf5_child
from snncc.frontends.load import load_model
from snncc.frontends.model import Model
from snncc.frontends.nir.conventions import CONVENTIONS, reading_of, tidy
from snncc.ir.graph import Array
from snncc.ir.interpret import interpret
from snncc.ir.ops import Neuron
from snncc.targets.load import load_target

RANDOM = np.random.default_rng(5)
START = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: another one for each file takes its time. Same numbers in any order."""
    RANDOM.bit_generator.state = START
    inside: Callable[[Path, str], None] = lambda p, f: hdf5_child.main(str(p), f)  # noqa: E731
    monkeypatch.setattr(hdf5, "_read_apart", inside)


ALL = {"framework": "nir", "T": "4"}


def line(path: Path, *nodes: Any, shape: tuple[int, ...] = (4,)) -> Path:
    """Write a file of nodes in one line."""
    named = {f"n{i}": node for i, node in enumerate(nodes)}
    every = {"input": nir.Input(np.array(shape)), **named, "output": nir.Output(np.array([]))}
    edges = list(pairwise(every))
    every["output"] = nir.Output(np.zeros(0, int))
    nir.write(path, nir.NIRGraph(every, edges, type_check=False), compression=None)
    return path


def load(path: Path, **settings: str) -> Model:
    return load_model(str(path), settings={**ALL, **settings})


def neuron(model: Model) -> Neuron:
    (found,) = model.origin.graph().of_kind("neuron")
    assert isinstance(found, Neuron)
    return found


def lif(shape: tuple[int, ...] = (4,), **fields: Any) -> nir.LIF:
    given = {"tau": 2e-4, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **fields}
    return nir.LIF(**{k: np.broadcast_to(v, shape).copy() for k, v in given.items()})


def code_of(path: Path, **settings: str) -> tuple[str, str]:
    with pytest.raises(SnnccError) as refused:
        load(path, **settings).origin.graph()
    (found,) = refused.value.diagnostics
    return found.rule.code, found.message


# -- neurons -------------------------------------------------------------------


def by_equation(
    x: Array, tau: float, r: Any, theta: Any, dt: float, leak: float = 0.0, reset: float = 0.0
) -> Array:
    """NIR's own text in Euler steps: tau dv/dt = leak - v + r i, spikes above theta, reset."""
    v, spikes = np.full(x.shape[1:], reset), []
    for current in x:
        v = v + dt / tau * (leak - v + r * current)
        spikes.append(v > theta)
        v = np.where(spikes[-1], reset, v)
    return np.stack(spikes)


@pytest.mark.parametrize(("tau", "r"), [(2e-4, 1.0), (5e-4, 3.0), (4e-4, 4.0), (1e-4, 2.0)])
def test_lif_is_its_equation(tau: float, r: float, tmp_path: Path) -> None:
    path = line(tmp_path / "a.nir", lif(tau=tau, r=r))
    graph = load(path, input="events").origin.graph()
    x = RANDOM.uniform(-1, 4, (4, 50, 4))
    found = interpret(graph, x)[graph.of_kind("neuron")[0].name]
    np.testing.assert_array_equal(found, by_equation(x, tau, r, 1.0, 1e-4))


@pytest.mark.parametrize(("tau", "r"), [(2e-4, 1.0), (5e-4, 3.0), (4e-4, 4.0)])
@pytest.mark.parametrize(("leak", "reset"), [(0.75, 0.0), (1.5, 0.0), (-0.5, 0.25), (0.0, -0.5)])
def test_a_leak_to_another_potential_is_its_equation(
    tau: float, r: float, leak: float, reset: float, tmp_path: Path
) -> None:
    """Potentials start at the reset. Numbers on a grid of 1/64: no threshold is met by rounding."""
    path = line(tmp_path / "a.nir", lif(tau=tau, r=r, v_leak=leak, v_reset=reset))
    graph = load(path, input="events").origin.graph()
    x = RANDOM.integers(-64, 256, (4, 50, 4)) / 64 + 1 / 192
    found = interpret(graph, x)[graph.of_kind("neuron")[0].name]
    wanted = by_equation(x, tau, r, 1.0, 1e-4, leak, reset)
    assert 0.05 < wanted.mean() < 0.95
    np.testing.assert_array_equal(found, wanted)
    write_nir(graph, tmp_path / "b.nir")
    back = load(tmp_path / "b.nir", input="events").origin.graph()
    np.testing.assert_array_equal(interpret(back, x)[back.of_kind("neuron")[0].name], wanted)
    assert np.allclose(nir.read(tmp_path / "b.nir").nodes["n0"].v_leak, leak)


def test_leaks_with_thresholds_of_their_own_for_each_channel(tmp_path: Path) -> None:
    theta, r = np.array([0.5, 1.0, 2.0, 4.0]), np.array([1.0, 2.0, 1.0, 3.0])
    path = line(tmp_path / "a.nir", lif(r=r, v_threshold=theta, v_leak=1.5))
    graph = load(path, input="events").origin.graph()
    x = RANDOM.uniform(-1, 4, (4, 50, 4))
    found = interpret(graph, x)[graph.of_kind("neuron")[0].name]
    np.testing.assert_array_equal(found, by_equation(x, 2e-4, r, theta, 1e-4, 1.5))


@pytest.mark.parametrize(
    ("framework", "fields", "wanted"),
    [
        ("nir", {}, (2.0, True, 0.0, True, None)),
        ("spikingjelly", {"r": 2.0}, (2.0, False, 0.0, False, None)),
        ("snntorch", {"r": 2.0}, (2.0, False, None, True, 2.0)),
        ("norse", {"tau": 1e-5}, (10.0, True, 0.0, True, None)),
        ("sinabs", {"tau": 3.0}, (1 / (1 - np.exp(-1 / 3)), True, None, False, None)),
    ],
)
def test_each_framework_has_its_convention(
    framework: str, fields: dict[str, Any], wanted: tuple[Any, ...], tmp_path: Path
) -> None:
    path = line(tmp_path / "a.nir", lif(**fields))
    op = neuron(load(path, framework=framework))
    assert op.tau == pytest.approx(wanted[0], rel=1e-12)
    assert (op.decay_input, op.v_reset, op.strict, op.v_subtract) == wanted[1:]


def test_single_settings_go_before_the_frameworks(tmp_path: Path) -> None:
    path = line(tmp_path / "a.nir", lif(tau=4e-3))
    op = neuron(load(path, dt="0.001", reset="soft", compare="reached"))
    assert (op.tau, op.v_reset, op.strict) == (4.0, None, False)
    exact = neuron(load(path, dt="0.001", integration="exact"))
    assert exact.tau == pytest.approx(1 / (1 - np.exp(-0.25)))


def test_if_adds_its_input_for_one_step(tmp_path: Path) -> None:
    node = nir.IF(np.full(4, 1e4), np.full(4, 2.0), np.zeros(4))
    op = neuron(load(line(tmp_path / "a.nir", node)))
    assert (op.tau, op.v_threshold, op.inputs) == (None, 2.0, ("input.repeat",))
    slow = load(line(tmp_path / "b.nir", nir.IF(np.ones(4), np.ones(4), np.zeros(4))))
    (scale,) = slow.origin.graph().of_kind("scale")
    assert scale.attributes() == {"factor": 1e-4}
    assert not load(line(tmp_path / "b.nir", nir.IF(np.ones(4), np.ones(4))), framework="norse"
                    ).origin.graph().of_kind("scale")  # fmt: skip


def test_thresholds_of_their_own_for_each_channel(tmp_path: Path) -> None:
    theta = np.array([0.5, 1.0, 2.0, 4.0])
    path = line(tmp_path / "a.nir", lif(v_threshold=theta, r=np.array([1.0, 2.0, 1.0, 3.0])))
    graph = load(path, input="events").origin.graph()
    x = RANDOM.uniform(-1, 6, (4, 50, 4))
    found = interpret(graph, x)[graph.of_kind("neuron")[0].name]
    np.testing.assert_array_equal(
        found,
        by_equation(x, 2e-4, np.array([1.0, 2.0, 1.0, 3.0]), theta, 1e-4),
    )


def test_threshold_keeps_nothing(tmp_path: Path) -> None:
    graph = load(line(tmp_path / "a.nir", nir.Threshold(np.full(4, 0.5))), input="events")
    x = RANDOM.uniform(0, 1, (4, 20, 4))
    made = graph.origin.graph()
    np.testing.assert_array_equal(interpret(made, x)[made.of_kind("neuron")[0].name], x > 0.5)


# -- layers --------------------------------------------------------------------


def test_layers_compute_what_torch_computes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weight, bias = RANDOM.normal(size=(6, 2, 3, 2)), RANDOM.normal(size=6)
    full = RANDOM.normal(size=(3, 24))
    path = line(
        tmp_path / "a.nir",
        nir.Conv2d((9, 8), weight, (2, 1), (1, 0), (1, 2), 2, bias),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 3]), np.array([1, 0])),
        nir.Scale(np.full((6, 3, 2), 0.5)),
        nir.AvgPool2d(np.array([1, 2]), np.array([1, 1]), np.array([0, 0])),
        nir.Flatten(np.array([6, 3, 1]), 0, -1),
        nir.Linear(full[:, :18]),
        shape=(4, 9, 8),
    )  # fmt: skip
    graph = load(path).origin.graph()
    x = RANDOM.normal(size=(2, 4, 9, 8))
    F = torch.nn.functional
    given = [torch.tensor(each) for each in (x, weight, bias)]
    y = F.conv2d(*given, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    y = F.avg_pool2d(y, 2, (2, 3), (1, 0)) * 4 * 0.5
    y = F.avg_pool2d(y, (1, 2), 1).flatten(1)[:, :18] @ torch.tensor(full[:, :18]).T
    found = interpret(graph, x)[graph.ops[-1].name]
    np.testing.assert_allclose(found, 4 * y.numpy(), rtol=1e-9)


@pytest.mark.parametrize("settings", [{"framework": "snntorch", "reset": "hard"},
                                      {"framework": "spikingjelly"}])  # fmt: skip
def test_whole_numbers_compile_to_themselves(settings: dict[str, str], tmp_path: Path) -> None:
    """Weights, biases and, where a leak is a power of two, every spike."""
    rng = np.random.default_rng(4)
    conv = rng.integers(-20, 21, (3, 2, 3, 3)).astype(np.float32)
    rows = 2 * rng.integers(-30, 31, (5, 27)).astype(np.float32)
    bias = rng.integers(-40, 60, 5).astype(np.float32)
    size = (3, 3, 3)
    path = line(
        tmp_path / "n.nir",
        nir.Conv2d((3, 3), conv, 1, 0, 1, 1, np.zeros(3)),
        lif(size, tau=2e-4, r=2.0, v_threshold=9.0),
        nir.Flatten(np.array(size), 0, -1),
        nir.Affine(rows, bias),
        lif((5,), tau=2e-4, r=2.0, v_threshold=31.0),
        shape=(2, 5, 5),
    )
    model = load(path, **settings)
    x = rng.integers(0, 2, (4, 2, 5, 5)).astype(np.float32)
    found = compile_model(model, target=load_target("loihi2"), calibration=x)
    assert [(w.exact, w.exact_bias is not False) for w in found.weights] == [(True, True)] * 2
    stored = {k: np.asarray(v) for k, v in found.integer.weights.items()}
    assert np.array_equal(stored["n0.weight"], conv)
    assert np.array_equal(stored["n3.weight"], rows)
    assert np.array_equal(stored["n3.bias"], bias)
    before, after = interpret(found.floating, x), interpret(found.integer, x)
    for name in ("n1", "n4"):
        assert np.array_equal(before[name], after[name])
        assert 0 < after[name].mean() < 1


def test_padding_same(tmp_path: Path) -> None:
    same = nir.Conv1d(7, np.ones((1, 1, 5)), 1, "same", 1, 1, np.zeros(1))
    graph = load(line(tmp_path / "a.nir", same, shape=(1, 7))).origin.graph()
    assert graph.type_of("n0").shape == (1, 7)
    uneven = nir.Conv1d(7, np.ones((1, 1, 4)), 1, "same", 1, 1, np.zeros(1))
    assert code_of(line(tmp_path / "b.nir", uneven, shape=(1, 7)))[0] == "SNN176"


def test_edges_into_one_node_add_up_and_subgraphs_are_written_out(tmp_path: Path) -> None:
    ends = {"in": nir.Input(np.array([4])), "out": nir.Output(np.array([4]))}
    inner = nir.NIRGraph({**ends, "w": nir.Linear(np.eye(4) * 3)}, [("in", "w"), ("w", "out")])
    nodes = {
        "input": nir.Input(np.array([4])), "a": nir.Linear(np.eye(4)), "b": inner,
        "lif": lif(), "output": nir.Output(np.array([4])),
    }  # fmt: skip
    edges = [("input", "a"), ("input", "b"), ("a", "lif"), ("b", "lif"), ("lif", "output")]
    nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes, edges))
    graph = load(tmp_path / "a.nir").origin.graph()
    assert [op.name for op in graph.of_kind("linear", "add")] == ["a", "b.w", "lif.add"]
    values = interpret(graph, np.ones((1, 4)))
    assert values["lif.add"].tolist() == [[[4.0] * 4]] * 4


def test_an_integrator_at_the_end_is_the_sum_over_time(tmp_path: Path) -> None:
    path = line(tmp_path / "a.nir", nir.Linear(np.eye(4)), nir.I(np.full(4, 2e4)))
    graph = load(path).origin.graph()
    answer = interpret(graph, np.ones((1, 4)))[graph.ops[-1].name]
    assert answer.tolist() == [[8.0] * 4]


def test_the_batch_in_front_of_a_stated_shape_is_dropped(tmp_path: Path) -> None:
    conv = nir.Conv2d(None, np.ones((1, 1, 3, 3)), 1, 1, 1, 1, np.zeros(1))
    conv.input_shape = (8, 8)
    path = line(tmp_path / "a.nir", conv, shape=(1, 1, 8, 8))
    assert load(path).input_shape == (1, 8, 8)


# -- what is said, and what is refused -----------------------------------------


def test_what_the_file_does_not_say_is_said(tmp_path: Path) -> None:
    path = line(tmp_path / "a.nir", lif())
    (note,) = load_model(str(path)).notes
    assert note.rule.code == "SNN178"
    assert note.message == (
        "not in the file, assumed: T=4, Euler steps of 0.0001 s, spikes above the threshold, "
        "reset to v_reset"
    )
    assert load(path).notes == ()


@pytest.mark.parametrize(
    ("setting", "value", "wanted"),
    [
        ("framework", "brian", "wanted one of nir, snntorch, spikingjelly, norse, sinabs"),
        ("T", "0", "wanted 1 to 4096 time steps"),
        ("T", "99999999999999999999", "wanted 1 to 4096 time steps"),
        ("dt", "-1", "wanted a number of seconds above zero"),
        ("dt", "nan", "wanted a number of seconds above zero"),
        ("reset", "softish", "wanted one of hard, soft, soft-late"),
        ("tau", "2", "has no setting `tau`"),
    ],
)
def test_settings_are_checked(setting: str, value: str, wanted: str, tmp_path: Path) -> None:
    path = line(tmp_path / "a.nir", lif())
    code, message = code_of(path, **{setting: value})
    assert code == "SNN108"
    assert wanted in message


def recurrent(path: Path) -> Path:
    nodes = {
        "input": nir.Input(np.array([4])), "lif": lif(), "w": nir.Linear(np.eye(4)),
        "output": nir.Output(np.array([4])),
    }  # fmt: skip
    edges = [("input", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "output")]
    nir.write(path, nir.NIRGraph(nodes, edges))
    return path


def test_recurrent_graphs_are_refused_with_the_cycle(tmp_path: Path) -> None:
    code, message = code_of(recurrent(tmp_path / "a.nir"))
    assert code == "SNN177"
    assert message in ("`lif` reads itself: `lif` <- `w` <- `lif`",
                       "`w` reads itself: `w` <- `lif` <- `w`")  # fmt: skip


REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
    "delay": (lambda: nir.Delay(np.full(4, 1e-3)), "SNN176", "it delays by 0.001 s"),
    "fast": (lambda: lif(tau=1e-5), "SNN176", "10 of the potential would leak in one time step"),
    "none": (lambda: lif(tau=0.0), "SNN176", "`tau` is 0, wanted a time above 0"),
    "tau": (lambda: lif(tau=np.array([1, 2, 3, 4.0])), "SNN176", "wanted one for all"),
    "nan": (lambda: nir.Linear(np.full((4, 4), np.nan)), "SNN106", "16 of 16 values"),
    "threshold": (lambda: lif(v_threshold=-1.0), "SNN176", "-1 is not above its reset"),
    "shapes": (lambda: nir.Linear(np.ones((3, 5))), "SNN174", "does not meet weight (3, 5)"),
    "bias": (lambda: nir.Affine(np.ones((3, 4)), np.ones(2)), "SNN174", "wanted one for 3"),
    "flatten": (
        lambda: nir.Flatten(np.array([4]), 1, -1), "SNN174", "`start_dim` is [1], of 1 dimensions"
    ),
    "huge": (
        lambda: nir.Conv1d(4, np.ones((1, 1, 1)), 1, 1 << 29, 1, 1, np.zeros(1)),
        "SNN174", "wanted channels and 1 axes",
    ),
    "pool": (
        lambda: nir.AvgPool2d(np.array([2, 2]), np.array([0, 2]), np.array([0, 0])),
        "SNN174", "`stride` is 0, 2: wanted 2 whole numbers from 1 to 1,048,576",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_step_form_is_refused(case: str, tmp_path: Path) -> None:
    make, code, reason = REFUSED[case]
    found, message = code_of(line(tmp_path / "a.nir", make()))
    assert (found, reason in message) == (code, True), message


@pytest.mark.parametrize("said", ["2.0", "99.0", "two", "9" * 1000])
def test_versions_that_nobody_knows_are_refused(said: str, tmp_path: Path) -> None:
    path = line(tmp_path / "a.nir", nir.Linear(np.eye(4)))
    with h5py.File(path, "r+") as file:
        del file["version"]
        file["version"] = said
    code, message = code_of(path)
    assert (code, message.endswith(f"is of NIR `{said[:20]}`, wanted 0 or 1")) == ("SNN168", True)


def test_values_too_large_to_compute_are_refused(tmp_path: Path) -> None:
    wide = nir.Conv2d((4, 4), np.ones((1, 1, 1, 1)), 1, 1 << 19, 1, 1, np.zeros(1))
    code, message = code_of(line(tmp_path / "a.nir", wide, shape=(1, 4, 4)))
    assert (code, "too large to be computed" in message) == ("SNN174", True)


def test_unknown_nodes_are_named(tmp_path: Path) -> None:
    import h5py

    path = line(tmp_path / "a.nir", lif())
    with h5py.File(path, "r+") as file:
        del file["node/nodes/n0/type"]
        file["node/nodes/n0/type"] = "Izhikevich"
    code, message = code_of(path)
    assert (code, message) == ("SNN175", "`n0` (Izhikevich): there is no node `Izhikevich`")


def test_short_numbers_lose_the_rounding_of_32_bits() -> None:
    for value in (0.5, 0.1, 0.95, 1 / 3, 2.0, 1e4, 1 / 7):
        assert tidy(float(np.float32(value))) == pytest.approx(value, rel=1e-15)
    assert tidy(0.7390851332) == 0.7390851332
    assert tidy(0.0) == 0.0


def test_conventions_are_told_in_words() -> None:
    said = [str(c) for c in CONVENTIONS.values()]
    assert said[1] == (
        "Euler steps of 0.0001 s, spikes above the threshold, reset by the threshold one step late"
    )
    assert said[4] == "exp(-1 s / tau), spikes at the threshold, reset by the threshold"
    assert reading_of({"framework": "norse", "dt": "0.002"}).convention.tau_unit_s == 500.0


@pytest.mark.parametrize(
    ("fields", "code", "found"),
    [
        ({"v_threshold": [1.0, -1.0, 1.0]}, "SNN176", "thresholds from -1"),
        ({"v_threshold": [1.0, 2.0]}, "SNN174", "`r` has shape (3,), `v_threshold` (2,)"),
    ],
)
def test_neurons_that_differ_have_thresholds_above_zero_and_of_one_shape(
    fields: dict[str, list[float]], code: str, found: str, tmp_path: Path
) -> None:
    path = line(tmp_path / "m.nir", nir.IF(np.ones(3), np.ones(3), np.zeros(3)), shape=(3,))
    with h5py.File(path, "a") as file:
        for name, values in fields.items():
            del file[f"node/nodes/n0/{name}"]
            file[f"node/nodes/n0/{name}"] = np.array(values)
    with pytest.raises(SnnccError) as caught:
        load(path)
    assert caught.value.diagnostics[0].rule.code == code
    assert found in str(caught.value)


def test_two_nodes_of_one_path_are_refused(tmp_path: Path) -> None:
    path = line(tmp_path / "m.nir", nir.Flatten(np.array([3])), shape=(3,))
    with h5py.File(path, "a") as file:
        nodes = file["node/nodes"]
        inner = nodes.create_group("sub")
        inner["type"] = "NIRGraph"
        inner["edges"] = np.array([["input", "output"]], dtype=object)
        for name, kind in (("input", "Input"), ("output", "Output")):
            inner[f"nodes/{name}/type"] = kind
        nodes["sub.input/type"] = "Flatten"
    with pytest.raises(SnnccError, match=r"two nodes are called `sub\.input`"):
        load(path)
