"""Integers back in: the graph that was written, or no graph at all."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

import snncc
from snncc.artefact import Artefact, read_artefact
from snncc.backends.writers import read_back
from snncc.cli.guard import guarded
from snncc.diagnostics.core import SnnccError
from snncc.execute.executor import Executor
from snncc.frontends.load import load_model
from snncc.frontends.model import Model
from snncc.ir.text import dump
from snncc.models.neuron import LIF

Told = pytest.CaptureFixture[str]


class Net(nn.Module):
    """A straight network, which netx can say too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1 = nn.Conv2d(1, 4, 3, padding=1), LIF()
        self.fc, self.lif2 = nn.Linear(144, 6), LIF()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(0).repeat(3, 1, 1, 1, 1)  # [T, B, C, H, W]
        x = self.lif1(self.conv(x.flatten(0, 1) * 4).unflatten(0, x.shape[:2]))
        return self.head(self.lif2(self.fc(x.flatten(2)))).mean(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact, samples, and files of its integers with the loop as Scan and written out."""
    folder = tmp_path_factory.mktemp("integers")
    torch.manual_seed(1)
    data = np.random.default_rng(0).random((8, 1, 6, 6)).astype(np.float32)
    np.savez(folder / "data.npz", x=data, y=np.arange(8) % 3)
    place, example = str(folder / "net"), torch.zeros(1, 1, 6, 6)
    snncc.compile(Net(), example, target="loihi2", data=data, output=place, fit_widths=True)
    for name, how in (("scan", "--scan"), ("unrolled", "--unroll")):
        assert run("convert", place, folder / f"{name}.onnx", how) == 0
    return folder


@pytest.fixture(scope="module")
def artefact(folder: Path) -> Artefact:
    return read_artefact(folder / "net")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(folder / "scan.onnx", tmp_path / "net.onnx"))


def run(*arguments: object) -> int:
    return guarded([str(each) for each in arguments])


def loaded(path: Path) -> Model:
    return load_model(str(path), integers=read_back)


@pytest.mark.parametrize("name", ["scan", "unrolled"])
def test_the_very_graph_comes_back(
    name: str, folder: Path, artefact: Artefact, capsys: Told
) -> None:
    model = loaded(folder / f"{name}.onnx")
    graph = model.origin.graph()
    assert graph == artefact.integer
    assert [op.source for op in graph] == [op.source for op in artefact.integer]
    assert (model.name, model.target, model.input_shape) == ("Net", "loihi2", (1, 6, 6))
    with np.load(folder / "data.npz") as data:
        x = data["x"]
    want = Executor(artefact.integer).run(x).output
    assert want.any()
    assert np.array_equal(Executor(graph).run(x).output, want)
    assert np.array_equal(model.origin.record(x.astype(float)).output, want)
    capsys.readouterr()
    assert run("inspect", folder / f"{name}.onnx", "--dump") == 0
    assert capsys.readouterr().out == (folder / "net" / "graph.txt").read_text()


def test_it_is_judged_as_it_is(folder: Path, capsys: Told) -> None:
    for how in ((), ("--deployed",)):
        assert run("check", folder / "scan.onnx", *how, "--format", "json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["form"], found["time_steps"]) == ("deployed", 3)
        assert [each["code"] for each in found["findings"]] == ["SNN201"]
    assert run("check", folder / "scan.onnx") == 0
    assert "next: snncc energy" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["counted-45nm", "loihi1-sanafe"])
def test_it_costs_what_the_artefact_costs(model: str, folder: Path, capsys: Told) -> None:
    told = []
    for name in ("net", "unrolled.onnx"):
        what = ("--data", folder / "data.npz", "--energy-model", model, "--format", "json")
        assert run("energy", folder / name, *what) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["totals"] == told[1]["totals"]
    assert told[0]["layers"] == told[1]["layers"]


@pytest.mark.parametrize(("name", "how"), [("scan", "--unroll"), ("unrolled", "--scan")])
def test_it_is_written_again(name: str, how: str, folder: Path, tmp_path: Path) -> None:
    """As the same bytes; with the loop in the other form, as those of the other file."""
    file, other = folder / f"{name}.onnx", {"scan": "unrolled", "unrolled": "scan"}[name]
    same = "--scan" if name == "scan" else "--unroll"
    assert run("convert", file, tmp_path / "same.onnx", same) == 0
    assert (tmp_path / "same.onnx").read_bytes() == file.read_bytes()
    assert run("convert", file, tmp_path / "other.onnx", how) == 0
    assert (tmp_path / "other.onnx").read_bytes() == (folder / f"{other}.onnx").read_bytes()


def test_it_is_written_as_netx(folder: Path, tmp_path: Path) -> None:
    for name in ("net", "scan.onnx"):
        assert run("convert", folder / name, tmp_path / f"{name}.net") == 0
    files = [loaded(tmp_path / f"{name}.net").origin.graph() for name in ("net", "scan.onnx")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compile", "IN", "--target", "loihi1"), "SNN166]: `Net` is in the integers of loihi2"),
        (("convert", "IN", "OUT.onnx", "--target", "loihi1"), "SNN166]"),
        (("convert", "IN", "OUT.onnx", "--data", "DATA"), "--data has no meaning for a file of in"),
        (("convert", "IN", "OUT.nir"), "SNN164]: the format NIR takes the floats"),
        (("check", "IN", "--set", "batch_axis=0"), "SNN108]: a file of integers has no settings"),
        (("check", "IN", "--input-shape", "1,8,8"), "SNN112]: --input-shape says 1x8x8, the file"),
        (("energy", "IN", "--rates", "DATA"), "SNN504]: `IN` holds integers"),
    ],
)
def test_what_has_no_meaning_for_it(
    arguments: tuple[str, ...], said: str, folder: Path, tmp_path: Path, capsys: Told
) -> None:
    names = {"IN": folder / "scan.onnx", "DATA": folder / "data.npz"}
    given = [names.get(each, each) for each in arguments]
    given = [tmp_path / each if str(each).startswith("OUT") else each for each in given]
    assert run(*given) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert said.replace("IN", str(names["IN"]), said.count("`IN`")) in shown
    assert shown.count("error[") + shown.count("Error:") == 1
    assert not list(tmp_path.iterdir())


def changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> tuple[str, str]:
    """Change a file, and return code and message of the one finding; it takes little memory."""
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SnnccError) as caught:
        loaded(path)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 512 << 10  # KiB
    (found,) = caught.value.diagnostics
    assert len(found.message) < 2000
    assert run("check", path) == 2
    return found.rule.code, found.message


def stated(name: str, change: Callable[[str], str]) -> Callable[[onnx.ModelProto], None]:
    """A change of a property."""

    def do(model: onnx.ModelProto) -> None:
        said = {each.key: each.value for each in model.metadata_props}
        assert change(said[name]) != said[name]
        helper.set_model_props(model, {**said, name: change(said[name])})

    return do


def in_text(before: str, after: str) -> Callable[[onnx.ModelProto], None]:
    """A change of the step graph that stands in the file."""
    return stated("snncc.graph.txt", lambda text: text.replace(before, after, 1))


HUGE = 10**15


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("= conv(", "= conjure(", "unknown op `conjure`"),
        ("= conv(", "= foreign(", "line 4: Foreign"),
        ("graph step T3", f"graph step T{HUGE}", "time steps, wanted 1 to 4,096"),
        ("graph step T3", "graph step T0", "time steps, wanted 1 to 4,096"),
        ("graph step T3", "graph step T2", "the stored tensor `time steps`"),
        ("graph step T3", "graph tensor T3", "of the level tensor"),
        ("shape=(1, 6, 6)", f"shape=(1, {HUGE}, 6)", f"`shape` of `input` is {HUGE}"),
        ("shape=(1, 6, 6)", "shape=(1, 65536, 65536)", "more than 134,217,728 numbers"),
        ("shape=(1, 6, 6)", "shape=(1, -6, -6)", "has the shape (1, -6, -6)"),
        ("shape=(1, 6, 6)", "shape=(1, 6, '6')", "line 2: `shape` of input is"),
        ("shape=(1, 6, 6)", "shape=__import__('os')", "line 2: malformed node"),
        ("shift=", f"shift={HUGE}", "`shift` of"),
        ("shift=", "shift=-", "`shift` of"),
        ("int[0..255]", f"int[0..{10**60}]", "`input` is <1x6x6; real>, the text"),
        ("padding=(1, 1)", "padding=(99999, 1)", "`padding` of `conv` is 99999"),
        ("stride=(1, 1)", "stride=(0, 1)", "means nothing"),
        ("weight='conv.weight'", "weight='fc.weight'", "the weight of `conv` is missing"),
        ("weight='conv.weight'", "weight='no'", "does not list the weight `no`"),
        ("decay=2048", "decay=1024", "the node `time`"),
        ("decay=2048", "decay=-1", "has decay -1, wanted 0..4096"),
        ("scale=", "scale=nan, other=", "malformed node"),
        ("scale=", "scale=1e999, other=", "unexpected keyword"),
        ("scale=", "scale=0*", "malformed node"),
        ("scale=", "scale=-", "has the scale -"),
        ("scale=0", "scale=1", "the node `input/units`"),
        ("%lif1 = ", "%conv = ", "two values have one name"),
        ("(%input", "(%output", "reads `output`, which is not made before it"),
        ("}", "", "not a graph"),
        ("# conv @", "# \x1b[31m @", "cannot be shown"),
    ],
)
def test_a_text_that_lies(before: str, after: str, said: str, copy: Path) -> None:
    code, message = changed(copy, in_text(before, after))
    assert code == "SNN165"
    assert said in message


@pytest.mark.parametrize("text", [b"graph step", b"loihi2", b"HardReset", b"fc.weight.transposed"])
def test_a_text_that_is_no_utf_8(text: bytes, copy: Path) -> None:
    """Protocol buffers give such a text as bytes."""
    data = copy.read_bytes()
    assert text in data
    copy.write_bytes(data.replace(text, b"\xff" + text[1:]))
    assert run("check", copy) == 2
    with pytest.raises(SnnccError) as caught:
        loaded(copy)
    (found,) = caught.value.diagnostics
    assert found.rule.code in ("SNN165", "SNN160")


def test_a_text_without_end(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = stated("snncc.graph.txt", lambda text: text + " " * (17 << 20))
    assert changed(copy, long)[0] == "SNN162"


def test_too_many_ops(copy: Path) -> None:
    many = "".join(f"  %n{i} = repeat(%input) : <1x6x6; int[0..255]>\n" for i in range(50_001))
    code, message = changed(copy, in_text("  %conv =", many + "  %conv ="))
    assert (code, "ops, wanted at most 50,000" in message) == ("SNN165", True)


def test_numbers_that_grow(copy: Path) -> None:
    """Each scale makes the step of the grid finer, without end."""
    lines, step = "", "input"
    for i in range(30):
        lines += f"  %s{i} = scale(%{step}, factor=0.1) : <1x6x6; real>\n"
        step = f"s{i}"
    code, _ = changed(copy, in_text("  %conv =", lines + "  %conv ="))
    assert code == "SNN165"


WIDE = "kernel=(65536, 65536), stride=(1, 1), padding=(65536, 65536)"


@pytest.mark.parametrize(
    "line",
    [
        "%p = pad(%input, before=(2147483647, 2147483647), after=(0, 0)) : <1x6x6; int[0..255]>",
        "%p = expand(%input, shape=(99999, 99999, 1, 6, 6)) : <99999x99999x1x6x6; int[0..255]>",
        "%p = thermometer(%input, levels=99999999) : <99999999x1x6x6; spike>",
        f"%p = avg_pool(%input, {WIDE}, count_include_pad=False) : <1x65543x65543; real>",
        f"%p = max_pool(%input, {WIDE}, dilation=(1, 1)) : <1x65543x65543; int[0..255]>",
        "%p = avg_pool(%input, kernel=(1, 1), stride=(0, 0), padding=(0, 0)) : <1x6x6; real>",
        "%p = permute(%input, order=('a',)) : <1x6x6; int[0..255]>",
        "%p = concat(axis=0) : <1x6x6; int[0..255]>",
        "%p = readout(%input, steps=2147483648) : <1x6x6; int[0..255]>",
        "%p = slice(%input, axis=9, start=0, stop=1) : <1x6x6; int[0..255]>",
        "%p = repeat() : <1x6x6; int[0..255]>",
    ],
)
def test_absurd_ops(line: str, copy: Path) -> None:
    assert changed(copy, in_text("  %conv =", f"  {line}\n  %conv ="))[0] == "SNN165"


def swapped(model: onnx.ModelProto) -> None:
    stored = {each.name: each for each in model.graph.initializer}
    array = numpy_helper.to_array(stored["fc.weight.transposed"])
    assert (array[0] != array[1]).any()
    array = array[[1, 0, *range(2, len(array))]]
    stored["fc.weight.transposed"].CopyFrom(numpy_helper.from_array(array, "fc.weight.transposed"))


def one_node(field: str, value: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        setattr(next(n for n in model.graph.node if n.op_type == "ConvInteger"), field, value)

    return change


def in_the_loop(model: onnx.ModelProto) -> None:
    (scan,) = (n for n in model.graph.node if n.op_type == "Scan")
    body = next(a.g for a in scan.attribute if a.name == "body")
    next(n for n in body.node if n.op_type == "MatMulInteger").op_type = "MatMul"


def in_the_function(model: onnx.ModelProto) -> None:
    (each,) = model.functions
    next(n for n in each.node if n.op_type == "GreaterOrEqual").op_type = "Greater"


def another_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[0].output[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swapped, "property `snncc.weights.safetensors.sha256`"),
        (one_node("op_type", "MatMulInteger"), "the node `conv/product`"),
        (one_node("name", "other"), "the node `other`"),
        (in_the_loop, "the node `time`"),
        (in_the_function, "the function `HardReset`"),
        (another_output, "what it says of itself"),
        (lambda m: m.graph.node.pop(), "the node"),
        (lambda m: m.graph.node.append(m.graph.node[0]), "the node"),
        (lambda m: m.graph.initializer.pop(), "the scale of `output` is missing"),
        (stated("snncc.verdict", lambda _: "2 of 2"), "the property `snncc.verdict`"),
        (stated("snncc.time", lambda _: "unrolled"), "is not what its step graph gives"),
        (stated("snncc.weights", lambda _: "{"), "does not list its weights"),
        (stated("snncc.weights", lambda _: '[["conv.weight"]]'), "does not list its weights"),
        (stated("snncc.weights", lambda t: t.replace("int8", "O", 1)), "not list its weights"),
        (stated("snncc.weights", lambda t: t.replace("3,3", "3,-3", 1)), "not list its weights"),
        (stated("snncc.weights", lambda t: t.replace("3,3", "3,2", 1)), "not have the shape"),
        (stated("snncc.weights", lambda t: t.replace("int32", "int16", 1)), "its step graph"),
        (stated("snncc.target", lambda _: "\x1b[31m"), "a name in it cannot be shown"),
        (lambda m: setattr(m.graph, "name", "n" * 999), "a name in it cannot be shown"),
        (lambda m: helper.set_model_props(m, {}), "without its step graph"),
    ],
)
def test_a_file_that_was_changed(
    change: Callable[[onnx.ModelProto], Any], said: str, copy: Path
) -> None:
    code, message = changed(copy, change)
    assert code == "SNN165"
    assert said in message


@pytest.mark.parametrize(
    ("value", "code"),
    [(float("nan"), "SNN106"), (float("inf"), "SNN106"), (0.5, "SNN165")],
)
def test_the_scale_of_the_answer(value: float, code: str, copy: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        (scale,) = (each for each in model.graph.initializer if each.name == "output.scale")
        array = numpy_helper.to_array(scale).copy()
        array.flat[0] = value
        scale.CopyFrom(numpy_helper.from_array(array, scale.name))

    assert changed(copy, change)[0] == code


def test_a_weight_larger_than_what_is_stored(copy: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        (weight,) = (t for t in model.graph.initializer if t.name == "fc.weight.transposed")
        weight.dims[0] = 2**40

    assert changed(copy, change)[0] == "SNN160"


def test_weights_outside_of_the_folder(copy: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        (weight,) = (t for t in model.graph.initializer if t.name == "fc.weight.transposed")
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="/etc/passwd")

    assert changed(copy, change)[0] == "SNN163"


def test_a_file_of_another_version(copy: Path) -> None:
    """Its graph is taken where this version writes it in the same way."""
    model = onnx.load(copy)
    model.producer_version = "0.0.1"
    stated("snncc.version", lambda _: "0.0.1")(model)
    copy.write_bytes(model.SerializeToString())
    graph = loaded(copy).origin.graph()
    assert dump(graph) == {p.key: p.value for p in model.metadata_props}["snncc.graph.txt"]
    code, message = changed(copy, one_node("name", "other"))
    assert (code, "; snncc 0.0.1 wrote it, this is " in message) == ("SNN165", True)


@pytest.mark.parametrize("called", ["hold_types", "write_onnx"])
@pytest.mark.parametrize(
    ("error", "told"), [(AttributeError, False), (AssertionError, False), (MemoryError, True)]
)
def test_a_bug_of_ours_is_no_fault_of_the_file(
    called: str, error: type[Exception], told: bool, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(f"snncc.backends.onnx.read_back.{called}", fail)
    with pytest.raises(SnnccError if told else error):
        loaded(copy)
