"""Networks with pools that sum: clean as deployed, compiled with spikes alone, and written."""

from __future__ import annotations

import functools
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.backends.netx.layers import straight
from snncc.backends.nir.write import write_nir
from snncc.compiler import Compiled, check_model, compile_checked
from snncc.diagnostics.core import SnnccError
from snncc.execute.executor import Executor
from snncc.frontends.load import from_module, load_model
from snncc.frontends.model import Model
from snncc.ir import domain as dom
from snncc.ir.interpret import interpret
from snncc.models.neuron import LIF
from snncc.targets.load import load_target

STEPS = 4


class Pooled(nn.Module):
    """As VGG: pools between convolutions, one of currents, one in front of a linear layer.

    With ``whole`` that one averages all places.
    """

    def __init__(self, size: int, *, whole: bool = False) -> None:
        super().__init__()
        self.first, self.lif1 = nn.Conv2d(1, 4, 3, padding=1), LIF()
        self.pool1 = nn.AvgPool2d(2)
        self.second, self.norm = nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.pool2, self.lif2 = nn.AvgPool2d(2), LIF()
        self.pool3 = nn.AdaptiveAvgPool2d(1) if whole else nn.AvgPool2d(3, 1, ceil_mode=True)
        self.fc, self.lif3 = nn.Linear(6 if whole else 6 * (size // 4 - 2) ** 2, 8), LIF()
        generator = torch.Generator().manual_seed(5)
        for weight in self.parameters():
            gain = 3 / weight[0].numel() ** 0.5 if weight.ndim > 1 else 0.3
            weight.data = torch.randn(weight.shape, generator=generator) * gain
        nn.init.constant_(self.norm.weight, 6.0)

    def forward(self, image: Tensor) -> Tensor:
        x = image.expand(STEPS, *image.shape)
        x = self.lif1(self.each(self.first, x))
        x = self.each(self.norm, self.each(self.second, self.each(self.pool1, x)))
        x = self.lif2(self.each(self.pool2, x))
        found: Tensor = self.lif3(self.fc(self.each(self.pool3, x).flatten(2)))
        return found.sum(0)

    def each(self, layer: nn.Module, x: Tensor) -> Tensor:
        made: Tensor = layer(x.flatten(0, 1))
        return made.reshape(*x.shape[:2], *made.shape[1:])


def images(size: int) -> Tensor:
    return torch.rand(3, 1, size, size, generator=torch.Generator().manual_seed(6))


@functools.cache
def model_of(size: int, *, whole: bool = False) -> Model:
    return from_module(Pooled(size, whole=whole).eval(), images(size))


@functools.cache
def compiled(size: int) -> Compiled:
    return compile_checked(
        check_model(model_of(size)), target=load_target("loihi2"),
        calibration=images(size).double().numpy(), fit_widths=True,
    )  # fmt: skip


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("size", [16, 17])
def test_as_deployed_it_is_clean(size: int, whole: bool) -> None:
    written = check_model(model_of(size, whole=whole))
    found = [d.rule.code for d in written.diagnostics if not d.allowed_by]
    assert found == ["SNN201", "SNN201"]
    deployed = check_model(model_of(size, whole=whole), deployed=True)
    assert deployed.clean
    assert [each.verdict for each in deployed.verdicts] == ["real", "spike", "spike"]
    x = images(size).double().numpy()
    before, after = interpret(written.graph, x), interpret(deployed.graph, x)
    for neuron in written.graph.of_kind("neuron"):
        assert 0.02 < before[neuron.name].mean() < 0.98
        np.testing.assert_array_equal(after[neuron.name], before[neuron.name])


@pytest.mark.parametrize("size", [16, 17])
def test_compiled_every_weight_reads_spikes(size: int) -> None:
    made = compiled(size)
    assert made.agreement.differing == 0
    graph = made.integer
    weighted = graph.of_kind("conv", "linear")
    assert len(weighted) == 3
    assert [dom.is_spike(graph.type_of(op.inputs[0]).domain) for op in weighted[1:]] == [True] * 2
    x = images(size).double().numpy()
    names = tuple(op.name for op in graph.of_kind("integer_neuron"))
    ran = Executor(graph).run(x, keep=names).values
    reference = interpret(graph, x)
    for name in names:
        assert np.array_equal(ran[name], reference[name])


def test_netx_gets_a_straight_network() -> None:
    layers = straight(compiled(16).integer).layers
    assert [(each.form, each.weight.shape, each.stride) for each in layers] == [
        ("conv", (4, 1, 3, 3), (1, 1)), ("conv", (6, 4, 8, 8), (4, 4)),
        ("dense", (8, 6, 4, 4), (1, 1)),
    ]  # fmt: skip


def test_netx_leaves_out_no_places() -> None:
    with pytest.raises(SnnccError, match="slice: netx moves no values about"):
        straight(compiled(17).integer)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("merged", [False, True])
def test_nir_there_and_back(merged: bool, whole: bool, tmp_path: Path) -> None:
    """A model keeps its pools, what was compiled has merged weights."""
    graph = check_model(model_of(16, whole=whole), deployed=merged).graph
    write_nir(graph, tmp_path / "net.nir")
    kinds = [type(node).__name__ for node in nir.read(tmp_path / "net.nir").nodes.values()]
    pools = ["AvgPool2d", "AvgPool2d", "SumPool2d" if whole else "AvgPool2d"]
    assert sorted(kind for kind in kinds if "Pool" in kind) == ([] if merged else pools)
    back = load_model(str(tmp_path / "net.nir")).origin.graph()
    x = images(16).double().numpy()
    ours, theirs = interpret(back, x), interpret(graph, x)
    pairs = zip(back.of_kind("neuron"), graph.of_kind("neuron"), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(ours[one.name], theirs[other.name])
