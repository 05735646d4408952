"""Networks of integer-firing neurons on their way through both exporters of torch."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import Checked, Compiled, check_model, compile_checked
from snncc.frontends.load import from_module, load_model
from snncc.ir.graph import Array, Graph
from snncc.models.neuron_multilevel import MultiLevel
from snncc.models.zoo import FORMS
from snncc.targets.load import load_target

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
YOLO: dict[str, Any] = {
    "width": 8, "repeats": (1, 1, 1, 1), "img_size": 64, "T": 2, "classes": 3,
}  # fmt: skip
PYRAMID: dict[str, Any] = {"dims": (8, 16, 32, 40), "heads": 4, "classes": 5, "img_size": 64}


class Net(nn.Module):
    """A convolution and two layers of counts; two more read what the first of them reads."""

    def __init__(self, **neuron: Any) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.lif1, self.lif2, self.lif3 = (MultiLevel(**neuron) for _ in range(3))
        self.fc, self.beside, self.head = nn.Linear(64, 12), nn.Linear(64, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x)).unsqueeze(0).repeat(3, 1, 1, 1, 1).flatten(2)
        a, b = self.fc(self.lif1(x)), self.beside(self.lif2(x))
        y: Tensor = self.head(self.lif3(a + b)).mean(0)
        return y


def with_short_numbers(network: nn.Module) -> nn.Module:
    """The network with numbers of few bits, which exporters fold without rounding."""
    dice = torch.Generator().manual_seed(0)

    def drawn(like: Tensor, low: int, high: int) -> Tensor:
        return torch.randint(low, high, like.shape, generator=dice)

    with torch.no_grad():
        for each in network.modules():
            if isinstance(each, NORMS):
                each.eps = 0.0
                each.running_var.fill_(0.25)  # type: ignore[union-attr]
                each.running_mean.copy_(drawn(each.bias, -2, 3) / 16)  # type: ignore[union-attr]
                each.weight.copy_(2.0 ** drawn(each.weight, -1, 2))
                each.bias.copy_(drawn(each.bias, 0, 9) / 8)
            elif isinstance(each, nn.Linear | nn.Conv1d | nn.Conv2d):
                for parameter in each.parameters():
                    parameter.copy_((parameter * 256).round() / 256)
    return network.eval()


def through_onnx(
    network: nn.Module, shape: tuple[int, ...], path: Path, *, dynamo: bool
) -> Checked:
    how: Any = {"verbose": False} if dynamo else {}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, *shape),), str(path), dynamo=dynamo, **how)
    return check_model(load_model(str(path)))


def neurons(checked: Checked) -> dict[str, dict[str, Any]]:
    return {op.source.module: op.attributes() for op in checked.graph.of_kind("neuron")}


def findings(checked: Checked) -> list[tuple[str, str, str]]:
    return sorted((d.rule.code, d.source.module, str(d.domain)) for d in checked.diagnostics)


def integers(graph: Graph) -> Mapping[tuple[str, str, str], list[Array]]:
    """All weights of the chip, by module, kind of op and field."""
    found: dict[tuple[str, str, str], list[Array]] = defaultdict(list)
    for op in graph.ops:
        for field in op.weight_fields if op.kind != "output" else ():
            name = getattr(op, field)
            if name is not None:
                value = graph.weights[name]
                assert isinstance(value, np.ndarray)
                found[op.source.module, op.kind, field].append(value)
    return found


def compiled(checked: Checked, x: Array) -> Compiled:
    found = compile_checked(checked, target=load_target("loihi2"), calibration=x)
    assert found.agreement.unmatched == ()
    assert (found.agreement.differing, found.agreement.near_threshold) == (0, 0)
    assert found.agreement.spikes_compared > 0
    return found


def assert_same(network: nn.Module, shape: tuple[int, ...], path: Path, *, dynamo: bool) -> None:
    """Verdicts, neurons, spikes (each compile compares all) and integers are the module's."""
    ours = check_model(from_module(with_short_numbers(network), torch.zeros(1, *shape)))
    theirs = through_onnx(network, shape, path, dynamo=dynamo)
    read = [(v.path, v.kind, v.verdict, v.domains) for v in theirs.verdicts]
    assert sorted(map(str, read)) == sorted(
        str((v.path, v.kind, v.verdict, v.domains)) for v in ours.verdicts
    )
    assert findings(theirs) == findings(ours)
    here, there = neurons(ours), neurons(theirs)
    assert there == {path: here[path] for path in there}
    x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1)).double().numpy()
    mine, others = compiled(ours, x), compiled(theirs, x)
    wanted, got = integers(mine.integer), integers(others.integer)
    alike = {k for k in wanted if k[1] != "integer_neuron" or k[0] in there}
    assert got.keys() == alike
    for key in alike:
        assert all(np.array_equal(a, b) for a, b in zip(wanted[key], got[key], strict=True)), key
    if not dynamo:
        assert there.keys() == here.keys()
        assert mine.agreement.spikes_compared == others.agreement.spikes_compared


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize(
    "neuron",
    [
        {"decay": 0.25, "norm": 1},
        {"decay": 0.5, "rounding": "half_up", "levels": 8},
        {"decay": 1.0, "norm": 3},
    ],
    ids=str,
)
def test_neurons_with_memory(neuron: dict[str, Any], dynamo: bool, tmp_path: Path) -> None:
    """The exporter of programs makes one layer of two that are equal and read the same."""
    torch.manual_seed(0)
    if dynamo:
        pytest.importorskip("onnxscript")
    assert_same(Net(**neuron), (1, 4, 4), tmp_path / "net.onnx", dynamo=dynamo)


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("spikeyolo", YOLO),
        ("e-spikeformer-base", PYRAMID),
        ("e-spikeformer-large", {**PYRAMID, "dims": (8, 16, 32), "depths": (2,), "T": 1}),
    ],
)
def test_published_networks(
    form: str, options: dict[str, Any], dynamo: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    if dynamo:
        pytest.importorskip("onnxscript")
    network = FORMS[form].configure(**options)
    assert_same(network.build(), network.input_shape, tmp_path / "net.onnx", dynamo=dynamo)
