"""`snncc.compile` and `snncc.check`: what the command line does, for a network in memory."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.artefact import read_artefact
from snncc.backends.deploy import summary
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


class Sew(Net):
    """The head reads 0..2."""

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.first(self.stem(x.expand(3, *x.shape)))
        return self.head(spikes + self.second(self.fc(spikes))).mean(0)


class Chained(Net):
    """Two linear layers stand in a row."""

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.first(self.stem(x.expand(3, *x.shape)))
        return self.head(self.fc(self.fc(spikes))).mean(0)


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


def test_a_policy_says_what_passes() -> None:
    real = Net(real=True)
    known = snncc.Allowance("SNN202", "fc", reason="a trial")
    usual = snncc.check(real, EXAMPLE)
    allowing = snncc.check(real, EXAMPLE, policy=snncc.Policy(allow=(known,)))
    assert [d.source.module for d in usual.diagnostics if not d.allowed_by] == ["fc"]
    assert (usual.clean, allowing.clean) == (False, True)
    (found,) = [d for d in allowing.diagnostics if d.source.module == "fc"]
    assert found.allowed_by == "policy: SNN202:fc, because a trial"


def test_a_policy_can_ask_for_more_than_the_usual_one() -> None:
    strict = snncc.Policy(encoder="spike", head="spike")
    refused = [d.source.module for d in snncc.check(Net(), EXAMPLE, policy=strict).diagnostics]
    assert refused == ["stem"]
    with pytest.raises(SnnccError, match="SNN202"):
        compiled(policy=strict)


def test_the_policy_holds_for_compiling() -> None:
    network, known = Sew(), snncc.Allowance("SNN201", "head", reason="a trial")
    policies = [snncc.Policy(head="spike", allow=allow) for allow in ((), (known,))]
    with pytest.raises(SnnccError, match="`head` reads int"):
        snncc.compile(network, EXAMPLE, target="loihi2", policy=policies[0])
    found = snncc.compile(network, EXAMPLE, target="loihi2", policy=policies[1])
    assert found.checked.policy.allow == (known,)


def test_both_forms_can_be_judged() -> None:
    forms = [snncc.check(Net(), EXAMPLE, deployed=deployed).form for deployed in (False, True)]
    assert forms == ["as-written", "deployed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"encoder": "pixels"}, "encoder must be one of any, grid, spike, got 'pixels'"),
        ({"head": "real"}, "head must be one of float, spike, got 'real'"),
        ({"multi_level": 0}, "multi_level must be a whole number from 1, got 0"),
        ({"allow": ("SNN201",)}, "allow must hold Allowance objects, got ('SNN201',)"),
    ],
)
def test_what_no_policy_can_say(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        snncc.Policy(**options)


def test_the_report_says_what_merging_layers_cost(tmp_path: Path) -> None:
    snncc.compile(Chained(), EXAMPLE, target="loihi2", output=tmp_path / "out")
    found = read_artefact(tmp_path / "out").documents["report.json"]["linear_chains"]
    assert found == {
        "merged": 1,
        "left": 0,
        "parameters": 4 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3,
        "merged_parameters": 4 * 8 + 8 + 8 * 3 + 3,
        "chains": [
            {
                "paths": ["fc", "fc", "head"],
                "kernel": [],
                "parameters": 8 * 8 + 8 + 8 * 3 + 3,
                "merged_parameters": 8 * 3 + 3,
                "left_because": None,
            }
        ],
    }
    compiled(output=tmp_path / "plain")
    plain = read_artefact(tmp_path / "plain").documents["report.json"]["linear_chains"]
    assert plain["chains"] == []
    assert plain["parameters"] == plain["merged_parameters"]


class ByHand(nn.Module):
    """Neurons as arithmetic: no module has their name."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        v, total = torch.zeros(len(x), 8), torch.zeros(len(x), 3)
        for _ in range(3):
            v = v / 2 + self.stem(x)
            fires = (v >= 0.3).float()
            v, total = v * (1 - fires), total + self.head(fires)
        return total


def test_what_was_compared_is_said_in_values_of_neurons() -> None:
    """One for each neuron, time step and sample, whether it fires or not."""
    assert "float graph and PyTorch: 240 neuron values of 5 samples, 0 differ" in summary(
        compiled(data=X)
    )
    found: Compiled = snncc.compile(ByHand(), X, target="loihi2", data=X)
    said = "float graph and PyTorch: 5 samples, no neurons have names to be compared by, answers"
    assert said in summary(found)
