"""`snncc.compile` and `snncc.check`: what the command line does, for a network in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.artefact import read_artefact
from snncc.compiler import Compiled
from snncc.diagnostics.core import SnnccError
from snncc.execute.executor import Executor
from snncc.models.neuron import LIF
from snncc.targets.load import TargetError

EXAMPLE = torch.zeros(1, 4)
X = torch.rand(5, 4, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Two layers of neurons; with `real`, the second weights read what is no spike."""

    def __init__(self, real: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.fc, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.first, self.second, self.real = LIF(v_threshold=0.1), LIF(), real

    def forward(self, x: Tensor) -> Tensor:
        current = self.stem(x.expand(3, *x.shape))
        spikes = self.first(current)
        read = spikes + current if self.real else spikes
        return self.head(self.second(self.fc(read))).mean(0)


def compiled(**options: object) -> Compiled:
    found: Compiled = snncc.compile(Net(), EXAMPLE, target="loihi2", **options)
    return found


def test_a_network_in_memory_compiles() -> None:
    found = compiled(data=X)
    assert found.calibrated
    assert Executor(found.integer).run(X.numpy()).output.shape == (5, 3)


def test_with_an_output_the_artefact_is_written(tmp_path: Path) -> None:
    compiled(data=X, labels=[0, 1, 2, 0, 1], output=tmp_path / "out")
    found = read_artefact(tmp_path / "out")
    assert found.documents["report.json"]["accuracy"].keys() == {"float", "integer"}
    assert found.manifest["model"] == "Net"


def test_check_gives_the_verdicts() -> None:
    checked = snncc.check(Net(), EXAMPLE)
    assert checked.clean
    assert [v.verdict for v in checked.verdicts] == ["real", "spike", "spike"]
    assert not snncc.check(Net(real=True), EXAMPLE).clean


def test_what_cannot_be_compiled_is_refused(tmp_path: Path) -> None:
    wrong: dict[str, dict[str, object]] = {
        "SNN131": {"data": X[:, :3]},
        "SNN132": {"data": X * np.inf},
        "SNN134": {"data": X, "labels": [3] * 5},
        "SNN902": {"output": "/dev/null/below"},
    }
    for code, options in wrong.items():
        with pytest.raises(SnnccError) as caught:
            compiled(**options)
        assert [d.rule.code for d in caught.value.diagnostics] == [code]
    with pytest.raises(SnnccError, match="SNN202"):
        snncc.compile(Net(real=True), EXAMPLE, target="loihi2", output=tmp_path / "out")
    with pytest.raises(TargetError):
        snncc.compile(Net(), EXAMPLE, target="loihi9")
    assert not list(tmp_path.iterdir())


def test_there_is_no_other_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'compiler_'"):
        snncc.compiler_  # noqa: B018
