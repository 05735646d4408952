"""Networks whose neurons fire, and a second opinion on what their integers are.

The second opinion is PyTorch in float64, one time step after the other. All numbers are integers
below 2**53, so that it is exact; it shares no code with the compiler's own arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snncc.backends.onnx.model import bytes_of, write_onnx
from snncc.execute.executor import Executor
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.io import input_varies
from snncc.models.neuron import SpikingNeuron
from snncc.models.neuron_multilevel import MultiLevel

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
Neurons: TypeAlias = SpikingNeuron | MultiLevel

GOAL, LOW, HIGH = 0.15, 0.04, 0.33
"""The firing rate that every layer is brought to, and how far it may stay from it."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class _Tuner:
    """Runs a network; each neuron layer on its way is brought to its firing rate.

    Batch norms take the statistics of what they read. The bias of the last batch norm before a
    layer of neurons is then shifted by one number. Where there is none, as behind a product of
    spikes, the layers whose spikes it is made of get another goal.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.neurons = [m for m in model.modules() if isinstance(m, Neurons)]
        self.norms = [m for m in model.modules() if isinstance(m, NORMS)]
        self.goals: dict[nn.Module, float] = dict.fromkeys(self.neurons, GOAL)
        self.rates: dict[nn.Module, float] = {}
        self.leaves: dict[nn.Module, Tensor] = {}
        self.shifts: dict[nn.Module, float] = {}

    def run(self, x: Tensor) -> None:
        """Run once, and change what is not as it should be."""
        self.leaves.clear()
        self.shifts.clear()
        hooks = [m.register_forward_pre_hook(self._before_norm) for m in self.norms]
        hooks += [m.register_forward_hook(self._after_norm) for m in self.norms]
        hooks += [m.register_forward_pre_hook(self._before_neurons) for m in self.neurons]
        hooks += [m.register_forward_hook(self._after_neurons) for m in self.neurons]
        self.model(x)
        for hook in hooks:
            hook.remove()

    def _before_norm(self, norm: Any, args: tuple[Tensor, ...]) -> None:
        x = args[0].detach()
        axes = [a for a in range(x.ndim) if a != 1]
        norm.running_mean.copy_(x.mean(axes))
        norm.running_var.copy_(x.var(axes).clamp(min=0.05))

    def _after_norm(self, norm: nn.Module, _args: Any, out: Tensor) -> Tensor:
        self.leaves[norm] = torch.zeros((), requires_grad=True)
        shifted: Tensor = out + self.leaves[norm]
        return shifted

    def _after_neurons(self, neurons: nn.Module, _args: Any, spikes: Tensor) -> Tensor:
        self.leaves[neurons] = spikes.detach().requires_grad_()
        return self.leaves[neurons]

    def _before_neurons(self, neurons: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        parts = self._parts(args[0])
        norms = [m for m in parts if isinstance(m, NORMS)]
        with torch.no_grad():
            # What was shifted in this run has not come with the current.
            unseen = sum(self.shifts.get(norm, 0.0) * parts[norm] for norm in norms)
            x = args[0] + unseen
            rate = self.rates[neurons] = _rate(neurons, x)
            goal = self.goals[neurons]
            if norms and norms[-1] not in self.shifts and abs(rate - goal) > 0.3 * goal:
                shift = _shift_to(goal, neurons, x)
                self.shifts[norms[-1]] = shift / parts[norms[-1]]
                norms[-1].bias.add_(self.shifts[norms[-1]])
                x = x + shift
        if not norms and not LOW <= rate <= HIGH:
            for source in parts:
                nearer = self.goals[source] * (1.25 if rate < LOW else 0.8)
                self.goals[source] = min(max(nearer, LOW), HIGH)
        return (x,)

    def _parts(self, current: Tensor) -> dict[Any, float]:
        """What the current is made of with no neuron between, and how much of it is in it."""
        found = torch.autograd.grad(
            current.mean(), list(self.leaves.values()), allow_unused=True, retain_graph=True
        )
        sums = {m: g.sum() for m, g in zip(self.leaves, found, strict=True) if g is not None}
        return {module: float(part) for module, part in sums.items()}


def _shift_to(goal: float, neurons: Neurons, current: Tensor) -> float:
    """Return the number that, added to all currents, makes the neurons fire at a rate."""
    low, high = -8.0, 8.0
    for _ in range(14):
        middle = (low + high) / 2
        if _rate(neurons, current + middle) < goal:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _rate(neurons: Neurons, current: Tensor) -> float:
    """Spikes of a neuron and step; of integer-firing neurons, of a sub-step."""
    spikes = float(neurons.forward(current).mean())
    return spikes * neurons.norm / neurons.levels if isinstance(neurons, MultiLevel) else spikes


Lively: TypeAlias = Callable[[nn.Module, Tensor], dict[str, float]]


@pytest.fixture(scope="session")
def lively() -> Lively:
    """A function that makes every neuron layer of a network fire on ``x``.

    It changes batch norms, leaves the network in eval mode, and returns the rate of each layer.
    """

    def tune(model: nn.Module, x: Tensor) -> dict[str, float]:
        tuner = _Tuner(model.eval())
        for norm in tuner.norms:
            nn.init.uniform_(norm.weight, 0.8, 1.6)
            nn.init.uniform_(norm.bias, -0.2, 0.2)
        for _ in range(16):
            tuner.run(x)
            if not tuner.shifts and all(LOW <= r <= HIGH for r in tuner.rates.values()):
                break
        paths = {module: path for path, module in model.named_modules()}
        return {paths[module]: rate for module, rate in tuner.rates.items()}

    return tune


Values: TypeAlias = Mapping[str, Array]
Evaluate: TypeAlias = Callable[[Graph, Array], Values]


@pytest.fixture(scope="session")
def evaluate() -> Evaluate:
    """A function: an integer step graph and its input to all its values, as float64.

    The input and the values made at each time step are ``[T, B, ...]``, others ``[B, ...]``.
    """
    return lambda graph, x: _Evaluator(graph).run(torch.tensor(x, dtype=torch.float64))


@pytest.fixture(scope="session")
def in_onnx() -> Callable[[Graph, Array], None]:
    """A function that writes an integer graph as ONNX and holds onnxruntime to the executor."""
    runtime: Any = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1

    def compare(graph: Graph, x: Array) -> None:
        x = x.swapaxes(0, 1) if input_varies(graph) else x
        want = Executor(graph).run(x.astype(np.float32)).output
        for unroll in (False, True):
            data = bytes_of(write_onnx(graph, unroll=unroll))
            session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            entry = session.get_inputs()[0].name
            (got,) = session.run(None, {entry: x.astype(np.float32)})
            assert np.array_equal(got, want), unroll

    return compare


class _Evaluator:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.weights = {
            name: torch.tensor(np.asarray(w), dtype=torch.float64)
            for name, w in graph.weights.items()
        }
        self.states: dict[str, Tensor] = {}
        self.late: set[str] = set()
        for op in graph.ops:
            if op.kind == "readout" or self.late.intersection(op.inputs):
                self.late.add(op.name)

    def run(self, x: Tensor) -> Values:
        early = [op for op in self.graph.ops if op.name not in self.late]
        steps = [self._step(early, x, t) for t in range(self.graph.steps)]
        values = {op.name: torch.stack([step[op.name] for step in steps]) for op in early}
        after = dict(steps[0])
        for op in self.graph.ops:
            if op.kind == "readout":
                values[op.name] = after[op.name] = values[op.inputs[0]].sum(0)
            elif op.name in self.late:
                after[op.name] = self._value(op, [after[name] for name in op.inputs])
                values[op.name] = after[op.name]
        return {name: value.numpy() for name, value in values.items()}

    def _step(self, early: list[Op], x: Tensor, t: int) -> dict[str, Tensor]:
        now: dict[str, Tensor] = {}
        for op in early:
            if op.kind == "input":
                now[op.name] = self._pixels(op, x[t])
            else:
                now[op.name] = self._value(op, [now[name] for name in op.inputs])
        return now

    def _pixels(self, op: Any, x: Tensor) -> Tensor:
        return torch.round(x / op.scale).clamp(op.domain.lo, op.domain.hi)

    def _value(self, op: Any, inputs: list[Tensor]) -> Tensor:
        value: Tensor = getattr(self, f"_{op.kind}")(op, *inputs)
        return value

    def _integer_neuron(self, op: Any, x: Tensor) -> Tensor:
        u = self.states.get(op.name, torch.zeros_like(x))
        h = torch.trunc(u * (4096 - op.decay) / 4096) + x * 2**op.shift
        threshold = self.weights[op.threshold]
        levels = threshold if op.levels > 1 else threshold[None]
        spikes = torch.stack([(h >= level).double() for level in levels]).sum(0)
        taken = threshold if op.unit is None else self.weights[op.unit]
        self.states[op.name] = h * (spikes == 0) if op.reset == "hard" else h - taken * spikes
        return spikes

    def _bias(self, op: Any) -> Tensor:
        return self.weights[op.bias] if op.bias else torch.zeros(1, dtype=torch.float64)

    def _conv(self, op: Any, x: Tensor) -> Tensor:
        weight = self.weights[op.weight]
        n = weight.ndim - 2
        conv: Any = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[n]
        flat = x.reshape(-1, *x.shape[-n - 1 :])
        y = conv(flat, weight, None, op.stride, op.padding, op.dilation, op.groups)
        y = y * 2**op.shift + self._bias(op).reshape(-1, *(1,) * n)
        return y.reshape(*x.shape[: -n - 1], *y.shape[1:])

    def _linear(self, op: Any, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[op.weight]) * 2**op.shift + self._bias(op)

    def _max_pool(self, op: Any, x: Tensor) -> Tensor:
        n = len(op.kernel)
        pool: Any = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[n]
        flat = x.reshape(-1, 1, *x.shape[-n:])
        y = pool(flat, op.kernel, op.stride, op.padding, op.dilation, op.ceil_mode)
        return y.reshape(*x.shape[:-n], *y.shape[2:])

    def _pad(self, op: Any, x: Tensor) -> Tensor:
        sides = [p for pair in zip(op.before[::-1], op.after[::-1], strict=True) for p in pair]
        inside = F.pad(torch.ones_like(x), sides)
        border = self.weights[op.value] if op.value else torch.zeros((), dtype=torch.float64)
        column = border.reshape(*border.shape, *(1,) * len(op.before)) if border.ndim else border
        return F.pad(x, sides) + (1 - inside) * column

    def _constant(self, op: Any) -> Tensor:
        return self.weights[op.value][None]

    def _add(self, op: Any, a: Tensor, b: Tensor) -> Tensor:
        return torch.add(*_of_one_rank(a, b))

    def _mask(self, op: Any, a: Tensor, b: Tensor) -> Tensor:
        return torch.mul(*_of_one_rank(a, b))

    def _matmul(self, op: Any, a: Tensor, b: Tensor) -> Tensor:
        return torch.matmul(*_of_one_rank(a, b))

    def _scale(self, op: Any, x: Tensor) -> Tensor:
        return x * op.factor

    def _round_shift(self, op: Any, x: Tensor) -> Tensor:
        return torch.floor(x / 2**op.bits + 0.5)

    def _thermometer(self, op: Any, x: Tensor) -> Tensor:
        return torch.stack([(x > j).double() for j in range(op.levels)], dim=1)

    def _sum(self, op: Any, x: Tensor) -> Tensor:
        return x.sum([a + 1 for a in op.axes], keepdim=op.keepdims)

    def _reshape(self, op: Any, x: Tensor) -> Tensor:
        return x.reshape(len(x), *op.shape)

    def _permute(self, op: Any, x: Tensor) -> Tensor:
        return x.permute(0, *(a + 1 for a in op.order))

    def _expand(self, op: Any, x: Tensor) -> Tensor:
        full = x.reshape(len(x), *(1,) * (len(op.shape) + 1 - x.ndim), *x.shape[1:])
        return full.expand(len(x), *op.shape)

    def _slice(self, op: Any, x: Tensor) -> Tensor:
        places = torch.arange(op.start, op.stop, op.step)
        return x.index_select(op.axis + 1, places)

    def _concat(self, op: Any, *parts: Tensor) -> Tensor:
        return torch.cat(parts, dim=op.axis + 1)

    def _repeat(self, op: Any, x: Tensor) -> Tensor:
        return x

    def _output(self, op: Any, x: Tensor) -> Tensor:
        return x * self.weights[op.scale]


def _of_one_rank(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Axes are missing behind the batch."""
    rank = max(a.ndim, b.ndim)
    return tuple(t.reshape(len(t), *(1,) * (rank - t.ndim), *t.shape[1:]) for t in (a, b))  # type: ignore[return-value]
