"""Every family end to end at a small size: its integers are those of PyTorch, spike for spike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import Compiled, check_model, compile_model
from snncc.diagnostics.core import Severity, SnnccError
from snncc.execute.executor import Executor
from snncc.frontends.load import from_module
from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph
from snncc.models.zoo import ARCHITECTURES
from snncc.targets.load import load_target

FEW: dict[str, Any] = {"heads": 4, "classes": 5}
STREAM: dict[str, Any] = {**FEW, "dim": 32, "depth": 1, "T": 2}
IMAGE: dict[str, Any] = {**STREAM, "img_size": 64}
CIFAR: dict[str, Any] = {**STREAM, "img_size": 16}
STAGES: dict[str, Any] = {**FEW, "dim": 32, "depth": 4, "T": 2, "img_size": 64}
PYRAMID: dict[str, Any] = {**FEW, "dims": (8, 16, 32, 40), "depths": (1, 1), "img_size": 64}
RESNET: dict[str, Any] = {
    "blocks": (1, 2, 1, 1), "width": 8, "img_size": 32, "classes": 5, "T": 2,
}  # fmt: skip
EVENTS: dict[str, Any] = {"widths": (8, 8, 8), "img_size": 32, "T": 3}

SUMS = ("SNN201",)
"""Spikes added to spikes are read by weighted layers."""
FLOATS = ("SNN202",)
"""Convolutions read the membrane: those of shortcuts that change its shape."""

Case = tuple[dict[str, Any], tuple[str, ...]]

ONE_EACH: dict[str, Case] = {
    "spikformer-8-512": (IMAGE, SUMS),
    "spikingformer-8-512": (IMAGE, ()),
    "spikingformer-dvs-2-256": (IMAGE, ()),
    "spikingformer-cml-cifar-4-384": (CIFAR, ()),
    "sew-resnet18-add": (RESNET, SUMS),
    "sew-resnet-dvs-iand": (EVENTS, ()),
    "ms-resnet18": (RESNET, FLOATS),
    "sdt-8-512": (IMAGE, ()),
    "meta-spikeformer-8-512": ({**PYRAMID, "T": 2}, ()),
    "e-spikeformer-base-m": (PYRAMID, ()),
    "e-spikeformer-large-12-768": ({**PYRAMID, "dims": (8, 16, 32), "depths": (1,)}, ()),
    "qkformer-cifar-4-384": ({**CIFAR, "depth": 3}, SUMS),
    "msvit-cifar-4-384": ({**CIFAR, "depth": 3}, SUMS),
    "spikeyolo-n": (
        {"width": 8, "repeats": (1, 1, 1, 1), "img_size": 64, "classes": 2, "T": 2},
        (),
    ),
}

OTHERS: dict[str, Case] = {
    "spikformer-cifar-4-384": ({**CIFAR, "depth": 2}, SUMS),
    "spikformer-dvs-2-256": ({**IMAGE, "depth": 2, "T": 3}, SUMS),
    "spikformer-cml-cifar-4-384": ({**CIFAR, "depth": 2}, SUMS),
    "spikingformer-cifar-4-384": ({**CIFAR, "depth": 2, "T": 4}, ()),
    "spikingformer-gesture-2-256": ({**IMAGE, "depth": 2, "T": 3}, ()),
    "spikingformer-cml-8-512": ({**IMAGE, "depth": 2}, ()),
    "spikingformer-cml-dvs-2-256": ({**IMAGE, "img_size": 128}, ()),
    "sew-resnet18-and": (RESNET, ()),
    "sew-resnet34-iand": ({**RESNET, "blocks": (3, 4, 6, 3)}, ()),
    "sew-resnet50-add": ({**RESNET, "blocks": (2, 2, 2, 1)}, SUMS),
    "sew-resnet50-iand": (RESNET, ()),
    "sew-resnet-gesture-add": ({**EVENTS, "widths": (8, 8, 8, 8)}, SUMS),
    "sew-resnet-dvs-and": (EVENTS, ()),
    "ms-resnet34": ({**RESNET, "blocks": (3, 4, 6, 3), "T": 3}, FLOATS),
    "ms-resnet104": (RESNET, FLOATS),
    "sdt-cifar-2-512": ({**CIFAR, "depth": 2, "T": 4}, ()),
    "sdt-dvs-2-256": ({**CIFAR, "T": 3}, ()),
    "sdt-gesture-2-256": ({**CIFAR, "img_size": 32}, ()),
    "meta-spikeformer-8-384": ({**PYRAMID, "depths": (2, 1), "T": 4, "kd": True}, ()),
    "e-spikeformer-base-t": ({**PYRAMID, "depths": (2, 1)}, ()),
    "e-spikeformer-large-12-512": (
        {**PYRAMID, "dims": (8, 16, 32), "depths": (2,), "kd": False, "heads": 2},
        (),
    ),
    "qkformer-10-512": (STAGES, SUMS),
    "msvit-10-512": (STAGES, SUMS),
    "msvit-cifar100-4-384": ({**CIFAR, "depth": 3}, SUMS),
    "spikeyolo-m": (
        {"width": 8, "repeats": (2, 1, 1, 1), "img_size": 64, "classes": 2, "T": 2},
        (),
    ),
}

SAMPLES = 4


def network(name: str, overrides: dict[str, Any]) -> tuple[nn.Module, Tensor]:
    """A new network, the same at each call, and samples: images, or frames of event counts."""
    architecture = ARCHITECTURES[name].configure(**overrides)
    torch.manual_seed(0)
    model = architecture.build()
    x = torch.rand(SAMPLES, *architecture.input_shape)
    return model, (3 * x).floor() if architecture.config.time_in_input else x


def in_steps(graph: Graph, x: Array) -> Array:
    """Samples as they are shown: [T, B, ...]."""
    varies = getattr(graph.of_kind("input")[0], "varies", False)
    return x.swapaxes(0, 1) if varies else np.broadcast_to(x, (graph.steps, *x.shape))


def held_to_pytorch(compiled: Compiled, x: Array, evaluate: Any) -> dict[str, float]:
    """Compare all values of all layers with PyTorch's, and with what is proved of them.

    Return the rates of the integer neurons.
    """
    graph = compiled.integer
    shown = in_steps(graph, x)
    want = evaluate(graph, shown)
    names = [op.name for op in graph.ops if op.kind != "constant"]
    varies = getattr(graph.of_kind("input")[0], "varies", False)
    run = Executor(graph).run(shown if varies else x, keep=names)
    for name in names:
        got, wanted = run.values[name], want[name]
        assert np.array_equal(got, wanted if got.ndim == wanted.ndim else wanted[0]), name
        if graph[name].kind != "output":
            proved = graph.type_of(name).domain
            assert isinstance(proved, Grid), name
            assert proved.minimum <= got.min() <= got.max() <= proved.maximum, name
    neurons: Any = graph.of_kind("integer_neuron")
    return {op.name: float(run.values[op.name].mean()) / op.levels for op in neurons}


def compiles(name: str, case: Case, lively: Any, evaluate: Any, in_onnx: Any) -> None:
    overrides, allow = case
    model, x = network(name, overrides)
    assert {path: rate for path, rate in lively(model, x).items() if not _in_bounds(rate)} == {}
    example = from_module(model, x[:1])
    target = load_target("loihi2")
    compiled = compile_model(example, target=target, calibration=x.numpy(), allow=allow)
    found = compiled.checked.diagnostics
    allowed = {d.rule.code for d in found if (d.allowed_by or "").startswith("option")}
    assert allowed == set(allow)
    assert compiled.agreement.equal
    assert not compiled.agreement.unmatched
    rates = held_to_pytorch(compiled, x.numpy(), evaluate)
    in_onnx(compiled.integer, x.numpy())
    neurons = compiled.floating.of_kind("neuron")
    assert len(rates) == len(neurons) > 5
    assert {name: rate for name, rate in rates.items() if not _in_bounds(rate)} == {}


def _in_bounds(rate: float) -> bool:
    return 0.02 <= rate <= 0.4


@pytest.mark.parametrize("name", ONE_EACH)
def test_integers_are_those_of_pytorch(name: str, lively: Any, evaluate: Any, in_onnx: Any) -> None:
    compiles(name, ONE_EACH[name], lively, evaluate, in_onnx)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_forms(name: str, lively: Any, evaluate: Any, in_onnx: Any) -> None:
    compiles(name, OTHERS[name], lively, evaluate, in_onnx)


def test_the_spikeformer_is_refused_and_told_why() -> None:
    """Softmax between time steps and between tokens, and layer norms: no integers for it."""
    widths = (8, 8, 16, 16, 32, 32)
    overrides = {**FEW, "img_size": 32, "depth": 2, "T": 3, "widths": widths}
    model, x = network("spikeformer-dvs-7-3x2x3", overrides)
    example = from_module(model, x[:1])
    found = check_model(example).diagnostics
    codes = {d.rule.code for d in found if d.severity is Severity.ERROR}
    assert {"SNN150", "SNN202", "SNN203", "SNN205"} <= codes
    foreign = {d.source.module for d in found if d.rule.code == "SNN205"}
    assert {"model.blocks.0.norm1", "model"} <= foreign
    with pytest.raises(SnnccError, match="mixes time steps"):
        compile_model(example, target=load_target("loihi2"), allow=tuple(sorted(codes)))
