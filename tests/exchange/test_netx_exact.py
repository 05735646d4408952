"""The integers of a netx file are those that it compiles to, and its spikes are lava-dl's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pytest

from snncc.backends.netx.write import write_netx
from snncc.compiler import Compiled, compile_model
from snncc.diagnostics.core import SnnccError
from snncc.execute.executor import Executor
from snncc.frontends import hdf5, hdf5_child
from snncc.frontends.load import load_model
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.targets.load import load_target

STEPS = 6


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: another one for each file takes its time."""
    inside: Callable[[Path, str], None] = lambda p, f: hdf5_child.main(str(p), f)  # noqa: E731
    monkeypatch.setattr(hdf5, "_read_apart", inside)


def compiled(
    path: Path, x: Array | None = None, target: str = "loihi2", **settings: str
) -> Compiled:
    return compile_model(
        load_model(str(path), settings=settings), target=load_target(target), calibration=x,
        allow=("SNN201",),
    )  # fmt: skip


def codes(found: Compiled) -> list[str]:
    return [d.rule.code for d in found.diagnostics if d.rule.code.startswith("SNN30")]


def stored(graph: Graph, name: str) -> Array:
    return cast(Array, graph.weights[name])


def spikes_of(graph: Graph, x: Array) -> dict[str, Array]:
    names = tuple(op.name for op in graph.of_kind("integer_neuron", "neuron"))
    return dict(Executor(graph).run(x, keep=names).values)


def layer(
    kind: str, shape: tuple[int, ...], weight: Array | None = None, **fields: Any
) -> dict[str, Any]:
    numbers = {} if weight is None else {"weight": weight.astype(np.float32)}
    return {"type": kind, "shape": np.array(shape), **numbers, **fields}


def write(path: Path, *layers: dict[str, Any], shape: tuple[int, ...]) -> Path:
    """Write a file as lava-dl's slayer exports it, an input layer without neurons in front."""
    with h5py.File(path, "w") as file:
        for index, fields in enumerate(({"type": "input", "shape": np.array(shape)}, *layers)):
            group = file.create_group(f"layer/{index}")
            neuron = fields.get("neuron")
            for name, value in fields.items():
                if name == "type":
                    group[name] = np.array([str(value).encode()], dtype="S10")
                elif name != "neuron":
                    group[name] = value
            if neuron is not None:
                cell = group.create_group("neuron")
                cell["type"] = np.array([b"CUBA"], dtype="S10")
                for name, value in {"iDecay": 4096, "refDelay": 1, **neuron}.items():
                    cell[name] = value
    return path


def geometry(weight: Array, stride: int = 1, padding: int = 1) -> dict[str, Any]:
    return {
        "stride": np.array([stride] * 2), "padding": np.array([padding] * 2),
        "dilation": np.array([1, 1]), "groups": 1, "inChannels": weight.shape[1],
        "outChannels": weight.shape[0], "kernelSize": np.array(weight.shape[2:]),
    }  # fmt: skip


def foreign(path: Path, seed: int, *, by_channel: bool = True, widest: int = 127) -> Path:
    """A convolution and two dense layers, odd leaks, biases, a threshold a channel or one."""
    rng = np.random.default_rng(seed)
    conv = rng.integers(-widest, widest + 1, (4, 2, 3, 3))
    first = rng.integers(-127, 128, (12, 4 * 3 * 3))
    second = 2 * rng.integers(-30, 31, (5, 12))
    # lava-dl's dense layers take one threshold alone on a chip; its simulation takes an array.
    vth = [np.array(300), np.array(200), np.array(60)]
    if by_channel:
        vth = [rng.integers(100, 500, 4), rng.integers(50, 400, 12), rng.integers(20, 120, 5)]
        vth[0] = np.array(300)
    return write(
        path,
        layer("conv", (4, 3, 3), conv, **geometry(conv, stride=2), bias=rng.integers(-90, 90, 4),
              neuron={"vDecay": 123, "vThMant": vth[0]}),
        layer("flatten", (36,)),
        layer("dense", (12,), first, bias=rng.integers(-50, 60, 12),
              neuron={"vDecay": 777, "vThMant": vth[1]}),
        layer("dense", (5,), second, neuron={"vDecay": 2048, "vThMant": vth[2]}),
        shape=(2, 5, 5),
    )  # fmt: skip


def events(rng: np.random.Generator, samples: int = 3) -> Array:
    """Spikes, ``[samples, T, 2, 5, 5]``."""
    return rng.integers(0, 2, (samples, STEPS, 2, 5, 5)).astype(np.float32)


