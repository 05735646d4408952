"""SEW-ResNet: official names, one time step at a time, and the integers that its blocks read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.models.neuron import IF, ParametricLIF
from snncc.models.resnet_config import CONNECTIONS, SewEventConfig, SewResNetConfig
from snncc.models.sew_resnet import CONNECT
from snncc.models.zoo import FORMS

Lively = Callable[..., tuple[nn.Module, Tensor]]
InputsOf = Callable[[nn.Module, Tensor], dict[str, Tensor]]

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "compliance.json").read_text())
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
TINY: dict[str, Any] = {"width": 8, "img_size": 64, "classes": 5}
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


@pytest.mark.parametrize("bottleneck", [False, True])
def test_parameter_names_are_the_official_ones(bottleneck: bool) -> None:
    blocks = (1, 2, 1, 1)
    model = FORMS["sew-resnet"].build(**TINY, blocks=blocks, bottleneck=bottleneck)
    expected = {"conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{key}" for key in NORM)}
    for stage, count in enumerate(blocks, start=1):
        layers = [f"layer{stage}.{b}.conv{c}" for b in range(count) for c in (1, 2)]
        if bottleneck:
            layers += [f"layer{stage}.{b}.conv3" for b in range(count)]
        if bottleneck or stage > 1:
            layers.append(f"layer{stage}.0.downsample.0")
        for layer in layers:
            expected |= {f"{layer}.0.weight", *(f"{layer}.1.{key}" for key in NORM)}
    assert model.state_dict().keys() == expected


def test_neurons_have_the_official_names_and_constants() -> None:
    model = FORMS["sew-resnet"].build(**TINY, bottleneck=True, blocks=(1, 1, 1, 1))
    neurons = {name: m for name, m in model.named_modules() if isinstance(m, IF)}
    assert neurons.keys() == {
        "sn1",
        *(f"layer{s}.0.sn{n}" for s in range(1, 5) for n in (1, 2, 3)),
        *(f"layer{s}.0.downsample.1" for s in range(1, 5)),
    }
    for neuron in neurons.values():
        assert (neuron.v_threshold, neuron.v_reset, neuron.strict) == (1, 0, False)


def test_spikes_are_joined_as_the_paper_says() -> None:
    spikes, shortcut = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    joined = {name: CONNECT[name](spikes, shortcut).tolist() for name in CONNECTIONS}
    assert joined == {"ADD": [0, 1, 1, 2], "AND": [0, 0, 0, 1], "IAND": [0, 1, 0, 0]}


class OneStep:
    """The network for one sample and one time step, with all state in a table of potentials."""

    def __init__(self, model: nn.Module, connect: str) -> None:
        self.model, self.connect = model, connect
        self.state = model.state_dict()
        self.v: dict[str, Tensor] = {}

    def neuron(self, path: str, x: Tensor) -> Tensor:
        h = self.v.get(path, torch.zeros_like(x)) + x
        spikes = (h >= 1).double()
        self.v[path] = h * (1 - spikes)
        return spikes

    def conv(self, conv: str, norm: str, x: Tensor, stride: int) -> Tensor:
        weight = self.state[f"{conv}.weight"]
        x = nn.functional.conv2d(x[None], weight, None, stride, weight.shape[-1] // 2)[0]
        mean, var, scale, shift = (
            self.state[f"{norm}.{key}"][:, None, None]
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def block(self, path: str, x: Tensor, stride: int) -> Tensor:
        names = [n for n in ("1", "2", "3") if f"{path}.conv{n}.0.weight" in self.state]
        strided = names[-2]
        out = x
        for name in names:
            step = stride if name == strided else 1
            current = self.conv(f"{path}.conv{name}.0", f"{path}.conv{name}.1", out, step)
            out = self.neuron(f"{path}.sn{name}", current)
        down = f"{path}.downsample"
        if f"{down}.0.0.weight" in self.state:
            current = self.conv(f"{down}.0.0", f"{down}.0.1", x, stride)
            x = self.neuron(f"{down}.1", current)
        return {"ADD": out + x, "AND": out * x, "IAND": x - x * out}[self.connect]

    def __call__(self, x: Tensor) -> Tensor:
        x = self.neuron("sn1", self.conv("conv1", "bn1", x, 2))
        x = nn.functional.max_pool2d(x[None], 3, 2, 1)[0]
        for path, module in self.model.named_children():
            for b in range(len(module) if isinstance(module, nn.Sequential) else 0):
                if path.startswith("layer"):
                    x = self.block(f"{path}.{b}", x, 2 if b == 0 and path != "layer1" else 1)
        return x.mean((1, 2))


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("connect", CONNECTIONS)
@torch.no_grad()
def test_the_network_is_its_time_steps_one_after_another(
    connect: str, bottleneck: bool, lively: Lively
) -> None:
    model, x = lively("sew-resnet", **TINY, connect=connect, bottleneck=bottleneck, T=3)
    fc = model.get_submodule("fc")
    for sample, expected in zip(x, model(x), strict=True):
        step = OneStep(model, connect)
        rates = torch.stack([step(sample) for _ in range(3)]).mean(0)
        torch.testing.assert_close(fc(rates), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("layers", BLOCKS)
def test_sums_reach_as_far_as_the_ground_truth_says(
    layers: int, lively: Lively, inputs_of: InputsOf
) -> None:
    entry = GOLDEN["models"][f"sew_resnet{layers}-ADD"]
    flagged = {e["path"]: e["set"] for e in entry["flagged"]}
    options = {**TINY, "blocks": BLOCKS[layers], "bottleneck": layers == 50}
    read = inputs_of(*lively("sew-resnet", **options))
    floats = {path for path, x in read.items() if not torch.equal(x, x.round())}
    assert floats == {"conv1", "fc"}
    wide = {path: int(x.max()) for path, x in read.items() if path not in floats and x.max() > 1}
    assert wide.keys() == flagged.keys() - floats
    for path, highest in wide.items():
        assert highest <= int(flagged[path].strip("{}").split("..")[1]), path


@pytest.mark.parametrize("connect", ["AND", "IAND"])
def test_gates_leave_spikes(connect: str, lively: Lively, inputs_of: InputsOf) -> None:
    read = inputs_of(*lively("sew-resnet", **TINY, connect=connect))
    wide = {path for path, x in read.items() if not set(x.flatten().tolist()) <= {0, 1}}
    assert wide == {"conv1", "fc"}
    assert read["layer4.1.conv1.0"].mean() > 0.01


def test_the_first_convolution_sees_an_image_once(lively: Lively, inputs_of: InputsOf) -> None:
    read = inputs_of(*lively("sew-resnet", **TINY, T=3))
    assert read["conv1"].shape == (2, 3, 64, 64)
    assert read["layer1.0.conv1.0"].shape == (6, 8, 16, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"connect": "OR"}, "connect must be one of .*, got 'OR'"),
        ({"blocks": (2, 2, 2)}, r"blocks must be four numbers from 1, got \(2, 2, 2\)"),
        ({"blocks": (2, 2, 0, 2)}, "blocks must be four numbers from 1"),
        ({"T": 0}, "T must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_built_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SewResNetConfig(**{"blocks": (2, 2, 2, 2), **change})


EVENTS: dict[str, Any] = {"widths": (8, 8, 16, 16), "img_size": 32, "classes": 5, "T": 3}


def test_networks_for_events_have_the_official_names() -> None:
    model = FORMS["sew-resnet-dvs"].build(**EVENTS)
    expected = {"out.weight", "out.bias"}
    # A block and a pool each, and a 1x1 convolution where the width changes: at 0 and 5.
    blocks = [f"conv.{i}.conv.{layer}" for i in (1, 3, 6, 8) for layer in (0, 1)]
    for layer in ("conv.0", "conv.5", *blocks):
        expected |= {f"{layer}.0.0.weight", f"{layer}.1.w"}
        expected |= {f"{layer}.0.1.{key}" for key in NORM}
    assert model.state_dict().keys() == expected
    leaks = [m.tau for m in model.modules() if isinstance(m, ParametricLIF)]
    assert leaks == [2.0] * 10


@pytest.mark.parametrize("connect", CONNECTIONS)
def test_sums_survive_pools_until_the_width_changes(
    connect: str, lively: Lively, inputs_of: InputsOf
) -> None:
    read = inputs_of(*lively("sew-resnet-dvs", **EVENTS, connect=connect))
    del read["conv.0.0.0"], read["out"]
    highest = {path: int(x.max()) for path, x in read.items() if x.max() > 1}
    sums = {"conv.3.conv.0.0.0": 2, "conv.5.0.0": 3, "conv.8.conv.0.0.0": 2}
    assert highest == (sums if connect == "ADD" else {})
    assert all(torch.equal(x, x.round()) for x in read.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"connect": "XOR"}, "connect must be one of .*, got 'XOR'"),
        ({"img_size": 8}, "img_size must be at least 16, got 8"),
        ({"widths": ()}, r"widths must be numbers from 1, got \(\)"),
        ({"T": 0}, "T must be at least 1, got 0"),
    ],
)
def test_a_network_for_events_that_cannot_be_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SewEventConfig(**{**EVENTS, **change})
