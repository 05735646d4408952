"""One trained network makes the tour: PyTorch, ONNX, snncc, ONNX, onnxruntime.

The digits Spikingformer is exported from PyTorch, its time loop unrolled, by both of torch's
exporters. Read back it has the verdict, the integers and the spikes of its checkpoint; written
again, onnxruntime gives its answers to all test images.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from snncc.artefact import read_artefact
from snncc.cli.guard import guarded
from snncc.execute.executor import Executor
from snncc.ir.graph import Array, Graph
from snncc.models.zoo import FORMS

pytestmark = pytest.mark.slow
runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
CHECKPOINT = DIGITS / "spikingformer.pth.tar"
LAYERS = 18
"""Of neurons."""


def snncc(*arguments: object) -> None:
    assert guarded([str(each) for each in arguments]) == 0


def network() -> nn.Module:
    with torch.serialization.safe_globals([argparse.Namespace]):
        saved: dict[str, Any] = torch.load(CHECKPOINT, weights_only=True)
    args = saved["args"]
    model = FORMS["spikingformer-cifar"].build(
        dim=args.dim, depth=args.depths, heads=args.num_heads, mlp_ratio=args.mlp_ratio,
        T=args.time_step, img_size=args.img_size, in_channels=args.in_channels,
        classes=args.num_classes,
    )  # fmt: skip
    model.load_state_dict(saved["state_dict"], strict=True)
    return model.eval()


def exported(path: Path, *, dynamo: bool) -> Path:
    """Plain `torch.onnx.export`: whatever options it has by itself."""
    example = (torch.zeros(1, 1, 16, 16),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network(), example, str(path), dynamo=dynamo, verbose=False)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tour")


def compiled(model: Path, place: Path) -> Graph:
    data = DIGITS / "calibration.npz"
    snncc("compile", model, "--target", "loihi2", "--data", data, "-o", place)
    return read_artefact(place).integer


@pytest.fixture(scope="module")
def original(folder: Path) -> Graph:
    return compiled(CHECKPOINT, folder / "original")


@pytest.fixture(scope="module", params=[True, False], ids=["dynamo", "torchscript"])
def model(folder: Path, request: pytest.FixtureRequest) -> Path:
    return exported(folder / f"digits{request.param:d}.onnx", dynamo=request.param)


@pytest.fixture(scope="module")
def read(model: Path) -> Graph:
    return compiled(model, model.with_suffix(""))


@pytest.fixture(scope="module")
def images() -> Array:
    with np.load(DIGITS / "test.npz") as found:
        x: Array = found["x"]
    return x


def findings(model: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[Any, ...]]:
    capsys.readouterr()
    snncc("check", model, "--format", "json")
    document = json.loads(capsys.readouterr().out)
    assert document["clean"]
    return [
        (f["code"], f["op"], f["severity"], f["domain"], f["allowed_by"])
        for f in document["findings"]
    ]


def test_the_file_holds_arithmetic_alone(model: Path) -> None:
    proto = onnx.load(model)
    assert not proto.functions
    assert {node.domain for node in proto.graph.node} == {""}
    compares = [n for n in proto.graph.node if n.op_type == "GreaterOrEqual"]
    assert len(compares) == 4 * LAYERS


def test_same_verdict(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(model, capsys) == findings(CHECKPOINT, capsys)


def weighted(graph: Graph) -> list[tuple[str, dict[str, Array]]]:
    """The stored numbers of each op but the unit of the answer, which is a float."""
    return [
        (op.kind, {f: np.asarray(graph.weights[getattr(op, f)]) for f in op.weight_fields
                   if getattr(op, f) is not None})
        for op in graph.ops
        if op.weight_names and op.kind != "output"
    ]  # fmt: skip


def test_same_integers(original: Graph, read: Graph) -> None:
    ours, theirs = weighted(original), weighted(read)
    assert [kind for kind, _ in ours] == [kind for kind, _ in theirs]
    for (_, one), (_, other) in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for field, numbers in one.items():
            assert numbers.dtype.kind == "i"
            assert np.array_equal(numbers, other[field])


def test_same_spikes_and_answers(original: Graph, read: Graph, images: Array) -> None:
    def run(graph: Graph) -> tuple[list[Array], Array]:
        neurons = [op.name for op in graph.of_kind("integer_neuron")]
        (answer,) = graph.of_kind("output")
        done = Executor(graph).run(images, keep=[*neurons, answer.inputs[0]])
        return [done.values[name] for name in neurons], done.values[answer.inputs[0]]

    (spikes, counts), (others, theirs) = run(original), run(read)
    assert len(spikes) == len(others) == LAYERS
    for one, other in zip(spikes, others, strict=True):
        assert np.array_equal(one.reshape(4, 450, -1), other.reshape(4, 450, -1))
    assert np.array_equal(counts, theirs)


def test_the_unit_of_the_answer_is_the_same_but_for_float32(original: Graph, read: Graph) -> None:
    """The exporter folds batch norms in float32, snncc in float64."""
    one, other = (
        np.asarray(g.weights[g.of_kind("output")[0].weight_names[0]]) for g in (original, read)
    )
    assert np.allclose(one, other, rtol=1e-6, atol=0)


@pytest.mark.parametrize("how", ["--scan", "--unroll"])
def test_onnxruntime_answers_as_the_executor_does(
    model: Path, read: Graph, images: Array, how: str
) -> None:
    out = model.with_name(f"{model.stem}{how}.onnx")
    snncc("convert", model.with_suffix(""), out, how)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(out), options, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: images})
    assert np.array_equal(got, Executor(read).run(images).output)
    with np.load(DIGITS / "test.npz") as found:
        assert (got.argmax(-1) == found["y"]).mean() > 0.98
