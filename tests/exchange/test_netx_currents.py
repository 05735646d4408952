"""netx files whose currents outlast a time step: what is read is what stock neurons compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snncc.backends.netx.write import write_netx
from snncc.compiler import Compiled, compile_model
from snncc.diagnostics.core import SnnccError
from snncc.frontends import hdf5, hdf5_child
from snncc.frontends.load import load_model
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.ir.synaptic_current import IntegerCurrent
from snncc.targets.load import load_target

STEPS = 4
RANDOM = np.random.default_rng(3)
START = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: another one for each file takes its time. Same numbers in any order."""
    RANDOM.bit_generator.state = START
    inside: Callable[[Path, str], None] = lambda p, f: hdf5_child.main(str(p), f)  # noqa: E731
    monkeypatch.setattr(hdf5, "_read_apart", inside)


def add_neuron(layer: Any, theta: Any, i_decay: int, v_decay: int) -> None:
    group = layer.create_group("neuron")
    group["type"] = np.array([b"CUBA"])
    numbers = {"iDecay": i_decay, "vDecay": v_decay, "vThMant": theta, "refDelay": 1}
    for name, value in numbers.items():
        group[name] = value


def add_layer(file: Any, index: int, kind: bytes, **fields: Any) -> Any:
    layer = file.create_group(f"layer/{index}")
    layer["type"] = np.array([kind])
    for name, value in fields.items():
        layer[name] = value
    return layer


def written(path: Path, theta: Any, weight: Array, bias: Array | None) -> Path:
    """Two dense layers; the first keeps half of its current and has a bias."""
    with h5py.File(path, "w") as file:
        add_layer(file, 0, b"input", shape=np.array([weight.shape[1]]))
        more = {} if bias is None else {"bias": bias}
        first = add_layer(
            file, 1, b"dense", shape=np.array([len(weight)]), inFeatures=weight.shape[1],
            outFeatures=len(weight), weight=weight, **more,
        )  # fmt: skip
        add_neuron(first, theta, 2048, 2048)
        add_layer(
            file, 2, b"dense", shape=np.array([2]), inFeatures=len(weight), outFeatures=2,
            weight=np.array([[1] * len(weight), [-1] * len(weight)]),
        )  # fmt: skip
    return path


def stock(x: Array, weight: Array, bias: Array, theta: Any) -> Array:
    """The spikes of stock neurons, in their own integers (`LIFReset`, Lava 0.10.0)."""
    u = v = np.zeros((x.shape[1], len(weight)), np.int64)
    spikes = []
    for received in x:
        u = np.sign(u) * (np.abs(u) * 2048 >> 12) + 64 * (received @ weight.T)
        v = np.sign(v) * (np.abs(v) * 2048 >> 12) + u + 64 * bias
        spikes.append(v > 64 * np.asarray(theta))
        v = np.where(spikes[-1], 0, v)
    return np.stack(spikes)


def read(path: Path) -> Graph:
    return load_model(str(path), settings={"T": str(STEPS), "input": "events"}).origin.graph()


@pytest.mark.parametrize("theta", [30, np.array([20, 25, 30, 35, 40, 45])], ids=["one", "each"])
@pytest.mark.parametrize("biased", [True, False])
def test_the_bias_goes_past_the_current(theta: Any, biased: bool, tmp_path: Path) -> None:
    weight = RANDOM.integers(-20, 30, (6, 8))
    bias = np.array([9, -8, 7, 6, -5, 4]) * biased
    graph = read(written(tmp_path / "a.net", theta, weight, bias if biased else None))
    (current,) = graph.of_kind("synaptic_current")
    assert current.attributes() == {"keep": 0.5}
    assert [op.attributes()["bias"] for op in graph.of_kind("linear")] == [None, None]
    x = RANDOM.integers(0, 2, (STEPS, 50, 8))
    (layer,) = graph.of_kind("neuron")
    found = interpret(graph, x.astype(float))[layer.name]
    wanted = stock(x, weight, bias, theta)
    assert 0.1 < wanted.mean() < 0.9
    np.testing.assert_array_equal(found, wanted)


def test_lava_dl_computes_the_same_spikes(tmp_path: Path) -> None:
    pytest.importorskip("lava.magma")
    pytest.importorskip("lava.lib.dl")
    from snncc.backends.lava.netx import run_netx

    weight = RANDOM.integers(-20, 30, (6, 8))
    path = written(tmp_path / "a.net", 30, weight, np.array([9, -8, 7, 6, -5, 4]))
    x = RANDOM.integers(0, 2, (STEPS, 3, 8))
    graph = read(path)
    found = interpret(graph, x.astype(float))[graph.of_kind("neuron")[0].name]
    spikes = run_netx(path, x, STEPS, layers=1, timeout=60)
    np.testing.assert_array_equal(spikes.reshape(found.shape), found)


