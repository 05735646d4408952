"""Inputs `[T, B, ...]`: a module, a factory and an exported program, with `batch_axis=1`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.compiler import check_model
from snncc.diagnostics.core import SnnccError
from snncc.execute.agreement import agreement
from snncc.execute.executor import Executor
from snncc.frontends.load import from_module, load_model
from snncc.frontends.model import Model

STEPS = 4


class Events(nn.Module):
    """Events of four time steps, `[T, B, 2, 6, 6]`, each with a frame of its own."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Linear(36, 3)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        v, answers = torch.zeros(()), []
        for frame in x.unbind(1 - self.axis):
            v = 0.5 * v + 2 * self.conv(frame)
            spikes = (v > 0.5).float()
            v = v * (1 - spikes)
            answers.append(self.fc(spikes.flatten(1)))
        return torch.stack(answers).mean(0)


def build() -> tuple[nn.Module, Tensor]:
    return Events().eval(), torch.zeros(STEPS, 1, 2, 6, 6)


def by_module(path: Path) -> Model:
    return from_module(*build(), batch_axis=1)


def by_factory(path: Path) -> Model:
    return load_model(f"{__name__}:build", settings={"batch_axis": "1"})


def by_factory_and_shape(path: Path) -> Model:
    spec = f"{__name__}:build"
    return load_model(spec, settings={"batch_axis": "1"}, example_shape=(STEPS, 2, 6, 6))


def by_weights(path: Path) -> Model:
    torch.save(build()[0].state_dict(), path / "weights.pth")
    settings = {"batch_axis": "1"}
    return load_model(str(path / "weights.pth"), network=f"{__name__}:build", settings=settings)


def by_program(samples: int, *, opened: bool = False) -> Callable[[Path], Model]:
    def load(path: Path) -> Model:
        network, _ = build()
        shapes = {"x": {1: torch.export.Dim.DYNAMIC}} if opened else None
        example = torch.zeros(STEPS, samples, 2, 6, 6)
        program = torch.export.export(network, (example,), dynamic_shapes=shapes)
        torch.export.save(program, path / "net.pt2")
        settings = {"batch_axis": "1"}
        return load_model(str(path / "net.pt2"), trust_pickle=True, settings=settings)

    return load


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


@pytest.mark.parametrize(
    "load",
    [by_module, by_factory, by_factory_and_shape, by_weights, by_program(1), by_program(2),
     by_program(3, opened=True)],
)  # fmt: skip
def test_a_batch_behind_time_is_read(load: Callable[[Path], Model], tmp_path: Path) -> None:
    model = load(tmp_path)
    assert model.input_shape == (STEPS, 2, 6, 6)
    checked = check_model(model)
    assert checked.clean
    in_front = check_model(from_module(Events(0).eval(), torch.zeros(1, STEPS, 2, 6, 6)))
    kinds, wanted = ([op.kind for op in each.graph.ops] for each in (checked, in_front))
    assert kinds == wanted
    x = torch.rand(5, STEPS, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    own = checked.model.origin.record(x.double().numpy())
    timely = x.movedim(0, 1).double().numpy()
    assert agreement(checked.graph, timely, own.spikes, own.output).equal
    with torch.no_grad():
        answer = build()[0](x.movedim(0, 1)).numpy()
    mine = Executor(checked.graph).run(timely).output
    np.testing.assert_allclose(mine, answer, atol=1e-5)


def test_it_is_compiled_on_samples_in_front() -> None:
    data = torch.rand(6, STEPS, 2, 6, 6, generator=torch.Generator().manual_seed(2))
    compiled = snncc.compile(*build(), target="loihi2", data=data, batch_axis=1)
    assert compiled.agreement.equal


def test_without_it_the_finding_says_what_to_give() -> None:
    network = Events()
    found = snncc.check(network.eval(), torch.zeros(STEPS, 2, 2, 6, 6)).diagnostics
    (hint,) = (d.hint for d in found if d.message.endswith("takes the batch for time"))
    assert hint.endswith("where the network itself is given [T, B, ...], `--set batch_axis=1`")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_axis": "2"}, "`batch_axis=2`: wanted 0 or 1"),
        ({"T": "4"}, "a network of your own has no setting but `batch_axis`, and `T` is given"),
    ],
)
def test_other_settings_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(SnnccError, match=message):
        load_model(f"{__name__}:build", settings=settings)
