"""MS-ResNet: official names, one time step at a time, and the floats that its shortcuts read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.models.ms_resnet import ThresholdBatchNorm
from snncc.models.neuron import LIF
from snncc.models.resnet_config import MsResNetConfig
from snncc.models.zoo import FORMS

Lively = Callable[..., tuple[nn.Module, Tensor]]
InputsOf = Callable[[nn.Module, Tensor], dict[str, Tensor]]

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "compliance.json").read_text())
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
TINY: dict[str, Any] = {"width": 8, "img_size": 64, "classes": 5}
STEM = {False: ("conv1.0",), True: ("conv1.0", "conv1.1", "conv1.2")}


def not_spikes(read: dict[str, Tensor]) -> set[str]:
    """Layers that read something else than spikes."""
    return {path for path, x in read.items() if not set(x.flatten().tolist()) <= {0, 1}}


@pytest.mark.parametrize("deep", [False, True])
def test_parameter_names_are_the_official_ones(deep: bool) -> None:
    model = FORMS["ms-resnet"].build(**TINY, blocks=(1, 2, 1, 1), deep=deep)
    expected = {"fc.weight", "fc.bias", *(f"{name}.weight" for name in STEM[deep])}
    norms = ["conv1.3" if deep else "conv1.1"]
    if deep:
        expected |= {f"{name}.bias" for name in STEM[deep]}
    for stage, count in zip((2, 3, 4, 5), (1, 2, 1, 1), strict=True):
        for b in range(count):
            block = f"conv{stage}_x.{b}"
            expected |= {f"{block}.residual_function.{i}.weight" for i in (1, 4)}
            norms += [f"{block}.residual_function.{i}" for i in (2, 5)]
            if b == 0:
                expected |= {f"{block}.shortcut.{int(deep)}.weight"}
                norms.append(f"{block}.shortcut.{1 + deep}")
    expected |= {f"{norm}.bn.{key}" for norm in norms for key in NORM}
    assert model.state_dict().keys() == expected


def test_neurons_keep_a_quarter_and_fire_strictly_above_a_half() -> None:
    model = FORMS["ms-resnet"].build(**TINY)
    neurons = {name: m for name, m in model.named_modules() if isinstance(m, LIF)}
    assert "mem_update" in neurons
    assert "conv5_x.1.residual_function.3" in neurons
    assert len(neurons) == 1 + 2 * 8
    for lif in neurons.values():
        assert lif.tau is not None
        assert 1 - 1 / lif.tau == 0.25
        assert (lif.v_threshold, lif.v_reset, lif.decay_input, lif.strict) == (0.5, 0, False, True)


def test_norms_begin_at_the_threshold_and_residuals_at_nothing() -> None:
    model = FORMS["ms-resnet"].build(**TINY)
    first, last = (model.get_submodule(f"conv2_x.0.residual_function.{i}.bn") for i in (2, 5))
    assert set(first.weight.tolist()) == {0.5}  # type: ignore[operator]
    assert set(last.weight.tolist()) == {0.0}  # type: ignore[operator]


def test_the_norm_is_that_of_three_axes() -> None:
    x = torch.randn(4, 2, 3, 5, 6, dtype=torch.float64)
    ours, theirs = ThresholdBatchNorm(3, weight=0.5).double(), nn.BatchNorm3d(3).double()
    nn.init.constant_(theirs.weight, 0.5)
    for _ in range(2):
        expected = theirs(x.permute(1, 2, 0, 3, 4)).permute(2, 0, 1, 3, 4)
        torch.testing.assert_close(ours(x), expected)
    torch.testing.assert_close(ours.bn.running_var, theirs.running_var)


class OneStep:
    """The network for one sample and one time step, with all state in a table of potentials."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.state = model, model.state_dict()
        self.v: dict[str, Tensor] = {}

    def neuron(self, path: str, x: Tensor) -> Tensor:
        v = self.v.get(path, torch.zeros_like(x)) / 4 + x
        spikes = (v > 0.5).double()
        self.v[path] = v * (1 - spikes)
        return spikes

    def conv(self, path: str, x: Tensor, stride: int) -> Tensor:
        weight = self.state[f"{path}.weight"]
        bias = self.state.get(f"{path}.bias")
        return nn.functional.conv2d(x[None], weight, bias, stride, weight.shape[-1] // 2)[0]

    def norm(self, path: str, x: Tensor) -> Tensor:
        mean, var, scale, shift = (
            self.state[f"{path}.bn.{key}"][:, None, None]
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def block(self, path: str, x: Tensor, stride: int, deep: bool) -> Tensor:
        part = f"{path}.residual_function"
        out = self.norm(f"{part}.2", self.conv(f"{part}.1", self.neuron(f"{part}.0", x), stride))
        out = self.norm(f"{part}.5", self.conv(f"{part}.4", self.neuron(f"{part}.3", out), 1))
        if stride == 1:
            return out + x
        if deep:
            pooled = nn.functional.avg_pool2d(x[None], 2)[0]
            current = self.conv(f"{path}.shortcut.1", pooled, 1)
            return out + self.norm(f"{path}.shortcut.2", current)
        return out + self.norm(f"{path}.shortcut.1", self.conv(f"{path}.shortcut.0", x, 2))

    def __call__(self, x: Tensor, deep: bool) -> Tensor:
        for i, path in enumerate(STEM[deep]):
            x = self.conv(path, x, 2 if i == 0 else 1)
        x = self.norm(f"conv1.{len(STEM[deep])}", x)
        for stage in (2, 3, 4, 5):
            for b in range(2):
                x = self.block(f"conv{stage}_x.{b}", x, 2 if b == 0 else 1, deep)
        return self.neuron("mem_update", x).mean((1, 2))


@pytest.mark.parametrize("deep", [False, True])
@torch.no_grad()
def test_the_network_is_its_time_steps_one_after_another(deep: bool, lively: Lively) -> None:
    model, x = lively("ms-resnet", **TINY, deep=deep, T=3)
    fc = model.get_submodule("fc")
    logits = model(x)
    for sample, expected in zip(x, logits, strict=True):
        step = OneStep(model)
        rates = torch.stack([step(sample, deep) for _ in range(3)]).mean(0)
        torch.testing.assert_close(fc(rates), expected, rtol=0, atol=1e-10)
    assert logits.std() > 1e-3


@pytest.mark.parametrize("layers", [18, 34])
def test_only_stem_shortcuts_and_head_read_floats(
    layers: int, lively: Lively, inputs_of: InputsOf
) -> None:
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}[layers]
    read = inputs_of(*lively("ms-resnet", **TINY, blocks=blocks))
    flagged = {e["path"] for e in GOLDEN["models"][f"ms_resnet{layers}"]["flagged"]}
    assert not_spikes(read) == flagged
    for path in read.keys() - flagged:
        assert 0.01 < read[path].mean() < 1, path


def test_the_deep_network_has_a_row_of_convolutions_for_a_stem(
    lively: Lively, inputs_of: InputsOf
) -> None:
    read = inputs_of(*lively("ms-resnet", **TINY, deep=True))
    shortcuts = {f"conv{stage}_x.0.shortcut.1" for stage in (2, 3, 4, 5)}
    assert not_spikes(read) == {*STEM[True], *shortcuts, "fc"}


def test_a_decay_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"decay must be between 0 and 1, got 1\.0"):
        MsResNetConfig(blocks=(2, 2, 2, 2), decay=1.0)
