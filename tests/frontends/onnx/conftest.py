"""Networks as an exporter would write them, node by node: the loop over time unrolled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from snncc.ir.graph import Array


@dataclass
class Unrolled:
    """A network of two layers of neurons, ``T`` steps on one image, a mean of the answers.

    ``charge`` is ``if``, ``lif`` (the leak divides the input too) or ``leak`` (it does not);
    ``fire`` is how the comparison is written, ``reset`` ``hard`` or ``soft``.
    """

    T: int = 3
    charge: str = "if"
    fire: str = "GreaterOrEqual"
    reset: str = "hard"
    rest: float = 0.0
    batch: str | int = "batch"
    opset: int = 17
    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)

    def model(self) -> onnx.ModelProto:
        rng = np.random.default_rng(self.seed)
        for name, shape in (("fc1", (6, 4)), ("fc2", (5, 6)), ("head", (3, 5))):
            self.weights[f"{name}.weight"] = rng.normal(0, 1, shape).astype(np.float32)
            self.weights[f"{name}.bias"] = rng.normal(0, 0.2, shape[:1]).astype(np.float32)
        states: dict[str, str] = {}
        total = ""
        for _ in range(self.T):
            spikes = self.neuron("lif1", self.linear("fc1", "x"), states)
            spikes = self.neuron("lif2", self.linear("fc2", spikes), states)
            answer = self.linear("head", spikes)
            total = self.node("", "Add", total, answer) if total else answer
        self.nodes.append(helper.make_node("Div", [total, self.number(self.T)], ["y"], "/Div"))
        return self.made()

    def made(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes, "main",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [self.batch, 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [self.batch, 3])],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def node(self, scope: str, operator: str, *inputs: str, **attributes: Any) -> str:
        number = len(self.nodes)
        name = f"/{scope}/{operator}_{number}" if scope else f"/{operator}_{number}"
        self.nodes.append(helper.make_node(operator, inputs, [f"v{number}"], name, **attributes))
        return f"v{number}"

    def number(self, value: float, kind: type = np.float32) -> str:
        name = f"number {value} {kind.__name__}"
        self.weights[name] = np.array(value, kind)
        return name

    def linear(self, name: str, x: str) -> str:
        return self.node(name, "Gemm", x, f"{name}.weight", f"{name}.bias", transB=1)

    def neuron(self, name: str, x: str, states: dict[str, str]) -> str:
        def add(operator: str, *inputs: str, **attributes: Any) -> str:
            return self.node(name, operator, *inputs, **attributes)

        before, two = states.get(name, self.number(self.rest)), self.number(2.0)
        if self.charge == "if":
            h = add("Add", before, x)
        elif self.charge == "lif":
            gone = add("Sub", before, self.number(self.rest)) if self.rest else before
            h = add("Add", before, add("Div", add("Sub", x, gone), two))
        else:
            h = add("Add", add("Mul", before, self.number(0.75)), x)
        spikes = self.fired(add, h)
        if self.reset == "soft":
            states[name] = add("Sub", h, spikes)
        else:
            fired = add("Cast", spikes, to=TensorProto.BOOL)
            states[name] = add("Where", fired, self.number(self.rest), h)
        return spikes

    def fired(self, add: Callable[..., str], h: str) -> str:
        one, zero = self.number(1.0), self.number(0.0)
        if self.fire in ("Greater", "GreaterOrEqual"):
            return add("Cast", add(self.fire, h, one), to=TensorProto.FLOAT)
        if self.fire in ("Less", "LessOrEqual"):
            return add("Cast", add("Not", add(self.fire, h, one)), to=TensorProto.FLOAT)
        if self.fire == "turned":
            return add("Cast", add("LessOrEqual", one, h), to=TensorProto.FLOAT)
        excess = add("Sub", h, one)
        if self.fire == "Where":
            return add("Where", add("GreaterOrEqual", excess, zero), one, zero)
        if self.fire == "Sign":
            return add("Relu", add("Sign", excess))
        if self.fire == "half sign":
            return add("Div", add("Add", add("Sign", excess), one), self.number(2.0))
        inner = add("Where", add("Less", excess, zero), zero, one)
        return add("Where", add("Equal", excess, zero), one, inner)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Write a model to a file, and return where."""

    def save(model: onnx.ModelProto, name: str = "net.onnx") -> Path:
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return save


@pytest.fixture
def unrolled() -> Callable[..., onnx.ModelProto]:
    """Make a network; see ``Unrolled``."""
    return lambda **how: Unrolled(**how).model()
