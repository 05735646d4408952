"""The folded step graph against PyTorch's own forward pass: all spikes, and the logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from snncc.frontends.torch_export import trace
from snncc.ir.graph import Array
from snncc.ir.interpret import interpret
from snncc.models.neuron import SpikingNeuron
from snncc.models.zoo import ARCHITECTURES
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales

SMALL: dict[str, dict[str, Any]] = {
    "spikingformer-8-512": {"dim": 32, "heads": 4, "img_size": 32, "depth": 1},
    "spikingformer-cifar-4-384": {"dim": 48, "heads": 4, "img_size": 16, "depth": 1, "T": 1},
    "spikingformer-dvs-2-256": {"dim": 32, "heads": 4, "img_size": 32, "depth": 1, "T": 3},
    "spikformer-8-512": {"dim": 32, "heads": 4, "img_size": 64, "depth": 1, "T": 2},
    "spikformer-cifar-4-384": {"dim": 48, "heads": 4, "img_size": 16, "depth": 1},
    "spikformer-dvs-2-256": {"dim": 32, "heads": 4, "img_size": 32, "depth": 1, "T": 3},
}


def lively(name: str) -> nn.Module:
    """A network in double precision whose batch norms make neurons fire."""
    torch.manual_seed(0)
    network = ARCHITECTURES[name].build(**SMALL[name], attn_v_threshold=0.125).eval().double()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for statistic, low, high in (("running_mean", -0.3, 0.3), ("running_var", 0.02, 0.1)):
                getattr(module, statistic).uniform_(low, high)
            nn.init.uniform_(module.bias, 0.1, 0.8)
    return network


def torch_run(network: nn.Module, x: Array) -> tuple[dict[str, Array], Array]:
    """The spikes of every neuron layer by module path, and the logits."""
    spikes: dict[str, Array] = {}

    def keep(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            spikes[path] = output.numpy()

        return hook

    for path, module in network.named_modules():
        if isinstance(module, SpikingNeuron):
            module.register_forward_hook(keep(path))
    with torch.no_grad():
        logits: Array = network(torch.tensor(x)).numpy()
    return spikes, logits


@pytest.mark.parametrize("name", SMALL)
def test_spikes_and_logits(name: str) -> None:
    network = lively(name)
    shape = ARCHITECTURES[name].configure(**SMALL[name]).input_shape
    x = np.random.default_rng(0).random((3, *shape))
    tensor = trace(network, torch.tensor(x))
    graph = run_passes(tensor, [*FRONT, FoldScales(), FoldBatchNorm(), Canonicalise()]).graph
    spikes, logits = torch_run(network, x)
    entry: Any = graph.ops[0]
    values = interpret(graph, x.swapaxes(0, 1) if entry.varies else x)
    paths = {op.source.module: op.name for op in graph.of_kind("neuron")}
    assert paths.keys() == spikes.keys()
    for path, theirs in spikes.items():
        ours = values[paths[path]]
        assert np.array_equal(ours.reshape(theirs.shape), theirs), path
        assert theirs.any(), path
    np.testing.assert_allclose(values[graph.ops[-1].name], logits, atol=1e-5, rtol=0)
