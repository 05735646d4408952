"""Potentials that never fire, written out in Python and summed over time, in every style."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from snncc.compiler import Checked, check_model, compile_model
from snncc.execute.executor import Executor
from snncc.frontends.load import from_module
from snncc.frontends.torch_export import trace
from snncc.ir.interpret import interpret
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.time_shares import kept_of_last, part_of
from snncc.targets.load import load_target

WIDTH, HIDDEN, CLASSES = 6, 8, 4


@dataclass(frozen=True)
class Style:
    """A readout layer behind one layer of neurons, and how its code is written."""

    T: int = 4
    keep: float = 0.75
    update: str = "sum"
    answer: str = "mean"
    behind: str = "nothing"
    varies: bool = False


UPDATE: dict[str, Callable[[Any, Tensor, float], Any]] = {
    "sum": lambda v, x, keep: keep * v + x,
    "turned": lambda v, x, keep: x + v * keep,
    "toward": lambda v, x, keep: v + (1 - keep) * (x - v),
    "to another rest": lambda v, x, keep: v + (1 - keep) * (x - (v - 0.5)),
    "biased": lambda v, x, keep: keep * v + x + 0.125,
    "interpolated": lambda v, x, keep: torch.lerp(x, torch.as_tensor(v).to(x).expand_as(x), keep),
}
ANSWER: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "mean": lambda every: torch.stack(every).mean(0),
    "sum": lambda every: torch.stack(every, 1).sum(1),
    "of Python": lambda every: sum(every[1:], every[0]) / len(every),
    "total": lambda every: sum(every, torch.zeros_like(every[0])),
    "each": lambda every: sum((each / len(every) for each in every), torch.zeros(())),
    "scaled": lambda every: torch.stack(every).sum(0) * 0.5,
}
BEHIND: dict[str, Callable[[Any, Tensor], Any]] = {
    "nothing": lambda v, _: v,
    "gain": lambda v, _: 0.5 * v,
    "number": lambda v, _: v - 0.25,
    "stored": lambda v, bias: v + bias,
}


class Readout(nn.Module):
    """``fc1``, neurons, ``fc2``, and potentials that leak and never fire."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        self.fc1, self.fc2 = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, CLASSES)
        self.bias = nn.Parameter(torch.arange(CLASSES) / 8)
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for each in (*self.fc1.parameters(), *self.fc2.parameters()):
                each.copy_(torch.randint(-8, 12, each.shape, generator=generator) / 8)

    def forward(self, x: Tensor) -> Tensor:
        """Return what is read of the potentials."""
        v: Any = 0.0
        read: Any = 0.0
        every = []
        for t in range(self.style.T):
            v = 0.5 * v + self.fc1(x[:, t] if self.style.varies else x)
            spikes = (v > 1).to(v.dtype)
            v = v * (1 - spikes)
            read = self.updated(read, spikes)
            every.append(BEHIND[self.style.behind](read, self.bias))
        return self.answer(every)

    def updated(self, read: Any, spikes: Tensor) -> Any:
        return UPDATE[self.style.update](read, self.fc2(spikes), self.style.keep)

    def answer(self, every: list[Tensor]) -> Tensor:
        return torch.as_tensor(ANSWER[self.style.answer](every))


def style(seed: int) -> Style:
    """A readout and a way to write it, at random."""
    dice = Random(seed)  # noqa: S311
    return Style(
        T=dice.choice((2, 3, 5, 8)),
        keep=dice.choice((0.5, 0.75, 0.9)),
        update=dice.choice(tuple(UPDATE)),
        answer=dice.choice(tuple(ANSWER)),
        behind=dice.choice(tuple(BEHIND)),
        varies=dice.choice((False, True)),
    )


def images(of: Style) -> Tensor:
    shape = (9, of.T, WIDTH) if of.varies else (9, WIDTH)
    return torch.randint(0, 9, shape, generator=torch.Generator().manual_seed(3)) / 4


