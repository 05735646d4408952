"""Synaptic currents of a layer over all time steps: our module, its operator, and its op."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import check_model, compile_model
from snncc.frontends.current_op import synaptic_current
from snncc.frontends.load import from_module, load_model
from snncc.frontends.prepare import prepared
from snncc.frontends.torch_export import trace
from snncc.ir.memory import current_step
from snncc.ir.synaptic_current import SynapticCurrent as Op
from snncc.models.neuron import LIF
from snncc.models.synaptic_current import SynapticCurrent
from snncc.targets.load import load_target

T = 5


class Net(nn.Module):
    """Two layers of neurons with a current each, on a constant input."""

    def __init__(self, keep: float = 0.75) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.syn1, self.lif1 = nn.Linear(8, 16), SynapticCurrent(keep), LIF()
        self.fc2, self.syn2, self.lif2 = nn.Linear(16, 4), SynapticCurrent(keep), LIF()

    def forward(self, x: Tensor) -> Tensor:
        x = self.lif1(self.syn1(self.fc1(x).expand(T, -1, -1)))
        return torch.as_tensor(self.lif2(self.syn2(self.fc2(x))).sum(0))


@pytest.mark.parametrize("keep", [0.0, 0.3, 1.0])
def test_module_operator_and_op_are_one_equation(keep: float) -> None:
    x = torch.randn(T, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = synaptic_current(x, keep)
    assert torch.equal(SynapticCurrent(keep)(x), found)
    state = None
    for received, current in zip(x.numpy(), found.numpy(), strict=True):
        state = current_step(Op(name="i", inputs=("x",), keep=keep), received, state)
        np.testing.assert_array_equal(state, current)


def test_the_operator_is_well_declared() -> None:
    torch.library.opcheck(
        torch.ops.snncc.synaptic_current.default, (torch.rand(T, 2, 4), 0.5),
        test_utils=("test_schema", "test_faketensor"),
    )  # fmt: skip


def test_a_share_of_more_than_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keep must be 0 to 1, got 1\.5"):
        SynapticCurrent(1.5)
    assert repr(SynapticCurrent(0.25)) == "SynapticCurrent(keep=0.25)"


def test_a_layer_of_currents_is_one_op() -> None:
    network = Net()
    graph = trace(network, torch.zeros(1, 8))
    currents = graph.of_kind("synaptic_current")
    assert [op.name for op in currents] == ["syn1.synaptic_current", "syn2.synaptic_current"]
    assert [op.attributes() for op in currents] == [{"keep": 0.75}] * 2
    assert "forward" not in vars(network.syn1)


def test_a_network_of_currents_compiles() -> None:
    x = torch.rand(16, 8, generator=torch.Generator().manual_seed(1))
    model = from_module(Net().eval(), x[:1])
    compiled = compile_model(model, target=load_target("loihi2"), calibration=x.numpy())
    assert compiled.agreement.equal
    assert compiled.agreement.spikes_compared > 0
    assert len(compiled.integer.of_kind("integer_current")) == 2


def test_a_program_keeps_its_currents(tmp_path: Path) -> None:
    network = Net().eval()
    with prepared(network):
        program = torch.export.export(network, (torch.zeros(1, 8),))
    torch.export.save(program, tmp_path / "net.pt2")
    checked = check_model(load_model(str(tmp_path / "net.pt2"), trust_pickle=True))
    wanted = check_model(from_module(network, torch.zeros(1, 8)))
    kept, own = (
        [op.attributes() for op in c.graph.of_kind("synaptic_current", "neuron")]
        for c in (checked, wanted)
    )
    assert kept == own
    assert checked.clean
