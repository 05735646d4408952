"""Exported programs: only trusted files are opened, and neurons are found in either form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.cli.guard import guarded
from snncc.compiler import Checked, check_model, compile_checked
from snncc.diagnostics.core import SnnccError
from snncc.frontends.load import load_model
from snncc.frontends.prepare import prepared
from snncc.models.neuron import LIF
from snncc.targets.load import load_target


class Net(nn.Module):
    """Two layers of neurons, four steps of one image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1, self.fc2 = nn.Linear(8, 16), LIF(), nn.Linear(16, 12)
        self.lif2, self.head = LIF(v_reset=None), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lif1(self.fc1(x * 4).unsqueeze(0).repeat(4, 1, 1))
        y: Tensor = self.head(self.lif2(self.fc2(x))).mean(0)
        return y


@pytest.fixture
def net() -> nn.Module:
    return Net().eval()


def saved(net: nn.Module, path: Path, samples: int, *, dynamic: bool = False) -> str:
    sizes = ({0: torch.export.Dim("batch")},) if dynamic else None
    example = (torch.zeros(samples, 8),)
    program = torch.export.export(net, example, dynamic_shapes=sizes, strict=False)
    torch.export.save(program, path)
    return str(path)


def judged(spec: str) -> Checked:
    return check_model(load_model(spec, trust_pickle=True))


def assert_is(checked: Checked, net: nn.Module) -> None:
    assert checked.clean
    assert (checked.graph.level, checked.graph.steps) == ("step", 4)
    assert [v.path for v in checked.verdicts] == ["fc1", "fc2", "head"]
    assert len(checked.graph.of_kind("neuron")) == 2
    x = np.random.default_rng(0).random((4, 8))
    compiled = compile_checked(checked, target=load_target("loihi2"), calibration=x)
    assert compiled.agreement.equal
    with torch.no_grad():
        answer = net.double()(torch.from_numpy(x)).numpy()
    assert np.abs(compiled.real.outputs.reshape(answer.shape) - answer).max() < 1e-9


@pytest.mark.parametrize(
    ("samples", "dynamic"),
    [(1, False), (2, False), pytest.param(3, True, marks=pytest.mark.slow)],
)
def test_unrolled_neurons_come_back(
    samples: int, dynamic: bool, net: nn.Module, tmp_path: Path
) -> None:
    assert_is(judged(saved(net, tmp_path / "net.pt2", samples, dynamic=dynamic)), net)


def test_our_own_operator_is_read(net: nn.Module, tmp_path: Path) -> None:
    with prepared(net):
        path = saved(net, tmp_path / "net.pt2", 2)
    assert_is(judged(path), net)


def test_nothing_is_run_unless_the_user_says_so(
    net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(net, tmp_path / "net.pt2", 1)
    with pytest.raises(SnnccError, match="runs what stands in it") as caught:
        load_model(path)
    assert [d.rule.code for d in caught.value.diagnostics] == ["SNN104"]
    assert guarded(["check", path]) == 2
    assert "--trust-pickle" in capsys.readouterr().err
    assert guarded(["check", path, "--trust-pickle"]) == 0


@pytest.mark.parametrize("trust", [False, True])
def test_a_file_that_is_none(trust: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(b"text, no archive")
    with pytest.raises(SnnccError, match="is no exported program, or it ends too early"):
        load_model(str(path), trust_pickle=trust)


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.save({"w": torch.zeros(2)}, path)
    with pytest.raises(SnnccError, match="cannot be read as an exported program") as caught:
        load_model(str(path), trust_pickle=True)
    assert [d.rule.code for d in caught.value.diagnostics] == ["SNN160"]


def test_a_network_takes_one_tensor(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    program = torch.export.export(Two(), (torch.zeros(2, 3), torch.zeros(2, 3)), strict=False)
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(SnnccError, match="the program takes 2 inputs"):
        load_model(str(tmp_path / "net.pt2"), trust_pickle=True)


def test_another_input_shape_than_the_programs_is_refused(net: nn.Module, tmp_path: Path) -> None:
    path = saved(net, tmp_path / "net.pt2", 2)
    with pytest.raises(SnnccError, match="--input-shape says 9, the program has 8") as caught:
        load_model(path, trust_pickle=True, example_shape=(9,))
    assert [d.rule.code for d in caught.value.diagnostics] == ["SNN112"]
    assert load_model(path, trust_pickle=True, example_shape=(8,)).input_shape == (8,)
