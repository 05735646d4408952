"""What stands in the file beside the arithmetic: names, origin, proofs, bounds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

import snncc
from snncc.artefact import MANIFEST, read_artefact
from snncc.backends.onnx import model as written
from snncc.backends.onnx.convert import write
from snncc.backends.onnx.model import IR_VERSION, OPSET, bytes_of, write_onnx
from snncc.backends.onnx.sheet import Store
from snncc.backends.writers import Network
from snncc.compiler import Compiled
from snncc.diagnostics.core import SnnccError
from snncc.execute.executor import Executor
from snncc.frontends.load import load_model
from snncc.ir.graph import Absent, Array, Graph
from snncc.models.neuron import LIF


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.lif = LIF()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.stem(x).expand(4, -1, -1, -1, -1)  # [T, B, C, H, W]
        return self.head(self.lif(t).mean((3, 4))).mean(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artefacts") / "net"


@pytest.fixture(scope="module")
def compiled(folder: Path) -> Compiled:
    torch.manual_seed(0)
    data = np.random.default_rng(0).random((8, 1, 6, 6)).astype(np.float32)
    return snncc.compile(
        Net(), torch.zeros(1, 1, 6, 6), target="loihi2", data=data, output=str(folder)
    )


@pytest.fixture(scope="module")
def graph(compiled: Compiled) -> Graph:
    return compiled.integer


def properties(model: onnx.ModelProto) -> dict[str, str]:
    return {each.key: each.value for each in model.metadata_props}


def test_any_batch_gives_its_own_answers(
    graph: Graph, in_onnxruntime: Callable[[bytes, Array], dict[str, Array]]
) -> None:
    data = bytes_of(write_onnx(graph))
    x = np.random.default_rng(1).random((5, 1, 6, 6)).astype(np.float32)
    together = in_onnxruntime(data, x)["output"]
    alone = [in_onnxruntime(data, x[i : i + 1])["output"] for i in range(5)]
    assert together.dtype == np.float64
    assert np.array_equal(together, np.concatenate(alone))
    assert in_onnxruntime(data, x[:0])["output"].shape == (0, 3)


@pytest.mark.parametrize("unroll", [False, True])
def test_names_are_paths_of_the_network(graph: Graph, unroll: bool) -> None:
    model = write_onnx(graph, unroll=unroll)
    nodes = list(model.graph.node)
    nodes += [n for scan in nodes if scan.op_type == "Scan" for n in scan.attribute[0].g.node]
    names = [node.name for node in nodes]
    assert len(set(names)) == len(names)
    assert all(names)
    lead = "t3/" if unroll else ""
    assert {"stem", f"{lead}lif"} <= set(names)
    assert "lif" in {n.doc_string for n in nodes if n.domain == "snncc"}
    infos = {i.name for part in (model.graph, nodes[-1]) for i in getattr(part, "value_info", [])}
    assert "stem" in infos


def test_only_standard_operators_and_functions_with_bodies(graph: Graph) -> None:
    model = write_onnx(graph, unroll=True)
    assert {(o.domain, o.version) for o in model.opset_import} == {("", OPSET), ("snncc", 1)}
    assert model.ir_version == IR_VERSION
    assert {n.domain for n in model.graph.node} == {"", "snncc"}
    assert {f.name for f in model.functions} == {
        n.op_type for n in model.graph.node if n.domain == "snncc"
    }
    for function in model.functions:
        assert {n.domain for n in function.node} == {""}


def test_the_proof_names_its_kernels(graph: Graph) -> None:
    text = write_onnx(graph).doc_string
    assert "Products: 1 ConvInteger, 1 MatMulInteger." in text
    assert "2**24" in text


def test_the_file_says_where_it_is_from(compiled: Compiled, folder: Path, tmp_path: Path) -> None:
    found = read_artefact(folder)
    path = tmp_path / "net.onnx"
    write(Network("net", found.floating, found.integer, "loihi2"), path)
    said = properties(onnx.load(path))
    files = found.manifest["files"]
    assert said == {
        "snncc.graph.txt": (folder / "graph.txt").read_text(),
        "snncc.graph.txt.sha256": files["graph.txt"]["sha256"],
        "snncc.target": "loihi2",
        "snncc.time_steps": "4",
        "snncc.verdict": "0 of 2 products are spike-driven; not: stem (encoder), head (head)",
        "snncc.time": "scan",
        "snncc.version": snncc.__version__,
        "snncc.weights": said["snncc.weights"],
        "snncc.weights.safetensors.sha256": files["weights.safetensors"]["sha256"],
    }
    assert (
        hashlib.sha256((folder / "graph.txt").read_bytes()).hexdigest()
        == said["snncc.graph.txt.sha256"]
    )
    assert (folder / MANIFEST).is_file()
    first = path.read_bytes()
    write(Network("net", compiled.checked.graph, compiled.integer, "loihi2"), path)
    assert path.read_bytes() == first


def test_a_network_of_floats_is_refused(compiled: Compiled, tmp_path: Path) -> None:
    with pytest.raises(SnnccError) as caught:
        write(Network("net", compiled.floating), tmp_path / "net.onnx")
    assert [d.rule.code for d in caught.value.diagnostics] == ["SNN190"]
    assert not list(tmp_path.iterdir())


def test_absent_weights_are_refused(graph: Graph) -> None:
    empty = graph.replace(
        graph.ops, {name: Absent(w.shape, "int8") for name, w in graph.weights.items()}
    )
    with pytest.raises(SnnccError, match="weights"):
        write_onnx(empty)


def test_two_gigabytes_are_refused(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "LARGEST_FILE", 1000)
    with pytest.raises(SnnccError) as caught:
        write_onnx(graph, name="net")
    (found,) = caught.value.diagnostics
    assert found.rule.code == "SNN191"
    assert "an ONNX file holds 1,000" in found.message
    monkeypatch.setattr(written, "LARGEST_FILE", 10)
    with pytest.raises(SnnccError, match="`net` takes"):
        write_onnx(graph, name="net")


def test_one_name_holds_one_array() -> None:
    store = Store(1000)
    assert store.put("w", np.arange(3)) == store.put("w", np.arange(3)) == "w"
    with pytest.raises(ValueError, match="two arrays are to be stored as `w`"):
        store.put("w", np.arange(3, dtype=np.int8))


@pytest.mark.parametrize("unroll", [False, True])
def test_a_second_runtime_agrees(graph: Graph, unroll: bool) -> None:
    """The reference evaluator of the onnx package shares no kernel with onnxruntime."""
    x = np.random.default_rng(2).random((3, 1, 6, 6)).astype(np.float32)
    model = write_onnx(graph, unroll=unroll)
    (got,) = ReferenceEvaluator(model).run(None, {"input": x})
    assert np.array_equal(got, Executor(graph).run(x).output)


def test_what_was_written_is_not_read_as_a_network_of_floats(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "integers.onnx"
    path.write_bytes(bytes_of(write_onnx(graph)))
    with pytest.raises(SnnccError, match="integers that snncc wrote"):
        load_model(str(path))


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_ALL"])
@pytest.mark.parametrize("threads", [1, 2])
def test_settings_of_the_runtime_change_nothing(graph: Graph, level: str, threads: int) -> None:
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, level)
    data = bytes_of(write_onnx(graph))
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(3).random((7, 1, 6, 6)).astype(np.float32)
    (got,) = session.run(None, {"input": x})
    assert np.array_equal(got, Executor(graph).run(x).output)
