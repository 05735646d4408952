"""A plain perceptron on 784 pixels of 8 bits goes to lava-dl, and fires the same on any image."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.artefact import read_artefact
from snncc.backends.lava.netx import run_netx
from snncc.backends.netx.write import write_netx
from snncc.cli.guard import guarded
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Array, Graph
from snncc.ir.interpret import interpret
from snncc.models.neuron import LIF


class Perceptron(nn.Module):
    """784-32-10, as everyone's first network."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.l = nn.Linear(784, 32), LIF()
        self.b, self.k = nn.Linear(32, 10), LIF()

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes of four time steps, summed."""
        current = self.a(x.flatten(1)).repeat(4, 1, 1)
        return self.k(self.b(self.l(current))).sum(0)


def images(n: int = 6) -> Array:
    return np.random.default_rng(0).integers(0, 256, (n, 1, 28, 28)).astype(np.float32) / 255


def network() -> Perceptron:
    torch.manual_seed(0)
    made = Perceptron().eval()
    with torch.no_grad():
        made.a.weight.mul_(4)
        made.b.weight.mul_(6)
    return made


def compiled(*, fit_widths: bool) -> Graph:
    """The integers of the perceptron."""
    return snncc.compile(
        network(), torch.zeros(1, 1, 28, 28), target="loihi2", data=images(32),
        fit_widths=fit_widths,
    ).integer  # fmt: skip


def worst(graph: Graph) -> Array:
    """Images that drive some neurons as far up, and as far down, as any image can."""
    weight = np.asarray(graph.weights["a.weight"])[:4]
    return np.concatenate([weight > 0, weight < 0]).reshape(-1, 1, 28, 28).astype(np.float32)


def test_lava_dl_fires_the_same_on_noise_and_on_the_worst_images(tmp_path: Path) -> None:
    pytest.importorskip("lava.magma")
    pytest.importorskip("lava.lib.dl")
    graph = compiled(fit_widths=True)
    write_netx(graph, tmp_path / "a.net")
    shown = np.concatenate([images(), worst(graph)])
    values = interpret(graph, shown)
    entry = values["input.repeat"] if "input.repeat" in values else values["input"]
    entry = np.broadcast_to(entry, (4, *entry.shape[-4:])).reshape(4, len(shown), 1, 28, 28)
    spikes = run_netx(tmp_path / "a.net", entry, graph.steps)
    last = values[graph.of_kind("integer_neuron")[-1].name]
    assert last.any()
    assert np.array_equal(spikes.reshape(last.shape), last)


def test_integers_that_could_wrap_are_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(SnnccError, match="wraps at 8388608") as refused:
        write_netx(compiled(fit_widths=False), tmp_path / "a.net")
    (found,) = refused.value.diagnostics
    assert (found.rule.code, found.hint) == (
        "SNN182", "compile with --fit-widths, as `snncc convert MODEL OUT.net` does",
    )  # fmt: skip


def wide() -> tuple[nn.Module, Tensor]:
    """What the command line builds."""
    return network(), torch.zeros(1, 1, 28, 28)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> str:
    """The perceptron as a command takes it."""
    monkeypatch.setitem(sys.modules, "wide_network", sys.modules[__name__])
    return "wide_network:wide"


def test_convert_compiles_what_fits_and_says_so(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(["convert", model, str(tmp_path / "a.net"), "--target", "loihi2"]) == 0
    said = capsys.readouterr().err
    assert "note[SNN306]: the input is read in " in said
    assert "note[SNN306]: `l`: its currents count in units " in said
    assert (tmp_path / "a.net").exists()


def test_an_artefact_is_written_where_it_was_made_to_fit(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, option in (("wide", []), ("fits", ["--fit-widths"])):
        to = str(tmp_path / name)
        assert guarded(["compile", model, "--target", "loihi2", "-o", to, *option]) == 0
    capsys.readouterr()
    assert guarded(["convert", str(tmp_path / "wide"), str(tmp_path / "wide.net")]) == 2
    assert "compile with --fit-widths" in capsys.readouterr().err
    assert guarded(["convert", str(tmp_path / "fits"), str(tmp_path / "fits.net")]) == 0
    assert read_artefact(tmp_path / "fits").manifest["options"]["fit_widths"] is True
