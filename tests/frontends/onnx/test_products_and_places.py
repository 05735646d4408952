"""``Einsum`` and ``ScatterElements``: each against ONNX's own interpreter, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from snncc.compiler import check_model
from snncc.diagnostics.core import SnnccError
from snncc.execute.executor import Executor
from snncc.frontends.load import load_model
from snncc.ir.graph import Array
from snncc.ir.interpret import interpret

Save = Callable[..., Path]
RANDOM = np.random.default_rng(0)


def model(shape: Sequence[int], nodes: list[onnx.NodeProto], **stored: Array) -> onnx.ModelProto:
    """A graph of these nodes from `x` to `y`, with stored tensors."""
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(each, name) for name, each in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def kinds_of_equal(path: Path, shape: Sequence[int]) -> list[str]:
    """What the file is read as, which computes what ONNX says."""
    graph = load_model(str(path)).origin.graph()
    x = RANDOM.uniform(-1, 1, shape).astype(np.float32)
    session: Any = ReferenceEvaluator(str(path))
    (wanted,) = session.run(None, {"x": x})
    found = interpret(graph, x.astype(np.float64))["output"]
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    return [op.kind for op in graph.ops if op.kind not in ("input", "output")]


@pytest.mark.parametrize(
    ("equation", "stored", "wanted"),
    [
        ("bti,oi->bto", (5, 4), ["linear"]),
        ("bti,io->bto", (4, 5), ["linear"]),
        ("oi,bti->bto", (5, 4), ["linear"]),
        ("bti,oi->bot", (5, 4), ["linear", "permute"]),
        ("bti,ti->b", (3, 4), ["reshape", "linear", "reshape"]),
        ("bti,to->bio", (3, 5), ["permute", "linear"]),
        ("bti, toi -> bto", (3, 5, 4), None),
    ],
)
def test_a_sum_of_products_with_a_stored_tensor(
    equation: str, stored: tuple[int, ...], wanted: list[str] | None, saved: Save
) -> None:
    terms = ["w", "x"] if equation.startswith("oi") else ["x", "w"]
    node = helper.make_node("Einsum", terms, ["y"], equation=equation)
    weight = RANDOM.normal(size=stored).astype(np.float32)
    kinds = kinds_of_equal(saved(model((2, 3, 4), [node], w=weight)), (2, 3, 4))
    assert kinds == wanted or (wanted is None and "matmul" in kinds)


@pytest.mark.parametrize("equation", ["bhnd,bhmd->bhnm", "bhnd,bhne->bhde", "bhnd,bhnd->bhn"])
def test_a_sum_of_products_of_the_network(equation: str, saved: Save) -> None:
    node = helper.make_node("Einsum", ["x", "x"], ["y"], equation=equation)
    assert "matmul" in kinds_of_equal(saved(model((2, 3, 4, 5), [node])), (2, 3, 4, 5))


@pytest.mark.parametrize("equation", ["bii,oi->bo", "bti,bto->bt", "...i,oi->...o", "bti,oi", ""])
def test_another_sum_is_refused_with_what_is_read(equation: str, saved: Save) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["y"], "sum", equation=equation)
    path = saved(model((2, 3, 4), [node], w=np.ones((5, 4), np.float32)))
    with pytest.raises(SnnccError, match=r"`sum`: it computes .*, wanted a product as `bti,oi->b"):
        load_model(str(path))


@pytest.mark.parametrize(("axis", "places"), [(1, [2]), (1, [3, 0]), (-1, [-1, 1])])
def test_whole_places_of_an_axis_are_written(axis: int, places: list[int], saved: Save) -> None:
    shape = [2, 4, 3]
    shape[axis] = len(places)
    along = [1, 1, 1]
    along[axis] = len(places)
    index = np.broadcast_to(np.array(places).reshape(along), shape).copy()
    rows = RANDOM.normal(size=shape).astype(np.float32)
    node = helper.make_node("ScatterElements", ["x", "at", "rows"], ["y"], axis=axis)
    assert "concat" in kinds_of_equal(
        saved(model((2, 4, 3), [node], at=index, rows=rows)), (2, 4, 3)
    )


@pytest.mark.parametrize(
    ("index", "how"),
    [
        (np.array([[[0, 1, 2]]] * 2), {}),
        (np.zeros((2, 1, 2), np.int64), {}),
        (np.zeros((2, 1, 3), np.int64), {"reduction": "add"}),
    ],
)
def test_other_writes_are_refused(index: Array, how: dict[str, Any], saved: Save) -> None:
    rows = np.ones(index.shape, np.float32)
    node = helper.make_node("ScatterElements", ["x", "at", "rows"], ["y"], "odd", axis=1, **how)
    path = saved(model((2, 4, 3), [node], at=index, rows=rows))
    with pytest.raises(SnnccError, match="`odd`: it writes values of shape"):
        load_model(str(path))


class InPlace(nn.Module):
    """Neurons in a loop that writes its spikes into a tensor, and a weight as ``einsum``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        current = self.fc(x.unsqueeze(0).repeat(4, 1, 1))
        v, fired = torch.zeros_like(current[0]), torch.zeros_like(current)
        for t in range(4):
            v = 0.5 * v + 3 * current[t]
            fired[t] = (v > 0.5).float()
            v = v * (1 - fired[t])
        return torch.einsum("tbi,oi->tbo", fired, self.head.weight).mean(0)


