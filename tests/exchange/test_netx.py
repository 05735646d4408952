"""netx files: lava-dl reads and runs what is written, spike by spike; snncc reads it back."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pytest

from snncc.backends.netx.write import write_netx
from snncc.diagnostics.core import SnnccError
from snncc.frontends import hdf5, hdf5_child
from snncc.frontends.load import load_model
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.ir.synaptic_current import IntegerCurrent

STEPS = 4
RANDOM = np.random.default_rng(0)
START = RANDOM.bit_generator.state
ONES: dict[str, Any] = {"dilation": (1, 1)}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: another one for each file takes its time. Same numbers in any order."""
    RANDOM.bit_generator.state = START
    inside: Callable[[Path, str], None] = lambda p, f: hdf5_child.main(str(p), f)  # noqa: E731
    monkeypatch.setattr(hdf5, "_read_apart", inside)


def int8(*shape: int, most: int = 127) -> Array:
    return RANDOM.integers(-most, most + 1, shape).astype(np.int8)


def neuron(name: str, read: str, **fields: Any) -> ops.IntegerNeuron:
    given: dict[str, Any] = {"threshold": f"{name}.t", "decay": 2048, "shift": 9, **fields}
    return ops.IntegerNeuron(name=name, inputs=(read,), **given)


def deep() -> Graph:
    """Pixels, a convolution with one threshold a channel, a max-pool, a strided one, a head."""
    weights = {
        "c.w": int8(6, 2, 3, 3, most=60), "c.b": RANDOM.integers(-60, 60, 6).astype(np.int16),
        "n.t": RANDOM.integers(100_000, 200_000, (6, 1, 1)),
        "d.w": int8(4, 3, 3, 3), "m.t": RANDOM.integers(20_000, 60_000, (4, 1, 1)),
        "f.w": int8(10, 16), "f.b": RANDOM.integers(-60, 60, 10).astype(np.int16),
        "o.t": RANDOM.integers(10_000, 40_000, (10,)), "h.w": int8(5, 10),
        "y.s": np.linspace(0.1, 0.5, 5),
    }  # fmt: skip
    made: tuple[Op, ...] = (
        ops.Input(name="x", shape=(2, 8, 8), domain=dom.integers(0, 16), scale=1 / 16),
        ops.Repeat(name="r", inputs=("x",)),
        ops.Conv(name="c", inputs=("r",), weight="c.w", bias="c.b", stride=(1, 1), padding=(1, 1),
                 **ONES),
        neuron("n", "c"),
        ops.MaxPool(name="p", inputs=("n",), kernel=(3, 3), stride=(2, 2), padding=(1, 1), **ONES),
        ops.Conv(name="d", inputs=("p",), weight="d.w", stride=(2, 2), padding=(1, 1), groups=2,
                 **ONES),
        neuron("m", "d"),
        ops.Reshape(name="s", inputs=("m",), shape=(16,)),
        ops.Linear(name="f", inputs=("s",), weight="f.w", bias="f.b"),
        neuron("o", "f"),
        ops.Linear(name="h", inputs=("o",), weight="h.w"),
        ops.Readout(name="ro", inputs=("h",), steps=STEPS),
        ops.Output(name="y", inputs=("ro",), scale="y.s"),
    )  # fmt: skip
    return Graph(made, weights, "step", STEPS)


