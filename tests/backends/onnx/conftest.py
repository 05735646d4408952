"""Runs ONNX models in onnxruntime and holds them to the executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
import pytest

from snncc.backends.onnx.model import bytes_of, write_onnx
from snncc.backends.onnx.read_back import read_back
from snncc.execute.executor import Executor
from snncc.ir.graph import Array, Graph
from snncc.ir.text import dump

runtime = pytest.importorskip("onnxruntime")

Answers: TypeAlias = Mapping[str, Array]
Run: TypeAlias = Callable[[bytes, Array], Answers]
Held: TypeAlias = Callable[[Graph, Array], None]


def run(data: bytes, x: Array) -> Answers:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: x}), strict=True))


@pytest.fixture(scope="session")
def in_onnxruntime() -> Run:
    """A function: a model's file and its input to all its outputs."""
    return run


def _with_every_spike(model: onnx.ModelProto, graph: Graph) -> bytes:
    """The unrolled model with the spikes of each layer and step among its outputs."""
    infos = {info.name: info for info in model.graph.value_info}
    for op in graph.of_kind("integer_neuron"):
        model.graph.output.extend(infos[f"t{t}/{op.name}"] for t in range(graph.steps))
    return model.SerializeToString()


@pytest.fixture(scope="session")
def held() -> Held:
    """A function that runs a graph both ways: each answer, each spike and each type is equal.

    Either file is read back as the graph that it was written from.
    """

    def compare(graph: Graph, x: Array) -> None:
        x = x.astype(np.float32)
        neurons = [op.name for op in graph.of_kind("integer_neuron")]
        done = Executor(graph).run(x, keep=neurons)
        answer = graph.of_kind("output")[0].name
        scanned = run(bytes_of(write_onnx(graph)), x)[answer]
        model = write_onnx(graph, unroll=True)
        bytes_of(model)
        for each in (write_onnx(graph), model):
            again = read_back(Path("net.onnx"), each).origin.graph()
            assert (again, dump(again)) == (graph, dump(graph))
        unrolled = run(_with_every_spike(model, graph), x)
        for got in (scanned, unrolled[answer]):
            assert got.shape == done.output.shape
            assert np.array_equal(got, done.output)
        for name in neurons:
            spikes = np.stack([unrolled[f"t{t}/{name}"] for t in range(graph.steps)])
            assert np.array_equal(spikes, done.values[name]), name

    return compare