@pytest.mark.filterwarnings("ignore")  # of the exporter's own
@pytest.mark.parametrize("samples", [1, 2])
def test_a_loop_that_writes_in_place_is_read_from_the_newer_exporter(
    samples: int, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    network, path = InPlace().eval(), tmp_path / "net.onnx"
    torch.onnx.export(network, (torch.zeros(samples, 6),), str(path), dynamo=True, verbose=False)
    assert {"ScatterElements", "Einsum"} <= {n.op_type for n in onnx.load(path).graph.node}
    checked = check_model(load_model(str(path)))
    assert checked.clean
    x = torch.rand(16, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = network(x).numpy()
    mine = Executor(checked.graph).run(x.double().numpy()).output
    np.testing.assert_allclose(mine.reshape(wanted.shape), wanted, atol=1e-5)


def test_noise_is_told_as_such(saved: Save) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"], "noise"),
        helper.make_node("Add", ["x", "noise"], ["y"], "sum"),
    ]
    with pytest.raises(SnnccError, match="`noise`: it gives random numbers"):
        load_model(str(saved(model((2, 4), nodes))))


def over_a_mask(*rows: onnx.NodeProto, perm: tuple[int, ...] = (1, 0)) -> list[onnx.NodeProto]:
    """``y = x.clone(); y[x > 0.25] = rows``, as the exporter of programs writes it."""
    return [
        helper.make_node("Greater", ["x", "quarter"], ["mask"]),
        helper.make_node("NonZero", ["mask"], ["axes"]),
        helper.make_node("Transpose", ["axes"], ["places"], perm=perm),
        helper.make_node("Reshape", ["mask", "line"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["ones"], to=TensorProto.INT64),
        helper.make_node("ReduceSum", ["ones"], ["count"], keepdims=1),
        *rows,
        helper.make_node("ScatterND", ["x", "places", "rows"], ["y"]),
    ]


QUARTER: dict[str, Array] = {
    "quarter": np.array(0.25, np.float32),
    "number": np.array(0, np.float32),
    "line": np.array([-1]),
}
REPEATED = (
    helper.make_node("Expand", ["number", "count"], ["many"]),
    helper.make_node("Reshape", ["many", "line"], ["rows"]),
)


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 4)])
@pytest.mark.parametrize("number", [0.0, -0.5])
def test_one_number_where_a_mask_holds(shape: tuple[int, ...], number: float, saved: Save) -> None:
    stored = {**QUARTER, "number": np.array(number, np.float32)}
    path = saved(model(shape, over_a_mask(*REPEATED), **stored))
    assert set(kinds_of_equal(path, shape)) <= {"compare", "scale", "constant", "add", "mask"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([helper.make_node("Abs", ["many"], ["rows"]), REPEATED[0]][::-1], "`NonZero` has no"),
        ([helper.make_node("Identity", ["row"], ["rows"])], "values of shape (3,) where a mask"),
    ],
)
def test_other_values_where_a_mask_holds(
    rows: list[onnx.NodeProto], said: str, saved: Save
) -> None:
    stored = {**QUARTER, "row": np.arange(3, dtype=np.float32)}
    with pytest.raises(SnnccError, match=re.escape(said)):
        load_model(str(saved(model((2, 5), over_a_mask(*rows), **stored)))).origin.graph()


def test_a_mask_of_part_of_the_axes(saved: Save) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["top"], axes=[1], keepdims=1),
        helper.make_node("Greater", ["top", "quarter"], ["mask"]),
        *over_a_mask(*REPEATED)[1:],
    ]
    with pytest.raises(SnnccError, match=re.escape("it writes where a mask of shape (2, 1) holds")):
        load_model(str(saved(model((2, 5), nodes, **QUARTER)))).origin.graph()


class Assigned(nn.Module):
    """Neurons that are reset by ``v[v > 1] = 0``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        v, total = torch.zeros(x.shape[0], 8), torch.zeros(x.shape[0], 3)
        for _ in range(4):
            v = 0.5 * v + 3 * self.fc(x)
            spikes = (v > 1).float()
            v[v > 1] = 0.0
            total = total + self.head(spikes)
        return total / 4


@pytest.mark.filterwarnings("ignore")  # of the exporter's own
@pytest.mark.parametrize("samples", [1, 2])
def test_a_reset_by_assignment_is_read_from_the_newer_exporter(
    samples: int, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    network, path = Assigned().eval(), tmp_path / "net.onnx"
    torch.onnx.export(network, (torch.zeros(samples, 6),), str(path), dynamo=True)
    assert "NonZero" in {node.op_type for node in onnx.load(path).graph.node}
    checked = check_model(load_model(str(path)))
    assert checked.clean
    (neuron,) = checked.graph.of_kind("neuron")
    assert neuron.attributes()["v_reset"] == 0.0
    x = RANDOM.uniform(-1, 1, (9, 6)).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(Executor(checked.graph).run(x).output, wanted, atol=1e-5)
