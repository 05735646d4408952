"""Files that leave their batch open and hold that of the export inside."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from snncc.compiler import Checked, check_model
from snncc.diagnostics.core import SnnccError
from snncc.execute.executor import Executor
from snncc.frontends.build import Dynamic, Static
from snncc.frontends.load import from_module, load_model
from snncc.frontends.onnx.batches import ratios_of
from snncc.models.neuron import LIF
from snncc.models.zoo import FORMS

SMALL: dict[str, Any] = {"depth": 1, "dim": 16, "heads": 2, "img_size": 8, "classes": 3}


class Jelly(nn.Module):
    """Layers of all steps as SpikingJelly's ``seq_to_ann_forward`` writes them: sizes in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1 = nn.Conv2d(1, 4, 3, padding=1), LIF()
        self.fc, self.lif2, self.head = nn.Linear(64, 6), LIF(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = 4 * x.unsqueeze(0).repeat(4, 1, 1, 1, 1)
        T, B, C, H, W = (int(n) for n in x.shape)
        x = self.lif1(self.conv(x.reshape(T * B, C, H, W)).reshape(T, B, 4, H, W))
        y: Tensor = self.head(self.lif2(self.fc(x.reshape(T, B, -1)))).mean(0)
        return y


class ByHand(nn.Module):
    """Steps one after the other; potentials start as zeros of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.fc1, self.fc2 = nn.Flatten(), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        B = int(x.shape[0])
        x, v, total = self.flat(4 * x), torch.zeros(B, 16), torch.zeros(B, 3)
        for _ in range(4):
            v = 0.5 * v + self.fc1(x)
            spikes = (v > 1.0).float()
            v = v * (1 - spikes)
            total = total + self.fc2(spikes)
        return total / 4


def exported(module: nn.Module, example: Tensor, path: Path, *, dynamo: bool = False) -> str:
    """Write a module with its batch left open."""
    how: dict[str, Any] = {"dynamic_axes": {"input": {0: "batch"}}, "input_names": ["input"]}
    if dynamo:
        how = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (example,), str(path), dynamo=dynamo, **how)
    return str(path)


def assert_is(checked: Checked, module: nn.Module, neurons: int) -> None:
    assert checked.graph.level == "step"
    assert len(checked.graph.of_kind("neuron")) == neurons
    x = torch.rand(5, *checked.model.input_shape)
    with torch.no_grad():
        answer = module(x).numpy()
    ours = Executor(checked.graph).run(x.double().numpy()).output
    assert np.abs(ours - answer).max() < 1e-5
    recorded = checked.model.origin.record(x.double().numpy()).output
    assert np.abs(recorded.reshape(answer.shape) - answer).max() < 1e-5


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
@pytest.mark.parametrize(("make", "neurons"), [(Jelly, 2), (ByHand, 1)])
def test_the_number_of_samples_is_found(
    make: Callable[[], nn.Module], neurons: int, batch: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = make()
    path = exported(module, torch.rand(batch, 1, 4, 4), tmp_path / "net.onnx")
    checked = check_model(load_model(path))
    assert checked.clean
    assert_is(checked, module, neurons)
    notes = [(d.rule.code, d.message) for d in checked.model.notes]
    told = f"`input` leaves its batch open, and the nodes hold a batch of {batch}"
    fits = batch == 2 or (make is ByHand and batch == 1)  # zeros of one sample fit any
    assert notes == ([] if fits else [("SNN167", told)])


@pytest.mark.parametrize("batch", [1, 3])
def test_a_published_network(batch: int, tmp_path: Path) -> None:
    torch.manual_seed(5)
    module = FORMS["spikingformer-cifar"].build(**SMALL, in_channels=1)
    path = exported(module, torch.zeros(batch, 1, 8, 8), tmp_path / "net.onnx")
    checked = check_model(load_model(path))
    assert [d.rule.code for d in checked.model.notes] == ["SNN167"]
    assert_is(checked, module, 11)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["spikformer-cifar", "sdt-cifar", "qkformer-cifar"])
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_published_networks_by_both_exporters(
    form: str, dynamo: bool, batch: int, tmp_path: Path
) -> None:
    if dynamo:
        pytest.importorskip("onnxscript")
    torch.manual_seed(5)
    depth = 2 if form == "qkformer-cifar" else 1
    architecture = FORMS[form].configure(depth=depth, dim=32, heads=2, classes=3)
    module, example = architecture.build(), torch.zeros(batch, *architecture.input_shape)
    checked = check_model(load_model(exported(module, example, tmp_path / "n.onnx", dynamo=dynamo)))
    own = check_model(from_module(module, example[:1]))
    assert_is(checked, module, len(own.graph.of_kind("neuron")))


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_of_spikingjelly(batch: int, tmp_path: Path) -> None:
    """TorchScript's exporter does not know the operators that its neurons are today."""
    pytest.importorskip("onnxscript")
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    functional = pytest.importorskip("spikingjelly.activation_based.functional")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = layer.SeqToANNContainer(nn.Conv2d(1, 4, 3, padding=1))
            self.lif1 = neuron.LIFNode()
            self.fc = layer.SeqToANNContainer(nn.Flatten(), nn.Linear(64, 6))
            self.lif2 = neuron.IFNode()

        def forward(self, x: Tensor) -> Tensor:
            functional.reset_net(self)
            x = self.conv(4 * x.unsqueeze(0).repeat(4, 1, 1, 1, 1))
            x = self.fc(torch.stack([self.lif1(x[t]) for t in range(4)]))
            return torch.stack([self.lif2(x[t]) for t in range(4)]).mean(0)

    torch.manual_seed(0)
    module = Net()
    path = exported(module, torch.rand(batch, 1, 4, 4), tmp_path / "net.onnx", dynamo=True)
    assert_is(check_model(load_model(path)), module, 2)


def reshaped(unrolled: Callable[..., onnx.ModelProto], *shape: int, batch: str | int) -> Any:
    model = unrolled(T=2, batch=batch)
    model.graph.initializer.append(numpy_helper.from_array(np.array(shape), "shape"))
    model.graph.node.insert(0, helper.make_node("Reshape", ["x", "shape"], ["x4"], "odd"))
    for node in model.graph.node[1:]:
        node.input[:] = ["x4" if name == "x" else name for name in node.input]
    return model


def refusal(path: Path) -> Any:
    with pytest.raises(SnnccError) as caught:
        load_model(str(path))
    (found,) = caught.value.diagnostics
    return found


def test_where_no_number_fits_it_is_said(unrolled: Any, saved: Any) -> None:
    found = refusal(saved(reshaped(unrolled, 7, 3, batch="batch")))
    assert found.rule.code == "SNN160"
    assert "node `odd`: the operator `Reshape` fails" in found.message
    assert found.hint == (
        "its batch is open, and none of 2, 1 samples fits: export it without dynamic axes"
    )


def test_a_batch_that_the_file_states_is_taken_at_its_word(unrolled: Any, saved: Any) -> None:
    assert refusal(saved(reshaped(unrolled, 3, 4, batch=2))).hint == ""
    read = load_model(str(saved(reshaped(unrolled, 3, 4, batch="batch"))))
    assert [d.rule.code for d in read.notes] == ["SNN167"]


def static(*shape: int) -> Static:
    return Static(torch.zeros(shape))


@pytest.mark.parametrize(
    ("operator", "read", "ratios"),
    [
        ("Reshape", [Dynamic("x", (8, 3)), Static(torch.tensor([12, 3]))], {Fraction(3, 2)}),
        ("Reshape", [Dynamic("x", (8, 3)), Static(torch.tensor([0, 6]))], {Fraction(2)}),
        ("Reshape", [Dynamic("x", (8, 3)), Static(torch.tensor([5, -1]))], set()),
        ("Add", [static(3, 6), Dynamic("x", (2, 6))], {Fraction(3, 2)}),
        ("MatMul", [Dynamic("x", (4, 128)), static(64, 10)], {Fraction(1, 2), Fraction(10, 128)}),
        ("Concat", [Dynamic("x", (2, 6)), Dynamic("v", (3, 6))], {Fraction(3, 2)}),
        ("Add", [None, Dynamic("x", ())], set()),
    ],
)
def test_what_operands_tell(operator: str, read: list[Any], ratios: set[Fraction]) -> None:
    assert ratios <= set(ratios_of(operator, read))
    assert all(ratio > 0 for ratio in ratios_of(operator, read))
