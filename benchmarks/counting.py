"""What counting costs: ours, and SpikingJelly 2.0.0's `SynOpCounter`, on SpikingJelly's Spikformer.

    pip install spikingjelly==2.0.0
    OMP_WAIT_POLICY=PASSIVE python benchmarks/counting.py

Method. Spikformer-4-384 at 32x32 of SpikingJelly's own zoo, random weights with live neurons, one
batch of 4 images of noise, 4 time steps. Their forward pass runs with its counter and without;
ours are the float graph in float32 and the integers of loihi2, with counts and without. All take
turns on the same threads; the figure is the median. The totals of convolutions and linears are
compared first, in float64, and have to be equal.

Ours counts more than theirs: per sample and time step, attention by three conventions, active
neurons.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from spikingjelly.activation_based import functional
from spikingjelly.activation_based import op_counter as counters
from spikingjelly.activation_based.model.spikformer import Spikformer
from timing import Row, in_turns, machine, save
from torch import Tensor, nn

from snncc.compiler import check_model, compile_checked
from snncc.execute.counts import count, count_batch
from snncc.execute.executor import Executor
from snncc.frontends.model import Model, Traced
from snncc.targets.load import load_target

THREADS, STEPS, BATCH = 2, 4, 4


class Averaged(nn.Module):
    """A network of theirs that answers with the mean over time, as its training code does."""

    def __init__(self, net: nn.Module) -> None:
        """Wrap a network that gives `[T, B, classes]`."""
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]`."""
        return torch.as_tensor(self.net(x).mean(0))


def main() -> None:
    """Compare the totals, measure, print and save."""
    torch.set_num_threads(THREADS)
    network, x = (
        _network(),
        torch.rand(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
    )
    model = Model(Traced(network, (torch.zeros(1, 3, 32, 32).double(),)), (3, 32, 32), "spikformer")
    checked = check_model(model, allow=("SNN201",))
    _hold(network, checked.graph, x.double())
    integer = compile_checked(checked, target=load_target("loihi2"), calibration=x.numpy()).integer
    plain = network.float()
    floats, whole = Executor(checked.graph, "float32"), Executor(integer)
    runs: dict[str, Callable[[], object]] = {
        "theirs": partial(_forward, plain, x, None),
        "theirs, counted": partial(_forward, plain, x, counters.SynOpCounter),
        "floats": partial(floats.run, x.numpy()),
        "floats, counted": partial(count_batch, floats, x.numpy()),
        "integers": partial(whole.run, x.numpy()),
        "integers, counted": partial(count_batch, whole, x.numpy()),
    }
    seconds = in_turns(runs, 7)
    rows = [
        _row("SpikingJelly 2.0.0, float32", seconds["theirs"], seconds["theirs, counted"]),
        _row("snncc, float32", seconds["floats"], seconds["floats, counted"]),
        _row("snncc, integers", seconds["integers"], seconds["integers, counted"]),
    ]
    save("counting", rows, {**machine(THREADS), "spikingjelly": "2.0.0"})


def _row(name: str, plain: float, counted: float) -> Row:
    return {"run": name, "plain s": plain, "counted s": counted, "times": counted / plain}


def _network() -> nn.Module:
    torch.manual_seed(0)
    network = Averaged(
        Spikformer(
            T=STEPS,
            img_size_h=32,
            img_size_w=32,
            patch_size=4,
            num_classes=10,
            embed_dims=384,
            num_heads=12,
            mlp_ratio=4.0,
            depths=4,
        )
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 1, 3)
            nn.init.uniform_(module.bias, -0.5, 0.8)
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.1)
    return network.double().eval()


def _forward(network: nn.Module, x: Tensor, counter: Any) -> Any:
    """Run their network; return their counter, if there is one."""
    functional.reset_net(network)
    with torch.no_grad():
        if counter is None:
            network(x)
            return None
        counting = counter()
        with counters.DispatchCounterMode([counting]):
            network(x)
    return counting


def _hold(network: nn.Module, graph: Any, x: Tensor) -> None:
    """Hold the totals of layers that read spikes to theirs. Raises ``AssertionError``."""
    said = _forward(network, x, counters.SynOpCounter).records["Global"]
    theirs = sum(int(n) for op, n in said.items() if "conv" in str(op) or "mm" in str(op))
    theirs -= sum(int(n) for op, n in said.items() if "bmm" in str(op))
    ops = count(graph, x.numpy()).ops.values()
    layers = [op for op in ops if op.kind in ("conv", "linear") and op.spike_input]
    ours = sum(int(op.synaptic_ops.sum()) for op in layers)
    if ours != theirs or not ours:
        raise AssertionError(f"{ours} operations, theirs {theirs}")


if __name__ == "__main__":
    main()