@pytest.mark.parametrize("target", ["loihi2", "loihi1"])
@pytest.mark.parametrize("seed", range(4))
def test_a_foreign_file_compiles_to_its_own_integers(
    seed: int, target: str, tmp_path: Path
) -> None:
    path = foreign(tmp_path / "a.net", seed, by_channel=target == "loihi2")
    x = events(np.random.default_rng(seed))
    found = compiled(path, x, target, T=str(STEPS), input="events")
    assert codes(found) == []
    assert all(w.exact and w.exact_bias is not False for w in found.weights)
    graph = found.integer
    with h5py.File(path) as file:
        for index, name in ((1, "conv"), (3, "dense"), (4, "dense")):
            inside = file[f"layer/{index}"]
            weight = stored(graph, f"layer.{index}.{name}.weight")
            assert np.array_equal(weight, inside["weight"][()])
            cell = cast(ops.IntegerNeuron, graph[f"layer.{index}"])
            assert (cell.decay, cell.shift) == (inside["neuron/vDecay"][()], 6)
            vth = np.unique((stored(graph, cell.threshold) - 1) / 64)
            assert np.array_equal(vth, np.unique(inside["neuron/vThMant"][()]))
            if "bias" in inside:
                bias = stored(graph, f"layer.{index}.{name}.bias")
                assert np.array_equal(bias, inside["bias"][()])
    whole, real = spikes_of(graph, x.swapaxes(0, 1)), spikes_of(found.floating, x.swapaxes(0, 1))
    for name, spikes in whole.items():
        assert np.array_equal(spikes, real[name])
        assert 0 < spikes.mean() < 1


def in_lava_dl(path: Path, x: Array, layers: int) -> Array:
    pytest.importorskip("lava.magma")
    pytest.importorskip("lava.lib.dl")
    from snncc.backends.lava.netx import run_netx

    return run_netx(path, x, STEPS, layers=layers, timeout=60)


