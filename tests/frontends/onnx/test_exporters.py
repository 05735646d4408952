"""What torch's own exporters write, and the trained digits network on its way through ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import Checked, Compiled, check_model, compile_checked
from snncc.execute.executor import Executor
from snncc.frontends.load import load_model
from snncc.models.neuron import IF, LIF, ParametricLIF
from snncc.targets.load import load_target

DIGITS = Path(__file__).parents[3] / "examples/digits"


def exported(module: nn.Module, example: Tensor, path: Path, **how: Any) -> Path:
    """Write a module by the exporter that comes with torch and needs nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and says so
        torch.onnx.export(module.eval(), (example,), str(path), dynamo=False, **how)
    return path


@pytest.fixture(scope="module")
def original() -> Checked:
    return check_model(load_model(str(DIGITS / "spikingformer.pth.tar")))


@pytest.fixture(scope="module")
def through_onnx(original: Checked, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    path = tmp_path_factory.mktemp("onnx") / "digits.onnx"
    example = torch.zeros(1, *original.model.input_shape)
    return check_model(load_model(str(exported(original.model.module, example, path))))


def samples() -> Any:
    return np.load(DIGITS / "calibration.npz")["x"][:2].astype(np.float64)


def compiled(checked: Checked) -> Compiled:
    return compile_checked(checked, target=load_target("loihi2"), calibration=samples())


def test_the_verdict_is_the_checkpoints(original: Checked, through_onnx: Checked) -> None:
    assert [(v.path, v.kind, v.verdict, v.domains) for v in through_onnx.verdicts] == [
        (v.path, v.kind, v.verdict, v.domains) for v in original.verdicts
    ]
    assert [(d.rule.code, d.source.module) for d in through_onnx.diagnostics] == [
        (d.rule.code, d.source.module) for d in original.diagnostics
    ]
    assert through_onnx.clean


def test_integers_and_spikes_are_the_checkpoints(original: Checked, through_onnx: Checked) -> None:
    """The exporter folds batch norms in float32, so the scale of the float answer is rounded."""
    ours, theirs = compiled(original), compiled(through_onnx)
    assert theirs.agreement.differing == 0
    assert theirs.agreement.spikes_compared == ours.agreement.spikes_compared > 10**5
    assert [op.kind for op in ours.integer.ops] == [op.kind for op in theirs.integer.ops]
    for mine, other in zip(ours.integer.ops, theirs.integer.ops, strict=True):
        for name, its in zip(mine.weight_names, other.weight_names, strict=True):
            a, b = ours.integer.weights[name], theirs.integer.weights[its]
            assert isinstance(a, np.ndarray) and isinstance(b, np.ndarray)  # noqa: PT018
            if mine.kind == "output":
                assert np.allclose(a, b, rtol=1e-5)
            else:
                assert np.array_equal(a, b), mine.name
    assert spikes(ours) == spikes(theirs)


def spikes(found: Compiled) -> list[bytes]:
    """Every spike of every layer on all samples."""
    seen: list[bytes] = []

    def keep(op: Any, block: Any) -> None:
        if op.kind == "integer_neuron":
            seen.append(np.asarray(block.result).astype(np.int8).tobytes())

    Executor(found.integer).run(samples(), observe=keep)
    return seen


class Net(nn.Module):
    """A small conv net with one kind of neuron, four steps of one image."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.lif1, self.pool, self.fc = first, nn.MaxPool2d(2), nn.Linear(64, 12)
        self.lif2, self.head = second, nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        B = x.shape[0]
        x = self.bn(self.conv(x)).unsqueeze(0).repeat(4, 1, 1, 1, 1)
        x = self.pool(self.lif1(x).flatten(0, 1)).reshape(4, B, 64)
        y: Tensor = self.head(self.lif2(self.fc(x))).mean(0)
        return y


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        IF,
        lambda: LIF(tau=1.5, v_threshold=0.5),
        lambda: LIF(decay_input=False, v_reset=None),
        lambda: LIF(v_reset=-0.5, strict=True),
        lambda: ParametricLIF(init_tau=2.5),
    ],
    ids=["if", "lif", "soft", "rest", "plif"],
)
def test_neurons_of_ours_come_back(make: Any, dynamic: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, example = Net(make(), make()), torch.rand(3 if dynamic else 1, 1, 8, 8)
    how = {"dynamic_axes": {"x": {0: "batch"}}, "input_names": ["x"]} if dynamic else {}
    path = exported(module, example, tmp_path / "net.onnx", **how)
    checked = check_model(load_model(str(path)))
    assert checked.clean
    assert [op.source.module for op in checked.graph.of_kind("neuron")] == ["lif1", "lif2"]
    inputs = torch.rand(6, 1, 8, 8) * 3
    with torch.no_grad():
        answer = module(inputs).numpy()
    assert np.abs(Executor(checked.graph).run(inputs.double().numpy()).output - answer).max() < 1e-5


class Written(nn.Module):
    """Neurons by hand, one step after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        v, total = torch.zeros(x.shape[0], 16), torch.zeros(x.shape[0], 4)
        for _ in range(4):
            v = 0.5 * v + self.fc1(x)
            spikes = (v > 1.0).float()
            v = v * (1 - spikes)
            total = total + self.fc2(spikes)
        return total / 4


def test_neurons_by_hand_are_found(tmp_path: Path) -> None:
    path = exported(Written(), torch.zeros(1, 8), tmp_path / "net.onnx")
    checked = check_model(load_model(str(path)))
    (neuron,) = checked.graph.of_kind("neuron")
    assert neuron.attributes()["tau"] == 2.0
    assert checked.graph.steps == 4


class Inverse(nn.Module):
    """A residual connection of spikes where there are none behind: ``x (1 - f(x))``."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.lif2 = nn.Linear(8, 6), IF(), nn.Linear(6, 6), IF()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.lif1(self.fc1(x).unsqueeze(0).repeat(2, 1, 1))
        y: Tensor = self.head(spikes * (1.0 - self.lif2(self.fc2(spikes)))).mean(0)
        return y


def test_stored_whole_numbers_are_integers(tmp_path: Path) -> None:
    path = exported(Inverse(), torch.zeros(1, 8), tmp_path / "net.onnx")
    checked = check_model(load_model(str(path)))
    assert [(v.path, v.verdict) for v in checked.verdicts][-1] == ("head", "spike")


def test_the_exporter_of_exported_programs(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Written().eval(), (torch.zeros(1, 8),), str(tmp_path / "net.onnx"), dynamo=True,
            verbose=False,
        )  # fmt: skip
    checked = check_model(load_model(str(tmp_path / "net.onnx")))
    assert checked.clean
    assert [v.path for v in checked.verdicts] == ["fc1", "fc2"]
    assert {v.path: v for v in checked.verdicts}["fc1"].path == "fc1"
    assert checked.graph["fc1"].source.file.endswith("test_exporters.py")


class Counting(nn.Module):
    """Integer-firing neurons without memory, rounded as one official program or the other does."""

    def __init__(self, half_up: bool) -> None:
        super().__init__()
        self.half_up, self.fc1, self.fc2 = half_up, nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        counts = self.fc1(4 * x).clamp(min=0, max=4)
        counts = torch.floor(counts + 0.5) if self.half_up else torch.round(counts) / 4
        y: Tensor = self.fc2(counts)
        return y


@pytest.mark.parametrize("half_up", [False, True])
def test_integer_firing_neurons_are_found(half_up: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Counting(half_up)
    path = exported(module, torch.zeros(1, 8), tmp_path / "net.onnx")
    checked = check_model(load_model(str(path)))
    (neuron,) = checked.graph.of_kind("neuron")
    found = neuron.attributes()
    rounding = "half_up" if half_up else "half_even"
    assert (found["levels"], found["rounding"], found["tau"]) == (4, rounding, 1.0)
    inputs = torch.rand(16, 8)
    with torch.no_grad():
        answer = module(inputs).numpy()
    assert np.abs(Executor(checked.graph).run(inputs.double().numpy()).output - answer).max() < 1e-5


class Bordered(nn.Module):
    """A border that is written part by part, one number a channel, as official code has it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif = nn.Conv2d(1, 3, 3, padding=1), LIF()
        self.after, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        self.border = nn.Parameter(torch.tensor([0.25, -0.5, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.lif(self.conv(x).unsqueeze(0).repeat(2, 1, 1, 1, 1)).flatten(0, 1)
        y = nn.functional.pad(spikes, [1] * 4)
        value = self.border.view(1, -1, 1, 1)
        y[:, :, :1, :] = value.expand(y.shape[0], -1, 1, y.shape[3])
        y[:, :, -1:, :] = value.expand(y.shape[0], -1, 1, y.shape[3])
        y[:, :, :, :1] = value.expand(y.shape[0], -1, y.shape[2], 1)
        y[:, :, :, -1:] = value.expand(y.shape[0], -1, y.shape[2], 1)
        found: Tensor = self.head(self.after(y).mean((2, 3)).unflatten(0, (2, -1))).mean(0)
        return found


@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_border_that_is_written_part_by_part(dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, path = Bordered(), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (torch.zeros(1, 1, 6, 6),), str(path), dynamo=dynamo)
    checked = check_model(load_model(str(path)))
    assert checked.graph.level == "step"
    assert len(checked.graph.of_kind("pad")) == 1
    inputs = torch.rand(5, 1, 6, 6) * 3
    with torch.no_grad():
        answer = module(inputs).numpy()
    assert np.abs(Executor(checked.graph).run(inputs.double().numpy()).output - answer).max() < 1e-5


class Mixing(nn.Module):
    """Its second neuron takes samples for time steps: it is sound with one sample at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2 = nn.Linear(8, 6), LIF(), nn.Linear(6, 5)
        self.lif2, self.head = LIF(v_reset=None), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.fc2(self.lif1(self.fc1(x).unsqueeze(0).repeat(3, 1, 1)))
        y: Tensor = self.head(self.lif2(spikes.flatten(0, 1)).unflatten(0, (3, -1))).mean(0)
        return y


def test_a_file_that_is_sound_for_one_sample_is_taken_for_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, path = Mixing(), tmp_path / "net.onnx"
    checked = check_model(load_model(str(exported(module, torch.zeros(1, 8), path))))
    assert (checked.graph.level, checked.graph.steps, checked.clean) == ("step", 3, True)
    (note,) = (d for d in checked.diagnostics if d.rule.code == "SNN158")
    assert note.message == "the file is taken as it is, for one sample at a time"
    assert len(note.because) == 1
    x = torch.rand(4, 8)
    with torch.no_grad():
        answer = torch.cat([module(each[None]) for each in x]).numpy()
    mine = Executor(checked.graph).run(x.double().numpy()).output
    assert np.abs(mine.reshape(answer.shape) - answer).max() < 1e-5
    assert compile_checked(checked, target=load_target("loihi2")).agreement.equal


class Frames(nn.Module):
    """Events `[B, T, 6]`, flattened for a layer and taken apart behind it, as ``[B, T, 8]``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        samples, steps = x.shape[:2]
        current = 3 * self.fc(x.reshape(samples * steps, 6)).reshape(samples, steps, 8)
        v, fired = torch.zeros(()), []
        for t in range(steps):
            v = 0.5 * v + current[:, t]
            fired.append((v > 0.5).float())
            v = v * (1 - fired[-1])
        return torch.as_tensor(self.head(torch.stack(fired, 1)).mean(1))


def test_a_batch_of_one_in_front_of_time_is_found_behind_a_flattened_axis(tmp_path: Path) -> None:
    path = exported(Frames(), torch.zeros(1, 4, 6), tmp_path / "net.onnx")
    checked = check_model(load_model(str(path)))
    assert checked.clean
    x = torch.rand(9, 4, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = Frames()(x).numpy()
    found = Executor(checked.graph).run(x.movedim(0, 1).double().numpy()).output
    np.testing.assert_allclose(found, wanted, atol=1e-5)
