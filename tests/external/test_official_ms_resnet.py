"""The official code of MS-ResNet, as it is, against the truth and against itself.

It is not shipped. Give the folder of a checkout of Ariande1/MS-ResNet (at 7c5f006, say)::

    SNNCC_MS_RESNET=path/to/MS-ResNet pytest -m external tests/external/test_official_ms_resnet.py
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.frontends.torch_export import trace
from snncc.ir import domain as dom
from snncc.ir.domain import Grid
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.check_spikes import CheckSpikes

WHERE = "SNNCC_MS_RESNET"
TRUTH = json.loads((Path(__file__).parents[1] / "golden" / "compliance.json").read_text())["models"]
SIZE = 32
"""Images of 32 x 32; what is flagged does not depend on it."""

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(not os.environ.get(WHERE), reason=f"{WHERE} names no checkout"),
]


@pytest.fixture(scope="module")
def code() -> Any:
    """The official file, which imports nothing but torch."""
    path = Path(os.environ[WHERE]) / "models" / "MS_ResNet.py"
    spec = importlib.util.spec_from_file_location("official_ms_resnet", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def firing(network: nn.Module) -> nn.Module:
    """The network with batch norms under which all layers fire; its own are silent."""
    generator = torch.Generator().manual_seed(0)
    bounds = {"weight": (0.5, 1.5), "bias": (-0.2, 0.6), "running_mean": (-0.1, 0.1),
              "running_var": (0.3, 1.0)}  # fmt: skip
    for each in network.modules():
        if isinstance(each, nn.BatchNorm3d):
            for name, (low, high) in bounds.items():
                getattr(each, name).data.uniform_(low, high, generator=generator)
    return network.eval()


def step_graph(network: nn.Module) -> Graph:
    result = run_passes(trace(network, torch.rand(1, 3, SIZE, SIZE)), FRONT)
    assert result.diagnostics == ()
    return result.graph


def held_to_the_truth(graph: Graph, truth: list[dict[str, str]]) -> None:
    found = {d.source.module: d for d in CheckSpikes().run(graph).diagnostics}
    assert found.keys() == {each["path"] for each in truth}
    for each in truth:
        domain = found[each["path"]].domain
        if each["set"] == "float mean of {0,1}":
            assert isinstance(domain, Grid)
            assert domain.lo == 0
            assert float(domain.maximum) == pytest.approx(1.0)
        else:
            assert domain == dom.REAL


def own_spikes(code: Any, network: nn.Module, x: Tensor) -> tuple[dict[str, Any], Any]:
    """What the network's own neurons fire, by module path, and its answer; in float64."""
    spikes: dict[str, Any] = {}

    def watch(path: str) -> Any:
        return lambda module, inputs, out: spikes.update({path: out.numpy()})

    for path, each in network.named_modules():
        if isinstance(each, code.mem_update):
            each.register_forward_hook(watch(path))
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            return spikes, network.double()(x.double()).numpy()
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("depth", [18, 34, pytest.param(104, marks=pytest.mark.slow)])
def test_verdict_and_spikes(code: Any, depth: int) -> None:
    torch.manual_seed(0)
    network = firing(getattr(code, f"resnet{depth}")())
    graph = step_graph(network)
    assert graph.steps == code.time_window
    assert not graph.of_kind("foreign", "concat", "slice")
    if (entry := f"ms_resnet{depth}") in TRUTH:
        held_to_the_truth(graph, TRUTH[entry]["flagged"])
    x = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    spikes, answer = own_spikes(code, network, x)
    found = interpret(graph, x.numpy())
    assert {op.name for op in graph.of_kind("neuron")} == spikes.keys()
    for path, wanted in spikes.items():
        assert 0.02 < wanted.mean() < 0.98
        assert np.array_equal(found[path].reshape(wanted.shape), wanted), path
    np.testing.assert_allclose(found["output"], answer, atol=1e-9)