def row(thresholds: Array | None = None) -> Graph:
    """Neurons behind a flattened convolution, one threshold for each of its channels."""
    graph = deep()
    each = cast(Array, graph.weights["m.t"]) if thresholds is None else thresholds
    weights = {**graph.weights, "m.t": np.repeat(each.reshape(-1), 16 // each.size)}
    made: list[Op] = []
    for op in graph.ops:
        if op.name == "m":
            made += [ops.Reshape(name="s", inputs=("d",), shape=(16,)), neuron("m", "s")]
        elif op.name != "s":
            made.append(dataclasses.replace(op, inputs=("m",)) if op.name == "f" else op)
    return Graph(tuple(made), weights, "step", STEPS)


def flat() -> Graph:
    """An MLP whose weights, shifted for four time steps, still fit into int8: dense layers."""
    weights = {
        "a.w": int8(12, 20, most=15), "n.t": np.array(60_000), "b.w": int8(6, 12, most=15),
        "m.t": RANDOM.integers(2_000, 8_000, (6,)),
    }  # fmt: skip
    made: tuple[Op, ...] = (
        ops.Input(name="x", shape=(20,), domain=dom.integers(0, 16), scale=1 / 16),
        ops.Repeat(name="r", inputs=("x",)),
        ops.Linear(name="a", inputs=("r",), weight="a.w"),
        neuron("n", "a"),
        ops.Linear(name="b", inputs=("n",), weight="b.w"),
        neuron("m", "b"),
        ops.Readout(name="ro", inputs=("m",), steps=STEPS),
        ops.Output(name="y", inputs=("ro",)),
    )  # fmt: skip
    return Graph(made, weights, "step", STEPS)


def lasting() -> Graph:
    """Neurons whose currents last, behind a convolution and behind a row: another decay each."""
    weights = {
        "c.w": int8(6, 2, 3, 3), "n.t": RANDOM.integers(400, 2_000, (6, 1, 1)) * 64 + 1,
        "f.w": int8(10, 96), "f.b": np.zeros(10, np.int16),
        "o.t": RANDOM.integers(500, 1_000, (10,)) * 64 + 1,
    }  # fmt: skip

    def keeps(name: str, read: str, decay: int, shift: int) -> IntegerCurrent:
        return IntegerCurrent(name=name, inputs=(read,), decay=decay, shift=shift, steps=STEPS)

    made: tuple[Op, ...] = (
        ops.Input(name="x", shape=(2, 8, 8), domain=dom.integers(0, 16), scale=1 / 16),
        ops.Repeat(name="r", inputs=("x",)),
        ops.Conv(name="c", inputs=("r",), weight="c.w", stride=(1, 1), padding=(1, 1), **ONES),
        keeps("i", "c", 1000, 6),
        neuron("n", "i", shift=0),
        ops.MaxPool(name="p", inputs=("n",), kernel=(3, 3), stride=(2, 2), padding=(1, 1), **ONES),
        ops.Reshape(name="s", inputs=("p",), shape=(96,)),
        ops.Linear(name="f", inputs=("s",), weight="f.w", bias="f.b"),
        keeps("j", "f", 409, 7),
        neuron("o", "j", shift=0, decay=300),
        ops.Readout(name="ro", inputs=("o",), steps=STEPS),
        ops.Output(name="y", inputs=("ro",)),
    )
    return Graph(made, weights, "step", STEPS)


def ran(graph: Graph) -> tuple[Array, dict[str, Array]]:
    x = RANDOM.integers(0, 17, (3, *graph.type_of("x").shape)) / 16
    return x, interpret(graph, x)


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (deep, {"n": 1, "p": 2, "m": 3, "o": None}),
        (row, {"n": 1, "p": 2, "m": 3, "o": None}),
        (flat, {"n": 1, "m": None}),
        (lasting, {"n": 1, "p": 2, "o": None}),
    ],
    ids=["deep", "row", "flat", "lasting"],
)
def test_lava_dl_computes_the_same_spikes(
    make: Callable[[], Graph], layers: dict[str, int | None], tmp_path: Path
) -> None:
    pytest.importorskip("lava.magma")
    pytest.importorskip("lava.lib.dl")
    from snncc.backends.lava.netx import run_netx

    graph = make()
    _, values = ran(graph)
    write_netx(graph, tmp_path / "a.net")
    for name, count in layers.items():
        spikes = run_netx(tmp_path / "a.net", values["r"], STEPS, layers=count, timeout=60)
        assert 0.05 < values[name].mean() < 0.95
        np.testing.assert_array_equal(spikes.reshape(values[name].shape), values[name])


def kinds(path: Path) -> list[str]:
    with h5py.File(path) as file:
        layers = file["layer"]
        return [layers[str(i)]["type"][0].decode() for i in range(len(layers))]


def test_dense_where_doubled_weights_keep_their_bits_else_convolutions(tmp_path: Path) -> None:
    write_netx(flat(), tmp_path / "flat.net")
    assert kinds(tmp_path / "flat.net") == ["input", "dense", "dense"]
    wide = flat()
    weights = {**wide.weights, "b.w": np.full((6, 12), 15, np.int8)}
    write_netx(replace(wide, weights=weights), tmp_path / "wide.net")
    assert kinds(tmp_path / "wide.net") == ["input", "conv", "conv"]