def assert_raised(module: Readout, keeps: list[float]) -> None:
    """The keeps are those written, and interpreter and torch answer alike."""
    module, x = module.eval(), images(module.style)
    graph = run_passes(trace(module, x[:1]), FRONT).graph
    found = [op.attributes()["keep"] for op in graph.of_kind("synaptic_current")]
    assert found == pytest.approx(keeps, abs=1e-6)
    assert len(graph.of_kind("linear")) == 2
    shown = x.double().numpy()
    values = interpret(graph, shown.swapaxes(0, 1) if module.style.varies else shown)
    with torch.no_grad():
        wanted = module.double()(x.double()).numpy()
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(values[graph.ops[-1].name], wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("update", UPDATE)
def test_every_way_to_write_a_leak(update: str) -> None:
    assert_raised(Readout(Style(update=update, varies=True)), [0.75])


@pytest.mark.parametrize("answer", ANSWER)
def test_every_way_to_sum(answer: str) -> None:
    assert_raised(Readout(Style(answer=answer, T=3)), [0.75])


@pytest.mark.parametrize("behind", BEHIND)
def test_what_stands_between_potential_and_sum(behind: str) -> None:
    assert_raised(Readout(Style(behind=behind, answer="total")), [0.75])


@pytest.mark.parametrize("T", [2, 3])
@pytest.mark.parametrize("keep", [0.25, 1.0])
def test_shares_of_a_part_and_of_all(T: int, keep: float) -> None:
    assert_raised(Readout(Style(T=T, keep=keep)), [keep])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_many_styles(seed: int) -> None:
    of = style(seed)
    assert_raised(Readout(of), [of.keep])


class Charged(Readout):
    """A current that outlasts a step charges the potential, as Norse's ``LI`` has it."""

    def forward(self, x: Tensor) -> Tensor:
        self.current: Any = 0.0
        return super().forward(x)

    def updated(self, read: Any, spikes: Tensor) -> Any:
        jumped = self.current + self.fc2(spikes)
        self.current = jumped - 0.2 * jumped
        return read + 0.1 * ((0.0 - read) + jumped)


@pytest.mark.parametrize("T", [3, 6])
def test_a_current_in_front_of_the_potential(T: int) -> None:
    assert_raised(Charged(Style(T=T)), [0.9, 0.8])


class Skipped(Readout):
    """Another layer, which enters the answer without a leak."""

    def __init__(self, style: Style) -> None:
        super().__init__(style)
        self.other = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        self.beside: list[Tensor] = []
        return super().forward(x) + torch.as_tensor(sum(self.beside)) / 8

    def updated(self, read: Any, spikes: Tensor) -> Any:
        self.beside.append(self.other(spikes))
        return super().updated(read, spikes)


def test_another_layer_beside_it() -> None:
    module = Skipped(Style()).eval()
    x = images(module.style)
    graph = run_passes(trace(module, x[:1]), FRONT).graph
    assert [op.attributes()["keep"] for op in graph.of_kind("synaptic_current")] == [0.75]
    assert len(graph.of_kind("linear")) == 3
    values = interpret(graph, x.double().numpy())
    wanted = module.double()(x.double()).detach().numpy()
    np.testing.assert_allclose(values[graph.ops[-1].name], wanted, rtol=1e-6, atol=1e-6)


class Read(Readout):
    """Something else is read than the sum."""

    def __init__(self, what: str) -> None:
        super().__init__(Style())
        self.what = what

    def answer(self, every: list[Tensor]) -> Tensor:
        return READ[self.what][0](every)


APART = " reads the potential of each time step of a layer that never fires, wanted its sum or mean"
LAST = "the last value is read of a potential that never fires and keeps 0.75 of itself"
SHARES = (
    "time steps enter a sum with shares that are neither equal nor those of a potential that leaks:"
)
READ: dict[str, tuple[Callable[[list[Tensor]], Tensor], str]] = {
    "last": (lambda every: every[-1], LAST),
    "last of all": (lambda every: torch.stack(every)[-1], LAST),
    "maximum": (lambda every: torch.stack(every).max(0)[0], f"`aten.max[0]`{APART}"),
    "maximum, values": (lambda every: torch.stack(every, 1).amax(1), f"`aten.amax`{APART}"),
    "softmax": (
        lambda every: torch.stack([each.softmax(1) for each in every]).sum(0),
        f"`aten.softmax`{APART}",
    ),
    "all": (torch.stack, f"the answer{APART}"),
    "some": (
        lambda every: every[1] + every[2],
        f"{SHARES} from the last step back 1, 1.75, 1.3125",
    ),
}  # fmt: skip


def checked(module: nn.Module, x: Tensor) -> Checked:
    return check_model(from_module(module.eval(), x))


@pytest.mark.parametrize("what", READ)
def test_what_is_no_sum_is_told_once(what: str) -> None:
    module = Read(what)
    found = checked(module, images(module.style)[:2]).diagnostics
    (cause,) = (d for d in found if d.severity and d.rule.code != "SNN202" and not d.follows)
    assert cause.rule.code == "SNN148"
    assert cause.message.startswith(READ[what][1])
    assert cause.because == ("it is made of `fc2` (linear)",)
    assert {"SNN150"} <= {d.rule.code for d in found if d.follows == cause}


class Softmax(Readout):
    """What is made of the sum is not the potentials' matter."""

    def answer(self, every: list[Tensor]) -> Tensor:
        return super().answer(every).softmax(1)


def test_what_reads_the_sum_is_told_by_itself() -> None:
    module = Softmax(Style())
    codes = {d.rule.code for d in checked(module, images(module.style)[:2]).diagnostics}
    assert not codes & {"SNN148", "SNN150"}


class Late(Readout):
    """The spikes of some time steps are added up: there is no potential in that."""

    def updated(self, read: Any, spikes: Tensor) -> Any:
        return self.fc2(spikes)

    def answer(self, every: list[Tensor]) -> Tensor:
        return every[1] + every[3]


def test_a_sum_of_some_steps_is_no_readout_layer() -> None:
    module = Late(Style())
    codes = {d.rule.code for d in checked(module, images(module.style)[:2]).diagnostics}
    assert "SNN150" in codes
    assert "SNN148" not in codes


def test_integers_answer_as_the_floats_do() -> None:
    module = Readout(Style(T=6, keep=0.9)).eval()
    x = images(module.style)
    model = from_module(module, x[:2])
    compiled = compile_model(model, target=load_target("loihi2"), calibration=x.double().numpy())
    integers = Executor(compiled.integer).run(x.double().numpy()).output
    wanted = module(x).detach().numpy()
    off = np.abs(integers * scale_of(integers, wanted) - wanted).max()
    assert off < 0.02 * np.abs(wanted).max()


def scale_of(integers: Any, wanted: Any) -> float:
    return float((integers * wanted).sum() / (integers * integers).sum())


SHARE = st.fractions(min_value="1/16", max_value=1, max_denominator=64)


@given(st.lists(SHARE, max_size=2), st.fractions(-8, 8, max_denominator=16).filter(bool),
       st.integers(3, 9))  # fmt: skip
def test_shares_tell_what_is_kept(keeps: list[Fraction], gain: Fraction, steps: int) -> None:
    shares = summed(keeps, gain, steps)
    part = part_of(shares)
    assert part is not None
    assert part.gain == gain
    assert [float(each) for each in sorted(part.keeps)] == pytest.approx(
        [float(each) for each in sorted(keeps)], abs=1e-6
    )
    again = summed(part.keeps, part.gain, steps)
    assert np.allclose(np.array(again, float), np.array(shares, float), rtol=1e-6)


def summed(keeps: Any, gain: Fraction, steps: int) -> list[Fraction]:
    """The shares of all time steps, the last one first, by running it."""
    found = []
    for length in range(1, steps + 1):
        received = [Fraction(1), *[Fraction(0)] * (length - 1)]
        for keep in keeps:
            value = Fraction(0)
            for t, each in enumerate(received):
                value = keep * value + each
                received[t] = value
        found.append(gain * sum(received))
    return found


@pytest.mark.parametrize("shares", [(1, 0.5, 0.25), (0, 1, 2), (1, 3, 9), (1, 0, 0), (1, -1, 1)])
def test_other_shares_are_no_sum_of_a_leak(shares: tuple[float, ...]) -> None:
    assert part_of([Fraction(each) for each in shares]) is None


def test_shares_of_a_last_value() -> None:
    assert kept_of_last([Fraction(2), Fraction(1), Fraction(1, 2)]) == Fraction(1, 2)
    assert kept_of_last([Fraction(0), Fraction(1), Fraction(1)]) is None
    assert kept_of_last([Fraction(1), Fraction(1, 2), Fraction(1)]) is None