def test_lava_dl_fires_the_same_spikes_in_every_layer_of_a_foreign_file(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.net", 7)
    x = events(np.random.default_rng(7), samples=2)
    graph = compiled(path, x, T=str(STEPS), input="events").integer
    for name, spikes in spikes_of(graph, x.swapaxes(0, 1)).items():
        theirs = in_lava_dl(path, x.swapaxes(0, 1).astype(int), int(name.split(".")[1]))
        assert np.array_equal(theirs.reshape(spikes.shape), spikes)


@pytest.mark.parametrize("target", ["loihi2", "loihi1"])
def test_currents_that_last_keep_the_integers_too(target: str, tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.net", 3, by_channel=target == "loihi2")
    decays = {1: 1500, 3: 4096, 4: 3000}
    with h5py.File(path, "r+") as file:
        weights = {i: file[f"layer/{i}/weight"][()] for i in decays}
        for index, decay in decays.items():
            put = file[f"layer/{index}/neuron"]
            del put["iDecay"]
            put["iDecay"] = decay
    x = events(np.random.default_rng(3), samples=2)
    found = compiled(path, x, target, T=str(STEPS), input="events")
    assert codes(found) == []
    for layer_weights, weight in zip(found.weights, weights.values(), strict=True):
        assert np.array_equal(stored(found.integer, f"{layer_weights.name}.weight"), weight)
    for name, spikes in spikes_of(found.integer, x.swapaxes(0, 1)).items():
        theirs = in_lava_dl(path, x.swapaxes(0, 1).astype(int), int(name.split(".")[1]))
        assert np.array_equal(theirs.reshape(spikes.shape), spikes)
        assert spikes.any()


def lava_dl_file(name: str) -> Path:
    dl = pytest.importorskip("lava.lib.dl")
    path = (
        Path(next(iter(dl.__path__))).parents[2] / "tests" / "lava" / "lib" / "dl" / "netx" / name
    )
    if not path.is_file():
        pytest.skip("lava-dl's own networks are not installed")
    return path


@pytest.mark.parametrize(
    ("name", "factor", "offset", "layers"), [("mnist.net", 76, 64, 3), ("tiny.net", 36, 34, 3)]
)
def test_lava_dls_own_networks_fire_as_in_lava_dl(
    name: str, factor: int, offset: int, layers: int
) -> None:
    pytest.importorskip("lava.magma")
    from snncc.backends.lava.netx import run_netx_of_images

    path = lava_dl_file(name)
    model = load_model(str(path))
    x = np.random.default_rng(0).integers(0, 2, (1, *model.input_shape)).astype(np.float32)
    found = compiled(path, x, T=str(STEPS))
    assert codes(found) == []
    ran = spikes_of(found.integer, x)
    assert len(ran) == layers
    for count, (_, spikes) in enumerate(ran.items(), start=1):
        biases = (factor * x + offset).astype(int)
        theirs = run_netx_of_images(path, biases, STEPS, layers=count, timeout=60)
        assert np.array_equal(theirs.reshape(spikes.shape), spikes)
        assert spikes.any()


@pytest.mark.parametrize("name", ["mnist.net", "tiny.net"])
def test_lava_dls_own_networks_are_written_again(name: str, tmp_path: Path) -> None:
    """The input with neurons becomes a layer; mnist's reads a row, which stands upright for it."""
    path = lava_dl_file(name)
    model = load_model(str(path))
    x = np.random.default_rng(0).integers(0, 2, (2, *model.input_shape)).astype(np.float32)
    first = compiled(path, x, T=str(STEPS))
    write_netx(first.integer, tmp_path / "again.net")
    shown = x if name == "tiny.net" else x.reshape(2, 784, 1, 1)
    again = compiled(tmp_path / "again.net", shown)
    assert codes(again) == []
    before, after = (
        list(spikes_of(f.integer, s).values()) for f, s in ((first, x), (again, shown))
    )
    assert len(before) == len(after)
    for mine, theirs in zip(before, after, strict=True):
        assert np.array_equal(theirs.reshape(mine.shape), mine)


def test_pilotnet_fires_its_ground_truth_in_every_layer() -> None:
    """What comes with the file was recorded as a chip runs it: layer i is i steps late."""
    path = lava_dl_file("gts/pilotnet_lif/network.net")
    image = np.load(path.parent / "image.npy").transpose(2, 1, 0)
    x = ((image[None] - 36) / 40).astype(np.float32)
    found = compiled(path, x, T="16")
    assert codes(found) == []
    truths = ["input", *(f"conv-{i}" for i in range(5)), *(f"fc-{i}" for i in range(3))]
    ran = list(spikes_of(found.integer, x).values())
    for late, (name, spikes) in enumerate(zip(truths, ran, strict=False)):
        truth = np.moveaxis(np.load(path.parent / f"{name}.npy"), -1, 0)[late : late + 16]
        truth = truth.transpose(0, *range(truth.ndim - 1, 0, -1))
        assert np.array_equal(spikes[:, 0].reshape(truth.shape), truth)
        assert truth.any()


def inexact(path: Path, x: Array, target: str = "loihi2", **settings: str) -> list[str]:
    found = compiled(path, x, target, T=str(STEPS), **settings)
    return [d.message for d in found.diagnostics if d.rule.code == "SNN305"]


def test_where_the_integers_cannot_stay_it_is_said_which_and_why(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    wide = foreign(tmp_path / "wide.net", 1, widest=300)
    (said,) = inexact(wide, events(rng), input="events")
    assert said.startswith("`layer.1` is not compiled to the integers of the file: its weights are")
    assert "those of `layer.1.conv` reach " in said
    assert said.endswith(", wanted 127 at most")
    (differing,) = inexact(foreign(tmp_path / "c.net", 1), events(rng), "loihi1", input="events")[
        :1
    ]
    assert "the thresholds of `layer.3` differ, and the target has one a layer" in differing
    image = rng.random((3, 2, 5, 5)).astype(np.float32)
    (floats,) = inexact(foreign(tmp_path / "d.net", 1), image)
    assert floats.startswith("`layer.1` is not compiled to the integers of the file: its weights")
    assert "`layer.1.conv` reads an input in steps of 0.00" in floats
    assert floats.endswith(", wanted whole numbers")


def pooled() -> Graph:
    """Pixels, thresholds a channel, a max-pool, a matrix that is written as a convolution."""
    rng = np.random.default_rng(2)
    weights: dict[str, Array] = {
        "c.w": rng.integers(-30, 31, (6, 2, 3, 3)).astype(np.int8), "c.b": rng.integers(-60, 60, 6),
        "n.t": 64 * rng.integers(300, 900, (6, 1, 1)) + 1,
        "f.w": rng.integers(-127, 128, (10, 96)).astype(np.int8),
        "o.t": 64 * rng.integers(100, 900, (10,)) + 1,
        "h.w": 2 * rng.integers(-60, 61, (5, 10)).astype(np.int8),
        "h.b": rng.integers(-900, 900, 5),
        "y.s": np.linspace(0.1, 0.5, 5),
    }  # fmt: skip
    weights["c.b"] = weights["c.b"].astype(np.int32)
    made: tuple[Op, ...] = (
        ops.Input(name="x", shape=(2, 8, 8), domain=dom.integers(0, 16), scale=1 / 16),
        ops.Repeat(name="r", inputs=("x",)),
        ops.Conv(name="c", inputs=("r",), weight="c.w", bias="c.b", stride=(1, 1), padding=(1, 1),
                 dilation=(1, 1)),
        ops.IntegerNeuron(name="n", inputs=("c",), threshold="n.t", decay=2048, shift=9),
        ops.MaxPool(name="p", inputs=("n",), kernel=(2, 2), stride=(2, 2), padding=(0, 0),
                    dilation=(1, 1)),
        ops.Reshape(name="s", inputs=("p",), shape=(96,)),
        ops.Linear(name="f", inputs=("s",), weight="f.w"),
        ops.IntegerNeuron(name="o", inputs=("f",), threshold="o.t", decay=700, shift=8),
        ops.Linear(name="h", inputs=("o",), weight="h.w", bias="h.b"),
        ops.Readout(name="ro", inputs=("h",), steps=STEPS),
        ops.Output(name="y", inputs=("ro",), scale="y.s"),
    )  # fmt: skip
    return Graph(made, weights, "step", STEPS)


def nameless(op: Op) -> dict[str, Any]:
    return {k: v for k, v in op.attributes().items() if k not in op.weight_fields}


def test_an_own_file_compiles_to_the_graph_that_it_was_written_from(tmp_path: Path) -> None:
    """Up to names: every op, every integer, the input's grid and the scale of the answer."""
    graph = pooled()
    write_netx(graph, tmp_path / "a.net")
    back = compiled(tmp_path / "a.net").integer
    assert [op.kind for op in back.ops] == [op.kind for op in graph.ops]
    for mine, theirs in zip(graph.ops, back.ops, strict=True):
        assert nameless(mine) == nameless(theirs)
        assert graph.type_of(mine.name) == back.type_of(theirs.name)
        for field in mine.weight_fields:
            a, b = getattr(mine, field), getattr(theirs, field)
            assert (a is None) == (b is None)
            assert a is None or np.array_equal(stored(graph, a), stored(back, b))
    x = np.random.default_rng(3).random((3, 2, 8, 8))
    assert np.array_equal(interpret(graph, x)["y"], interpret(back, x)[back.ops[-1].name])


FORMS = {
    "too few": "conv 3",
    "no number": "conv x pool 0 dense 2",
    "no kind": "conv 3 pull 0 dense 2",
    "too far": "conv 99 pool 0 dense 2",
    "no pool": "pool 3 pool 0 dense 2",
}


@pytest.mark.parametrize("case", FORMS)
def test_forms_that_do_not_meet_the_layers_are_refused(case: str, tmp_path: Path) -> None:
    write_netx(pooled(), tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net", "r+") as file:
        assert file["snncc/layers"].asstr()[()] == "conv 3 pool 0 dense 2"
        del file["snncc/layers"]
        file["snncc/layers"] = FORMS[case]
    with pytest.raises(SnnccError, match="the group `snncc` cannot be read") as refused:
        load_model(str(tmp_path / "a.net"))
    assert [d.rule.code for d in refused.value.diagnostics] == ["SNN183"]


@pytest.mark.parametrize("weight", [1.0, [1.0, 2.0]])
def test_a_matrix_written_as_a_convolution_that_is_none_is_refused(
    weight: Any, tmp_path: Path
) -> None:
    write_netx(pooled(), tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net", "r+") as file:
        del file["layer/3/weight"]
        file["layer/3/weight"] = np.float32(weight)
    with pytest.raises(SnnccError, match="`weight` has shape") as refused:
        load_model(str(tmp_path / "a.net"))
    assert [d.rule.code for d in refused.value.diagnostics] == ["SNN183"]


def test_a_file_without_forms_is_read_as_lava_dl_reads_it(tmp_path: Path) -> None:
    graph = pooled()
    write_netx(graph, tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net", "r+") as file:
        del file["snncc/layers"]
    found = compiled(tmp_path / "a.net")
    assert codes(found) == ["SNN303"]
    x = np.random.default_rng(3).random((3, 2, 8, 8))
    back = interpret(found.integer, x)
    assert np.array_equal(interpret(graph, x)["y"], back[found.integer.ops[-1].name])