@pytest.mark.parametrize("make", [deep, flat])
def test_what_is_read_back_computes_the_same(make: Callable[[], Graph], tmp_path: Path) -> None:
    """Answers too: the head stands beside what lava-dl reads."""
    graph = make()
    x, values = ran(graph)
    write_netx(graph, tmp_path / "a.net")
    model = load_model(str(tmp_path / "a.net"))
    assert (model.steps, model.notes) == (STEPS, ())
    back = interpret(model.origin.graph(), x.reshape(3, *model.input_shape))
    answer = back[model.origin.graph().ops[-1].name]
    np.testing.assert_array_equal(answer, values["y"])


def test_events_stay_events_and_time_steps_can_be_given(tmp_path: Path) -> None:
    graph = flat()
    entry = ops.Input(name="x", shape=(20,), domain=dom.integers(0, 1), scale=1.0, varies=True)
    events = replace(graph, ops=(entry, *graph.ops[1:]))
    write_netx(events, tmp_path / "a.net")
    model = load_model(str(tmp_path / "a.net"))
    assert model.input_shape == (4, 20)
    x = RANDOM.integers(0, 2, (4, 3, 20))
    back = model.origin.graph()
    np.testing.assert_array_equal(interpret(back, x)[back.ops[-1].name], interpret(events, x)["y"])
    assert load_model(str(tmp_path / "a.net"), settings={"T": "2"}).input_shape == (2, 20)


def test_a_file_of_others_has_notes_and_spike_counts(tmp_path: Path) -> None:
    graph = flat()
    x, values = ran(graph)
    write_netx(graph, tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net", "r+") as file:
        del file["snncc"], file["simulation"]
    model = load_model(str(tmp_path / "a.net"), settings={"T": str(STEPS)})
    assert [d.rule.code for d in model.notes] == ["SNN185"]
    back = interpret(model.origin.graph(), x * 16)
    np.testing.assert_array_equal(back[model.origin.graph().ops[-1].name], values["y"])
    given = load_model(str(tmp_path / "a.net"), settings={"T": "4", "input": "events"})
    assert given.notes == ()
    assert given.input_shape == (4, 20)


def lava_dl_files() -> Path:
    dl = pytest.importorskip("lava.lib.dl")
    folder = Path(next(iter(dl.__path__))).parents[2] / "tests" / "lava" / "lib" / "dl" / "netx"
    if not (folder / "mnist.net").is_file():
        pytest.skip("lava-dl's own networks are not installed")
    return folder


@pytest.mark.parametrize(
    ("file", "shape", "steps", "neurons"),
    [
        ("mnist.net", (784,), 16, 3),
        ("tiny.net", (3, 16, 16), 64, 3),
        ("gts/pilotnet_lif/network.net", (3, 66, 200), 16, 10),
    ],
)
def test_lava_dls_own_networks(file: str, shape: tuple[int, ...], steps: int, neurons: int) -> None:
    model = load_model(str(lava_dl_files() / file))
    assert (model.input_shape, model.steps) == (shape, steps)
    assert len(model.origin.graph().of_kind("neuron")) == neurons
    assert [d.rule.code for d in model.notes] == ["SNN185"]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("gts/ntidigits/ntidigits.net", "it has delays"),
        ("gts/pilotnet_sdnn/network.net", "neurons are of type `SDNN`"),
    ],
)
def test_lava_dls_own_networks_beyond_a_step_graph(file: str, reason: str) -> None:
    with pytest.raises(SnnccError, match=reason) as refused:
        load_model(str(lava_dl_files() / file))
    assert refused.value.diagnostics[0].rule.code == "SNN184"


def changed(graph: Graph, *new: Op, **weights: Array) -> Graph:
    """Return the graph with ops put in the place of those of their names, or before the end."""
    names = {op.name for op in new}
    fresh = [op for op in new if op.name not in graph.by_name]
    by_name = {op.name: op for op in new}
    made: list[Op] = []
    for op in graph.ops:
        made += [n for n in fresh if n.name == f"{op.name}+"]
        made.append(by_name[op.name] if op.name in names else op)
    return Graph(tuple(made), {**graph.weights, **weights}, "step", STEPS)


def residual(g: Graph) -> Graph:
    shortcut = ops.Add(name="m+", inputs=("d", "d"))
    return changed(g, shortcut, neuron("m", "m+"))


