"""A neuron that reads time and batch as one axis is judged for one sample, with a warning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.diagnostics.core import Severity, SnnccError
from snncc.frontends.torch_export import trace
from snncc.ir.interpret import interpret
from snncc.models.neuron import LIF
from snncc.passes import FRONT
from snncc.passes.base import run_passes


class Flattened(nn.Module):
    """The last neurons read `[T * B, C]`, or `[B * T, C]`."""

    def __init__(self, steps: int, *, batch_first: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.steps, self.batch_first = steps, batch_first
        self.fc, self.lif = nn.Linear(8, 16), LIF(tau=1.5)
        self.fc1, self.last, self.out = nn.Linear(16, 16), LIF(v_threshold=0.5), nn.Linear(16, 3)
        for each in (self.fc, self.fc1):
            each.weight.data *= 4

    def forward(self, x: Tensor) -> Tensor:
        x = x.expand(self.steps, -1, -1)
        shape = (self.steps, -1)
        s = self.lif(self.fc(x))
        if self.batch_first:
            s, shape = s.transpose(0, 1), (-1, self.steps)
        s = self.last(self.fc1(s.flatten(0, 1))).unflatten(0, shape)
        return self.out(s).mean(1 if self.batch_first else 0)


NETWORKS = {
    "time first": Flattened(4),
    "batch first": Flattened(4, batch_first=True),
    "one step": Flattened(1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_sample_is_answered_as_alone(name: str) -> None:
    network = NETWORKS[name].double().eval()
    result = run_passes(trace(network, torch.zeros(1, 8).double()), FRONT)
    assert [(d.rule.code, d.severity, d.source.module) for d in result.diagnostics] == [
        ("SNN158", Severity.WARNING, "last")
    ]
    x = torch.rand(5, 8, generator=torch.Generator().manual_seed(0)).double()
    alone = torch.cat([network(each[None]) for each in x]).detach().numpy()
    found = interpret(result.graph, x.numpy())
    np.testing.assert_allclose(found["output"], alone, atol=1e-9)
    assert 0 < found["last"].mean() < 1


def test_in_a_batch_the_code_itself_answers_otherwise() -> None:
    network = NETWORKS["time first"].double().eval()
    x = torch.rand(5, 8, generator=torch.Generator().manual_seed(0)).double()
    alone = torch.cat([network(each[None]) for each in x])
    assert not torch.allclose(network(x), alone)


def test_the_warning_says_what_is_read_and_what_to_do() -> None:
    (found,) = snncc.check(Flattened(4).eval(), torch.zeros(1, 8)).diagnostics[:1]
    assert found.message == "`last` (neuron) takes all samples of a batch for time steps of one"
    assert found.because == ("its first axis is [T * B] with T=4, where [T] belongs",)
    assert "reshape to [T, B, ...]" in found.hint


def test_compile_holds_it_to_the_code_on_one_sample() -> None:
    compiled = snncc.compile(Flattened(4).eval(), torch.zeros(1, 8), target="loihi2")
    assert compiled.agreement.equal
    assert compiled.agreement.samples == 1
    assert compiled.agreement.unmatched == ()


class Patches(Flattened):
    """The axis holds patches too."""

    def forward(self, x: Tensor) -> Tensor:
        s = self.lif(self.fc(x.expand(self.steps, -1, -1))).unflatten(2, (4, 4))
        return self.last(s.transpose(2, 3).flatten(0, 2)).unflatten(0, (self.steps, -1, 4)).sum(0)


class Bare(Flattened):
    """No neuron has a time axis of its own."""

    def forward(self, x: Tensor) -> Tensor:
        s = self.last(self.fc(x.expand(self.steps, -1, -1)).flatten(0, 1))
        return s.unflatten(0, (self.steps, -1)).sum(0)


class Turned(Flattened):
    """The batch stands where time belongs."""

    def forward(self, x: Tensor) -> Tensor:
        s = self.lif(self.fc(x.expand(self.steps, -1, -1)))
        return self.last(s.transpose(0, 1)).sum(1)


@pytest.mark.parametrize("network", [Patches, Bare, Turned])
def test_what_stays_refused(network: type[Flattened]) -> None:
    with pytest.raises(SnnccError) as caught:
        run_passes(trace(network(4).eval(), torch.zeros(1, 8)), FRONT)
    assert "SNN153" in {d.rule.code for d in caught.value.diagnostics}