def compiled(path: Path, target: str = "loihi2") -> Compiled:
    model = load_model(str(path), settings={"T": str(STEPS), "input": "events"})
    shown = RANDOM.integers(0, 2, (4, STEPS, *model.input_shape[-1:])).astype(np.float32)
    return compile_model(model, target=load_target(target), calibration=shown)


def fields(file: Any) -> dict[str, Array]:
    """Return the numbers of the first layer and of its neurons."""
    layer = file["layer/1"]
    found = {name: layer[name][()] for name in ("weight", "bias", "shape")}
    return {**found, **{n: layer["neuron"][n][()] for n in ("iDecay", "vDecay", "vThMant")}}


@pytest.mark.parametrize("theta", [30, np.array([20, 25, 30, 35, 40, 45])], ids=["one", "each"])
def test_a_biased_current_compiles_and_is_written_again_as_it_was(
    theta: Any, tmp_path: Path
) -> None:
    weight = RANDOM.integers(-20, 30, (6, 8))
    path = written(tmp_path / "a.net", theta, weight, np.array([9, -8, 7, 6, -5, 4]))
    found = compiled(path)
    assert found.agreement.equal
    assert [op.kind for op in found.integer.of_kind("integer_current")] == ["integer_current"]
    write_netx(found.integer, tmp_path / "b.net")
    with h5py.File(path) as before, h5py.File(tmp_path / "b.net") as after:
        wanted, written_again = fields(before), fields(after)
    for name, numbers in wanted.items():
        np.testing.assert_array_equal(written_again[name], numbers)
    again = load_model(str(tmp_path / "b.net"))
    x = RANDOM.integers(0, 2, (STEPS, 20, 8)).astype(float)
    spikes = interpret(again.origin.graph(), x)[again.origin.graph().of_kind("neuron")[0].name]
    values = interpret(found.integer, x)
    np.testing.assert_array_equal(spikes, values[found.integer.of_kind("integer_neuron")[0].name])


def biased() -> Graph:
    """A convolution and a row whose currents last, with a bias behind each."""
    weights = {
        "c.w": RANDOM.integers(-99, 99, (3, 2, 3, 3)).astype(np.int8),
        "i.b": 64 * np.array([90, -80, 70]).reshape(3, 1, 1), "n.t": np.array(64 * 150 + 1),
        "f.w": RANDOM.integers(-99, 99, (5, 27)).astype(np.int8),
        "j.b": 64 * np.array([10, 20, 30, 40, -50]), "o.t": np.array(64 * 300 + 1),
    }  # fmt: skip
    lasts: dict[str, Any] = {"decay": 1500, "steps": STEPS}
    fires: dict[str, Any] = {"decay": 700, "shift": 0}
    made: tuple[Op, ...] = (
        ops.Input(name="x", shape=(2, 5, 5), domain=dom.SPIKE, scale=1.0, varies=True),
        ops.Conv(name="c", inputs=("x",), weight="c.w", stride=(1, 1), padding=(0, 0),
                 dilation=(1, 1)),
        IntegerCurrent(name="i", inputs=("c",), shift=6, **lasts),
        ops.Constant(name="p", value="i.b"),
        ops.Add(name="a", inputs=("i", "p")),
        ops.IntegerNeuron(name="n", inputs=("a",), threshold="n.t", **fires),
        ops.Reshape(name="s", inputs=("n",), shape=(27,)),
        ops.Linear(name="f", inputs=("s",), weight="f.w"),
        IntegerCurrent(name="j", inputs=("f",), shift=7, **lasts),
        ops.Constant(name="q", value="j.b"),
        ops.Add(name="b", inputs=("q", "j")),
        ops.IntegerNeuron(name="o", inputs=("b",), threshold="o.t", **fires),
        ops.Readout(name="r", inputs=("o",), steps=STEPS),
        ops.Output(name="y", inputs=("r",)),
    )  # fmt: skip
    return Graph(made, weights, "step", STEPS)