REFUSED: dict[str, tuple[Callable[[Graph], Graph], str, str]] = {
    "residual": (residual, "SNN181", "a sum of two values"),
    "soft": (lambda g: changed(g, neuron("m", "d", reset="soft")), "SNN181", "soft reset"),
    "average": (
        lambda g: changed(g, ops.AvgPool(name="p", inputs=("n",), kernel=(2, 2), stride=(2, 2),
                                         padding=(0, 0))),
        "SNN181", "an average pool",
    ),
    "sums": (
        lambda g: changed(g, ops.Conv(name="p", inputs=("n",), weight="p.w", stride=(2, 2),
                                      padding=(0, 0), groups=6, **ONES),
                          **{"p.w": np.ones((6, 1, 2, 2), np.int8)}),
        "SNN181", "`p`: it sums the spikes of a window for the next weights",
    ),
    "two in a row": (
        lambda g: changed(g, ops.Conv(name="p", inputs=("n",), weight="p.w", stride=(2, 2),
                                      padding=(0, 0), **ONES),
                          **{"p.w": int8(6, 6, 2, 2)}),
        "SNN181", "2 layers with weights feed it",
    ),
    "bias": (
        lambda g: changed(g, **{"f.b": np.full(10, 8_000, np.int16)}), "SNN182", "bias reaches 8000"
    ),
    "current": (
        lambda g: changed(g, **{"c.w": np.full((6, 2, 3, 3), 127, np.int8) * np.int64(64)}),
        "SNN182", "wraps at 8388608",
    ),
    "high": (
        lambda g: changed(g, **{"o.t": np.full(10, (131_073 << 6) + 1)}),
        "SNN182", "its threshold reaches 131073, wanted 131071 at most",
    ),
    "falls": (
        lambda g: changed(g, **{"c.w": np.full((6, 2, 3, 3), -50, np.int8)}),
        "SNN182", "its potential may fall to ",
    ),
    "threshold": (
        lambda g: changed(g, **{"n.t": np.arange(64).reshape(1, 8, 8) * 64 + 200_001}),
        "SNN181", "differ within a channel",
    ),
    "row": (lambda g: row(np.arange(16) * 64 + 20_001), "SNN181", "differ within a channel"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_netx_cannot_say_is_refused(case: str, tmp_path: Path) -> None:
    change, code, reason = REFUSED[case]
    with pytest.raises(SnnccError, match=reason) as refused:
        write_netx(change(deep()), tmp_path / "a.net")
    assert {d.rule.code for d in refused.value.diagnostics} == {code}
    assert not (tmp_path / "a.net").exists()


def test_what_it_loses_of_a_current_stands_in_the_file(tmp_path: Path) -> None:
    write_netx(lasting(), tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net") as file:
        layers = [file[f"layer/{i}/neuron"] for i in (1, 2, 3)]
        decays = [(int(n["iDecay"][()]), int(n["vDecay"][()])) for n in layers]
        assert decays == [(1000, 2048), (4096, 4096), (409, 300)]


LASTING: dict[str, tuple[Callable[[Graph], Graph], str]] = {
    "a bias": (
        lambda g: changed(g, **{"f.b": np.arange(10, dtype=np.int16)}),
        "it keeps a bias from step to step: netx adds biases behind it",
    ),
    "all of it": (
        lambda g: changed(g, replace(g["i"], decay=0)),  # type: ignore[call-arg]
        "loses nothing of its current",
    ),
    "a smaller shift": (
        lambda g: changed(g, replace(g["i"], shift=5)),  # type: ignore[call-arg]
        "stock neurons shift it once, by 6 at least",
    ),
    "two in a row": (
        lambda g: changed(
            g,
            replace(g["i"], name="n+", inputs=("i",), shift=0),  # type: ignore[call-arg]
            neuron("n", "n+", shift=0),
        ),
        "netx neurons keep one current",
    ),
    "before weights": (
        lambda g: changed(
            g,
            replace(g["i"], name="f+", inputs=("s",), shift=0),  # type: ignore[call-arg]
            replace(g["f"], inputs=("f+",)),
        ),
        "is read by weights",
    ),
}


@pytest.mark.parametrize("case", LASTING)
def test_currents_that_netx_cannot_say(case: str, tmp_path: Path) -> None:
    change, reason = LASTING[case]
    with pytest.raises(SnnccError, match=reason) as refused:
        write_netx(change(lasting()), tmp_path / "a.net")
    assert {d.rule.code for d in refused.value.diagnostics} == {"SNN181"}
    assert not (tmp_path / "a.net").exists()


def test_a_current_that_may_wrap_is_refused(tmp_path: Path) -> None:
    heavy = changed(lasting(), **{"c.w": np.full((6, 2, 3, 3), 127, np.int8) * np.int64(16)})
    with pytest.raises(SnnccError, match="wraps at 8388608") as refused:
        write_netx(heavy, tmp_path / "a.net")
    assert {d.rule.code for d in refused.value.diagnostics} == {"SNN182"}


def test_a_shift_counts_where_a_current_may_wrap(tmp_path: Path) -> None:
    graph = changed(deep(), **{"c.w": np.full((6, 2, 3, 3), 10, np.int8)})
    shifted = changed(graph, replace(graph["c"], shift=6, bias=None))  # type: ignore[call-arg]
    with pytest.raises(SnnccError, match="wraps at 8388608"):
        write_netx(shifted, tmp_path / "a.net")


def put(file: Any, name: str, value: Any) -> None:
    del file[name]
    file[name] = value


def many_outputs(file: Any) -> None:
    put(file, "layer/1/weight", np.arange(12) - 3)
    put(file, "layer/1/shape", np.array([1 << 20, 1 << 20, 1 << 20, 16]))


def headed(op: str) -> Callable[[Any], None]:
    """A head with one more op, which reads the last spikes."""

    def change(file: Any) -> None:
        text = file["snncc/head"].asstr()[()].rstrip().removesuffix("}")
        put(file, "snncc/head", f"{text}  %more = {op} : <6; real>\n}}")

    return change


CURRENT = "integer_current(%m, decay=1, shift={}, steps={})"
FAULTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "no layers": (lambda f: f.move("layer", "other"), "SNN183"),
    "a gap": (lambda f: f.move("layer/1", "layer/7"), "SNN183"),
    "current": (lambda f: put(f, "layer/1/neuron/iDecay", np.array(4097)), "SNN183"),
    "no current": (lambda f: f["layer/1/neuron"].pop("iDecay"), "SNN183"),
    "a current of nothing": (lambda f: put(f, "layer/1/neuron/iDecay", np.nan), "SNN106"),
    "a current that grows": (lambda f: put(f, "layer/1/neuron/iDecay", -1), "SNN183"),
    "half a current": (lambda f: put(f, "layer/1/neuron/iDecay", 0.5), "SNN183"),
    "two currents": (lambda f: put(f, "layer/1/neuron/iDecay", [1, 2]), "SNN183"),
    "not a number": (
        lambda f: f["layer/1/weight"].write_direct(np.full((12, 20), np.nan, np.float32)), "SNN106"
    ),
    "a threshold that is none": (
        lambda f: put(f, "layer/1/neuron/vThMant", np.nan), "SNN106"
    ),
    "a head that is no number": (
        lambda f: f.create_dataset("snncc/weights/w", data=np.nan), "SNN106"
    ),
    "more outputs than can be counted": (many_outputs, "SNN183"),
    "odd beyond 7 bits": (
        lambda f: f["layer/1/weight"].write_direct(
            np.array([[-1, *[201] * 19]] * 12, np.float32)
        ), "SNN184",
    ),
    "shapes": (lambda f: f.move("layer/1/weight", "layer/1/w"), "SNN183"),
    "head": (lambda f: f.move("snncc/head", "snncc/tail"), "SNN183"),
    "a head of more bits than memory": (headed(CURRENT.format(10**12, 4)), "SNN183"),
    "a head of more steps than time": (headed(CURRENT.format(60, 10**12)), "SNN183"),
    "a head without a weight": (headed("linear(%m, weight='w')"), "SNN183"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_wrong_in_a_file_is_said(case: str, tmp_path: Path) -> None:
    change, code = FAULTS[case]
    write_netx(flat(), tmp_path / "a.net")
    shutil.copyfile(tmp_path / "a.net", tmp_path / "b.net")
    with h5py.File(tmp_path / "b.net", "r+") as file:
        change(file)
    with pytest.raises(SnnccError) as refused:
        load_model(str(tmp_path / "b.net"))
    assert [d.rule.code for d in refused.value.diagnostics] == [code]


def test_another_format_of_our_own_group_is_refused(tmp_path: Path) -> None:
    write_netx(flat(), tmp_path / "a.net")
    for said in ("snncc.netx/99", None):
        with h5py.File(tmp_path / "a.net", "r+") as file:
            del file["snncc/format"]
            if said:
                file["snncc/format"] = said
        with pytest.raises(SnnccError, match=f"of the format `{said or ''}`, wanted") as refused:
            load_model(str(tmp_path / "a.net"))
        assert refused.value.diagnostics[0].rule.code == "SNN168"
