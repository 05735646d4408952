"""Every kind of neuron, written in every way, by every way in: each is raised to what it is.

A network has a dozen layers side by side, each written in its own way. All pairs of a way to fire
and a way to reset are tried for every kind; number of time steps, constants and opset go round.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import Checked, check_model
from snncc.execute.agreement import agreement
from snncc.execute.counts import batches
from snncc.execute.executor import Executor
from snncc.frontends.load import from_module, load_model


@dataclass(frozen=True)
class Kind:
    """A neuron. ``learnt`` is the value whose sigmoid is 1 / tau."""

    tau: float | None = None
    decay_input: bool = False
    reset: float | None = 0.0
    threshold: float = 1.0
    taken: float | None = None
    strict: bool = False
    levels: int = 1
    half_up: bool = False
    norm: float = 1.0
    learnt: float | None = None
    charge: str = ""

    @property
    def rest(self) -> float:
        return self.reset or 0.0

    @property
    def off(self) -> float:
        return self.threshold if self.taken is None else self.taken

    @property
    def leak(self) -> float | None:
        """``1 / tau``."""
        if self.learnt is not None:
            return float(torch.tensor(self.learnt).sigmoid())
        return None if self.tau is None else 1 / self.tau


KINDS: dict[str, Kind] = {
    "if": Kind(),
    "if, strict": Kind(strict=True),
    "if, soft": Kind(reset=None),
    "if, soft, other unit": Kind(reset=None, taken=0.75, strict=True),
    "if, to -0.25": Kind(reset=-0.25, threshold=0.5),
    "lif": Kind(tau=2.0, decay_input=True),
    "lif, strict": Kind(tau=2.0, decay_input=True, strict=True, threshold=0.5),
    "lif, soft": Kind(tau=2.0, decay_input=True, reset=None),
    "lif, to -0.25": Kind(tau=2.0, decay_input=True, reset=-0.25),
    "lif, tau 1.5": Kind(tau=1.5, decay_input=True, threshold=0.3),
    "lif, tau 10": Kind(tau=10.0, decay_input=True, threshold=0.25, strict=True),
    "leak": Kind(tau=2.0),
    "leak, tau 4/3": Kind(tau=4 / 3, threshold=2.0, strict=True),
    "leak, soft": Kind(tau=4.0, reset=None, threshold=0.5),
    "leak, to 0.125": Kind(tau=4.0, reset=0.125),
    "lif, interpolated": Kind(tau=4.0, decay_input=True, charge="lerp", threshold=0.5),
    "lif, interpolated from the input": Kind(
        tau=4 / 3, decay_input=True, charge="lerp", threshold=0.5
    ),
    "lif, interpolated, soft": Kind(tau=2.0, decay_input=True, charge="lerp", reset=None),
    "lif, weighed": Kind(tau=5.0, charge="weighed", threshold=0.3),
    "leak, multiplied": Kind(tau=4.0, charge="addcmul", strict=True),
    "leak, scaled": Kind(tau=5.0, charge="alpha", reset=None),
    "if, never reset": Kind(reset=None, taken=0.0, threshold=2.0),
    "leak, never reset": Kind(tau=5.0, reset=None, taken=0.0, strict=True),
    "learnt": Kind(learnt=0.0, decay_input=True),
    "learnt, no decay of input": Kind(learnt=0.7, strict=True),
    "learnt, soft": Kind(learnt=-0.4, decay_input=True, reset=None, threshold=0.5),
    "counts": Kind(tau=4 / 3, reset=None, levels=4),
    "counts, half up, divided": Kind(tau=4 / 3, reset=None, levels=4, half_up=True, norm=4.0),
    "counts, no leak": Kind(reset=None, levels=8, threshold=0.5),
    "counts, hard": Kind(tau=2.0, reset=0.0, levels=2, half_up=True),
}


class Step(torch.autograd.Function):
    """1 above 0, or at it where not strict, with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strict: bool) -> Tensor:
        return (x > 0 if strict else x >= 0).to(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def reached(h: Tensor, threshold: Any, strict: bool) -> Tensor:
    return h > threshold if strict else h >= threshold


def missed(h: Tensor, threshold: Any, strict: bool) -> Tensor:
    return h <= threshold if strict else h < threshold


def above_zero(x: Tensor, strict: bool, positive: Callable[[Tensor], Tensor]) -> Tensor:
    """What the positive part of a sign tells: above 0, or of the other sign not below."""
    return positive(torch.sign(x)) if strict else 1 - positive(torch.sign(-x))


def heaviside(x: Tensor, at_zero: float) -> Tensor:
    """TorchScript has none: there it is written as the other exporter writes it."""
    values = torch.tensor(at_zero, dtype=x.dtype)
    if not torch._C._get_tracing_state():
        return torch.heaviside(x, values)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    return torch.where(x == 0, values, torch.where(x < 0, none, one))


Fire = Callable[[Tensor, Any, bool], Tensor]
FIRES: dict[str, Fire] = {
    "greater": lambda h, theta, strict: reached(h, theta, strict).to(h),
    "not less": lambda h, theta, strict: torch.logical_not(missed(h, theta, strict)).to(h),
    "one less": lambda h, theta, strict: 1 - missed(h, theta, strict).to(h),
    "turned": lambda h, theta, strict: (theta < h if strict else theta <= h).to(h),
    "excess": lambda h, theta, strict: reached(h - theta, 0, strict).to(h),
    "relative": lambda h, theta, strict: reached(h / theta - 1, 0, strict).to(h),
    "where": lambda h, theta, strict: torch.where(
        reached(h, theta, strict), torch.ones_like(h), torch.zeros_like(h)
    ),
    "heaviside": lambda h, theta, strict: heaviside(h - theta, 0.0 if strict else 1.0),
    "relu of sign": lambda h, theta, strict: above_zero(h - theta, strict, torch.relu),
    "sign within bounds": lambda h, theta, strict: above_zero(
        h - theta, strict, lambda x: x.clamp(0, 1)
    ),
    "sign, at least 0": lambda h, theta, strict: above_zero(
        h - theta, strict, lambda x: torch.clamp(x, min=0)
    ),
    "sign or 0": lambda h, theta, strict: above_zero(
        h - theta, strict, lambda x: torch.maximum(x, torch.zeros_like(x))
    ),
    "sign, squared": lambda h, theta, strict: above_zero(
        h - theta, strict, lambda x: (x + x**2) / 2
    ),
    "half of a sign": lambda h, theta, strict: (
        torch.sign(h - theta) / 2 + 0.5 > (0.5 if strict else 0.25)
    ).to(h),
    "cut off": lambda h, theta, strict: (
        torch.clamp(torch.ceil(h - theta), 0, 1)
        if strict
        else 1 - torch.clamp(torch.ceil(theta - h), 0, 1)
    ),
    "rectified": lambda h, theta, strict: (
        (torch.relu(h - theta) > 0).to(h) if strict else 1 - (torch.relu(theta - h) > 0).to(h)
    ),
    "where, numbers": lambda h, theta, strict: torch.where(missed(h, theta, strict), 0.0, 1.0).to(
        h
    ),
    "as integers": lambda h, theta, strict: reached(h, theta, strict).int().to(h.dtype),
    "function": lambda h, theta, strict: Step.apply(h - theta, strict),  # type: ignore[no-untyped-call]
}


def counted(bounds: str) -> Fire:
    """``bounds``: before the rounding, behind it, or straight through both."""

    def fire(h: Tensor, levels: int, half_up: bool) -> Tensor:
        def rounded(x: Tensor) -> Tensor:
            return torch.floor(x + 0.5) if half_up else torch.round(x)

        if bounds == "behind":
            return rounded(h).clamp(0, levels)
        inside = torch.relu(h).clamp(max=levels) if bounds == "relu" else h.clamp(0, levels)
        if bounds == "straight":
            return inside + (rounded(inside) - inside).detach()
        return rounded(inside)

    return fire


COUNTS = {bounds: counted(bounds) for bounds in ("before", "behind", "relu", "straight")}

Reset = Callable[[Tensor, Tensor, Any, Kind], Tensor]
HARD: dict[str, Reset] = {
    "product": lambda h, s, rest, kind: h * (1 - s) + rest * s,
    "detached": lambda h, s, rest, kind: h * (1 - s.detach()) + rest * s.detach(),
    "where": lambda h, s, rest, kind: torch.where(s.bool(), torch.full_like(h, kind.rest), h),
    "where it fires": lambda h, s, rest, kind: torch.where(
        reached(h, kind.threshold, kind.strict), torch.full_like(h, kind.rest), h
    ),
    "masked fill": lambda h, s, rest, kind: h.masked_fill(s > 0.5, kind.rest),
    "mask": lambda h, s, rest, kind: (
        h * missed(h, kind.threshold, kind.strict) + rest * reached(h, kind.threshold, kind.strict)
    ),
    "taken off": lambda h, s, rest, kind: h - (h - rest) * s,
}
SOFT: dict[str, Reset] = {
    "minus": lambda h, s, off, kind: h - off * s,
    "detached": lambda h, s, off, kind: h - s.detach() * off,
    "where": lambda h, s, off, kind: torch.where(s > 0, h - off, h),
    "mask": lambda h, s, off, kind: h - off * reached(h, kind.threshold, kind.strict),
}
CHARGE: dict[str, Callable[[Tensor, Tensor, Any, float], Tensor]] = {
    "lerp": lambda v, x, tau, share: torch.lerp(v, x, share),
    "weighed": lambda v, x, tau, share: v * (1 - 1 / tau) + x / tau,
    "addcmul": lambda v, x, tau, share: torch.addcmul(x, v, torch.ones_like(v) - 1 / tau),
    "alpha": lambda v, x, tau, share: torch.add(x, v, alpha=1 - share),
}
NEVER: dict[str, Reset] = {"never": lambda h, s, off, kind: h}
HARD_COUNTS = {name: HARD[name] for name in ("where", "masked fill")}
SOFT_COUNTS = {name: SOFT[name] for name in ("minus", "detached")}


@dataclass(frozen=True)
class Written:
    """A kind of neuron and the way it is written."""

    kind: str
    fire: str
    reset: str
    constants: str = "numbers"


def ways(kind: Kind) -> Iterator[tuple[str, str]]:
    """All pairs of a way to fire and a way to reset that a kind can be written in."""
    counts, soft = kind.levels > 1, kind.reset is None
    resets = (SOFT_COUNTS if soft else HARD_COUNTS) if counts else SOFT if soft else HARD
    resets = NEVER if kind.taken == 0 else resets
    yield from itertools.product(COUNTS if counts else FIRES, resets)


class Layer(nn.Module):
    """A layer of neurons by hand; numbers stand in the code, or are stored beside the weights."""

    def __init__(self, way: Written) -> None:
        super().__init__()
        self.way, self.kind = way, KINDS[way.kind]
        kind, stored = self.kind, way.constants == "stored"
        if kind.learnt is not None:
            self.w = nn.Parameter(torch.tensor(kind.learnt))
        numbers = {
            "threshold": kind.threshold, "rest": kind.rest, "off": kind.off, "tau": kind.tau,
        }  # fmt: skip
        self.numbers: dict[str, Any] = numbers
        for name, value in numbers.items():
            if stored and value is not None:
                self.register_buffer(name, torch.tensor(value))

    def number(self, name: str) -> Any:
        return getattr(self, name, self.numbers[name])

    def charge(self, v: Any, x: Tensor) -> Tensor:
        kind, rest, tau = self.kind, self.number("rest"), self.number("tau")
        if kind.charge:
            return CHARGE[kind.charge](v, x, tau, 1 / (kind.tau or 1))
        if kind.learnt is not None:
            share = self.w.sigmoid()
            return v + (x - (v - rest)) * share if kind.decay_input else v - (v - rest) * share + x
        if tau is None:
            return v + x
        if kind.decay_input:
            return v + (x - (v - rest)) / tau
        return v * (1 - 1 / tau) + x if kind.rest == 0 else v - (v - rest) / tau + x

    def forward(self, x: Tensor) -> Tensor:
        """Turn ``[T, B, 5]`` currents into spikes."""
        kind, out = self.kind, []
        v = torch.zeros_like(x[0]) + self.number("rest")
        for current in x:
            h = self.charge(v, current)
            if kind.levels > 1:
                s = COUNTS[self.way.fire](h / self.number("threshold"), kind.levels, kind.half_up)
            else:
                s = FIRES[self.way.fire](h, self.number("threshold"), kind.strict)
            after = self.number("off" if kind.reset is None else "rest")
            resets = {**(SOFT if kind.reset is None else HARD), **NEVER}
            v = resets[self.way.reset](h, s, after, kind)
            out.append(s)
        return torch.stack(out) / kind.norm


class Layers(nn.Module):
    """Layers side by side on ``[B, T, 6]``, a linear layer before each; their mean spikes."""

    def __init__(self, written: Sequence[Written]) -> None:
        super().__init__()
        self.fc = nn.ModuleList(nn.Linear(6, 5) for _ in written)
        self.layers = nn.ModuleList(Layer(way) for way in written)
        dice = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for each in self.fc.parameters():
                each.copy_(torch.randint(-8, 16, each.shape, generator=dice) / 16)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        pairs = zip(self.fc, self.layers, strict=True)
        return torch.cat([layer(fc(x)).mean(0) for fc, layer in pairs], 1)


WIDE = 12
EVERY = [(kind, *way) for kind in KINDS for way in ways(KINDS[kind])]
NETWORKS = [
    tuple(Written(*way, ("numbers", "stored")[i % 2]) for i, way in enumerate(EVERY[first::stride]))
    for stride in (len(EVERY) // WIDE,)
    for first in range(stride)
]
"""All ways in networks of different ones."""
STEPS = (4, 2, 5, 3)
OPSETS = {False: (17, 18, 19, 20), True: (18, 20, 21, 23)}


def read_program(network: nn.Module, T: int, path: Path) -> Checked:
    program = torch.export.export(network.eval(), (torch.zeros(2, T, 6),), strict=False)
    torch.export.save(program, path)
    return check_model(load_model(str(path), trust_pickle=True))


def traced(network: nn.Module, T: int) -> Checked:
    return check_model(from_module(network.eval(), torch.zeros(1, T, 6)))


def read(network: nn.Module, T: int, path: Path, opset: int, *, dynamo: bool) -> Checked:
    how: Any = {"verbose": False} if dynamo else {"do_constant_folding": opset % 2 == 0}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (torch.zeros(1, T, 6),), str(path), dynamo=dynamo,
            opset_version=opset, **how,
        )  # fmt: skip
    return check_model(load_model(str(path)))


def wanted(way: Written) -> dict[str, Any]:
    kind = KINDS[way.kind]
    near = None if kind.leak is None else pytest.approx(1 / kind.leak, rel=1e-5)
    theta = pytest.approx(kind.threshold, rel=1e-6)
    taken = None if kind.reset is not None or kind.taken is None else pytest.approx(kind.taken)
    return {
        "tau": near, "decay_input": kind.decay_input, "v_threshold": theta,
        "v_reset": kind.reset, "strict": kind.strict, "levels": kind.levels,
        "rounding": "half_up" if kind.half_up else "half_even", "norm": kind.norm,
        "v_subtract": taken,
    }  # fmt: skip


def example(T: int) -> Tensor:
    """Numbers of few bits, so that potentials meet thresholds."""
    dice = torch.Generator().manual_seed(3)
    return torch.randint(-4, 12, (6, T, 6), generator=dice, dtype=torch.float64) / 8


def held(checked: Checked, network: nn.Module, T: int) -> None:
    """Compare all spikes with the file's own, and the answer with the module's.

    Numbers that float32 rounds may put a potential on the other side of its threshold.
    """
    x = example(T)
    recorded = checked.model.origin.record(x.numpy())
    moved = next(batches(checked.graph, x.numpy(), len(x)))
    found = agreement(
        checked.graph, moved, recorded.spikes, recorded.output, counts=recorded.counts
    )
    assert (found.differing, found.output_error < 1e-9) == (0, True)
    with torch.no_grad():
        answer = network.double()(x).numpy()
    mine = Executor(checked.graph).run(moved).output
    assert (np.abs(mine - answer) > 1e-6).mean() < 0.02


def assert_raised(number: int, path: Path, *, dynamo: bool) -> None:
    T = STEPS[number % len(STEPS)]
    network = Layers(NETWORKS[number])
    checked = read(network, T, path, OPSETS[dynamo][number // 4 % 4], dynamo=dynamo)
    assert_is(checked, number, network, T)


def assert_is(checked: Checked, number: int, network: nn.Module, T: int) -> None:
    """Hold what came in to the network that was written."""
    written = NETWORKS[number]
    assert [d.message for d in checked.diagnostics if d.rule.code == "SNN155"] == []
    assert checked.graph.steps == T
    found = {op.source.module: op.attributes() for op in checked.graph.of_kind("neuron")}
    assert found.keys() == {f"layers.{i}" for i in range(len(written))}
    for i, way in enumerate(written):
        fields = wanted(way)
        assert {key: found[f"layers.{i}"][key] for key in fields} == fields, way
    held(checked, network, T)


@pytest.mark.parametrize(
    "number",
    [
        n if n % 30 == 0 else pytest.param(n, marks=pytest.mark.slow)
        for n in range(len(NETWORKS))
    ],
)  # fmt: skip
def test_by_torchscript(number: int, tmp_path: Path) -> None:
    assert_raised(number, tmp_path / "net.onnx", dynamo=False)


@pytest.mark.parametrize(
    "number",
    [n if n == 2 else pytest.param(n, marks=pytest.mark.slow) for n in range(2, len(NETWORKS), 4)],
)
def test_by_the_exporter_of_programs(number: int, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    assert_raised(number, tmp_path / "net.onnx", dynamo=True)


IN_PYTHON = [
    n if n == 4 else pytest.param(n, marks=pytest.mark.slow) for n in range(4, len(NETWORKS), 3)
]


@pytest.mark.parametrize("number", IN_PYTHON)
def test_by_an_exported_program(number: int, tmp_path: Path) -> None:
    T, network = STEPS[number % len(STEPS)], Layers(NETWORKS[number])
    assert_is(read_program(network, T, tmp_path / "net.pt2"), number, network, T)


@pytest.mark.parametrize("number", IN_PYTHON)
def test_by_a_trace(number: int) -> None:
    T, network = STEPS[number % len(STEPS)], Layers(NETWORKS[number])
    assert_is(traced(network, T), number, network, T)


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 5))])
@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_one_time_step(number: int, dynamo: bool, tmp_path: Path) -> None:
    """Neither leak nor reset matter: what fires is the same."""
    network = Layers(NETWORKS[number])
    checked = read(network, 1, tmp_path / "net.onnx", 18, dynamo=dynamo)
    assert [d.message for d in checked.diagnostics if d.rule.code == "SNN155"] == []
    assert len(checked.graph.of_kind("neuron")) == len(NETWORKS[number])
    held(checked, network, 1)


def test_every_way_is_in_a_network() -> None:
    tried = {(way.kind, way.fire, way.reset) for network in NETWORKS for way in network}
    assert tried == set(EVERY)
    assert {way.constants for network in NETWORKS for way in network} == {"numbers", "stored"}