def test_a_bias_behind_a_current_is_written_as_stock_neurons_add_it(tmp_path: Path) -> None:
    graph = biased()
    write_netx(graph, tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net") as file:
        found = [file[f"layer/{i}/bias"][()].tolist() for i in (1, 2)]
    assert found == [[90, -80, 70], [10, 20, 30, 40, -50]]
    x = RANDOM.integers(0, 2, (STEPS, 20, 2, 5, 5)).astype(float)
    back = load_model(str(tmp_path / "a.net")).origin.graph()
    read_again, wanted = interpret(back, x), interpret(graph, x)
    for layer, name in zip(back.of_kind("neuron"), ("n", "o"), strict=True):
        assert 0.1 < wanted[name].mean() < 0.9
        np.testing.assert_array_equal(read_again[layer.name], wanted[name])


def test_lava_dl_adds_a_bias_behind_a_current(tmp_path: Path) -> None:
    pytest.importorskip("lava.magma")
    pytest.importorskip("lava.lib.dl")
    from snncc.backends.lava.netx import run_netx

    graph = biased()
    write_netx(graph, tmp_path / "a.net")
    x = RANDOM.integers(0, 2, (STEPS, 3, 2, 5, 5))
    values = interpret(graph, x.astype(float))
    for name, count in (("n", 1), ("o", None)):
        spikes = run_netx(tmp_path / "a.net", x, STEPS, layers=count, timeout=60)
        np.testing.assert_array_equal(spikes.reshape(values[name].shape), values[name])


def stored(value: Array, name: str = "i.b") -> Callable[[Graph], Graph]:
    """Return what puts another bias behind a current."""
    return lambda g: g.replace(g.ops, {**g.weights, name: value})


def adds(*inputs: str) -> Callable[[Graph], Graph]:
    """Return what puts another sum in front of the first neurons."""
    add = ops.Add(name="a", inputs=inputs)
    return lambda g: g.replace([add if op.name == "a" else op for op in g.ops])


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (stored(np.full((3, 1, 1), 65)), "SNN181", "its biases are no multiples of 64"),
        (stored(np.full((3, 1, 1), 64 << 15)), "SNN182", "bias reaches 32768, wanted 16 bits"),
        (stored(np.full((3, 1, 1), -64 << 15)), "SNN182", "bias reaches 32768, wanted 16 bits"),
        (stored(64 * np.arange(9).reshape(3, 3)), "SNN181", "its biases differ within a channel"),
        (stored(np.zeros((2, 5), int), "j.b"), "SNN181", "a sum of two values"),
        (stored(np.full((3, 1, 1), 1 << 23)), "SNN182", "wraps at 8388608"),
        (adds("c", "p"), "SNN181", "a sum of two values"),
        (adds("i", "c"), "SNN181", "a sum of two values"),
    ],
)
def test_a_sum_that_is_no_bias_of_netx_is_refused(
    change: Callable[[Graph], Graph], code: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(SnnccError) as refused:
        write_netx(change(biased()), tmp_path / "a.net")
    found = [(d.rule.code, d.message) for d in refused.value.diagnostics]
    assert any(each == code and said in message for each, message in found), found
    assert not (tmp_path / "a.net").exists()


@pytest.mark.parametrize(
    ("target", "biased", "why"),
    [
        ("loihi2", False, ""),
        ("loihi2", True, ""),
        ("loihi1", False, "and the target has one a layer"),
    ],
)
def test_thresholds_of_their_own_keep_the_integers_or_it_is_said_why_not(
    target: str, biased: bool, why: str, tmp_path: Path
) -> None:
    weight, bias = RANDOM.integers(-20, 30, (6, 8)), np.array([9, -8, 7, 6, -5, 4])
    path = written(tmp_path / "a.net", np.arange(20, 50, 5), weight, bias if biased else None)
    model = load_model(str(path), settings={"T": str(STEPS), "input": "events"})
    shown = RANDOM.integers(0, 2, (4, STEPS, 8)).astype(np.float32)
    found = compile_model(model, target=load_target(target), calibration=shown)
    said = [d.message for d in found.diagnostics if d.rule.code == "SNN305"]
    reason = f"its weights are rounded: the thresholds of `layer.1` differ, {why}"
    message = f"`layer.1` is not compiled to the integers of the file: {reason}"
    assert said == ([message] if why else [])


def test_a_convolution_has_one_bias_a_channel(tmp_path: Path) -> None:
    weight = RANDOM.integers(-20, 40, (3, 2, 3, 3))
    with h5py.File(tmp_path / "a.net", "w") as file:
        add_layer(file, 0, b"input", shape=np.array([2, 5, 5]))
        conv = add_layer(
            file, 1, b"conv", shape=np.array([3, 3, 3]), weight=weight, bias=np.array([5, 6, -7]),
            stride=np.array([1, 1]), padding=np.array([0, 0]), dilation=np.array([1, 1]), groups=1,
        )  # fmt: skip
        add_neuron(conv, 60, 4000, 1024)
    graph = read(tmp_path / "a.net")
    (current,) = graph.of_kind("synaptic_current")
    assert current.attributes() == {"keep": 96 / 4096}
    x = RANDOM.integers(0, 2, (STEPS, 3, 2, 5, 5)).astype(float)
    values = interpret(graph, x)
    (layer,) = graph.of_kind("neuron")
    assert values[layer.name].mean() > 0.1
    behind = values[layer.inputs[0]] - values[current.name]
    np.testing.assert_allclose(behind, np.broadcast_to([[[5.0]], [[6.0]], [[-7.0]]], behind.shape))


def test_an_input_layer_has_no_current(tmp_path: Path) -> None:
    """What it makes of its input is a bias."""
    with h5py.File(tmp_path / "a.net", "w") as file:
        entry = add_layer(file, 0, b"input", shape=np.array([4]), bias=3, weight=64)
        add_neuron(entry, 100, 1024, 2048)
    assert not read(tmp_path / "a.net").of_kind("synaptic_current")
