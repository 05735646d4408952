"""The placement in reports: it fits its schema and the screen, and says what was estimated."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from torch import Tensor, nn

import snncc
from snncc.artefact import read_artefact
from snncc.backends.report.placed import Placed, placed, placed_document, placed_line, placed_text
from snncc.diagnostics.core import Diagnostic, Severity, SnnccError
from snncc.ir import domain as dom
from snncc.ir.graph import Graph, Op
from snncc.ir.ops import Concat, Conv, Input, IntegerNeuron, Linear, Output, Readout, Reshape, Sum
from snncc.ir.sites import Sites
from snncc.ir.substeps import Thermometer
from snncc.mapping.check import require_placement
from snncc.mapping.placement import from_document, read_placement, to_document
from snncc.models.neuron import LIF
from snncc.targets.load import load_target

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def neurons(name: str, reads: str) -> Op:
    return IntegerNeuron(name=name, inputs=(reads,), threshold="t", decay=2048, shift=0)


def graph(levels: bool = False) -> Graph:
    ones = (1, 1)
    ops: list[Op] = [
        Input(name="x", shape=(1, 6, 6), domain=dom.integers(0, 1), varies=True),
        Conv(name="c", inputs=("x",), weight="w", stride=ones, padding=ones, dilation=ones),
        neurons("s", "c"),
        Thermometer(name="th", inputs=("s",), levels=2),
        Conv(
            name="d", inputs=("th" if levels else "s",), weight="v", stride=ones, padding=ones,
            dilation=ones,
        ),
        Sum(name="added", inputs=("d",), axes=(0,)),
        neurons("o", "added" if levels else "d"),
        Reshape(name="f", inputs=("o",), shape=(144,)),
        Linear(name="l", inputs=("f",), weight="h"),
        Readout(name="r", inputs=("l",), steps=3),
        Output(name="y", inputs=("r",)),
    ]  # fmt: skip
    kept = ops if levels else [op for op in ops if op.name not in ("th", "added")]
    shapes = {"w": (4, 1, 3, 3), "v": (4, 4, 3, 3), "h": (10, 144)}
    rng = np.random.default_rng(0)
    weights = {name: rng.integers(-5, 9, shape).astype(np.int8) for name, shape in shapes.items()}
    return Graph(tuple(kept), {**weights, "t": np.array(9)}, "step", 3)


SAMPLE = np.random.default_rng(1).integers(0, 2, (3, 1, 6, 6))


def found(sites: Sites | None = None, *, sample: bool = True, **limits: int) -> Placed:
    target = load_target("loihi2")
    cores = target.limits["cores"]
    given = {key: dataclasses.replace(cores, value=most) for key, most in limits.items()}
    target = dataclasses.replace(target, limits={**target.limits, **given})
    result = placed(graph(), target, sites or Sites(), 8, SAMPLE if sample else None)
    assert isinstance(result, Placed)
    return result


def test_the_documents_fit_their_schemas() -> None:
    result = found()
    placement, machine = to_document(result.placement), placed_document(result)["machine"]
    for document in (placement, machine):
        file = SCHEMAS / f"{document['schema'].replace('/', '-')}.json"
        schema = Draft202012Validator(json.loads(file.read_text()))
        schema.validate(json.loads(json.dumps(document)))
        assert set(document) == set(json.loads(file.read_text())["properties"])
        for key in json.loads(file.read_text())["required"]:
            assert not schema.is_valid({k: v for k, v in document.items() if k != key}), key


def test_the_text_fits_the_screen_and_says_what_is_estimated() -> None:
    text = placed_text(found(neurons_per_core=40))
    assert max(len(line) for line in text.splitlines()) <= 100
    words = " ".join(text.split())
    assert "(estimated)" in words
    assert "no energy of loihi2 is published; by that of loihi1" in words
    assert "not published" in words
    assert "placed: 8 cores on 1 chip of loihi2, 6.2 % of their cores" in words


def test_every_step_event_and_the_fullest_links_can_be_read() -> None:
    result = found(neurons_per_core=10)
    assert result.run is not None
    text = placed_text(result)
    assert max(len(line) for line in text.splitlines()) <= 100
    rows = [line.split() for line in text.splitlines()]
    for step, (term, where) in enumerate(
        zip(result.run.times.binding, result.run.times.where, strict=True)
    ):
        row = next(row for row in rows if row and row[0] == str(step))
        assert " ".join(row).find(f"{term} {where}".strip()) > 0
        assert f"{where} holds" in text or not where.startswith("core")
    for event, times in result.run.events.items():
        row = next(row for row in rows if row and row[0] == event)
        assert row[1] == f"{times:,}"
    (way, x, y), packets = next(result.run.ways.by_link())
    line = next(line for line in text.splitlines() if line.startswith(f"{way} of tile {x},{y}"))
    assert line.split()[-2:] == [f"{int(packets.max()):,}", f"{int(packets.sum()):,}"]
    document = placed_document(result)["machine"]
    assert sum(link["packets"] for link in document["links"]) == result.run.hops
    assert all(0 < step["busy"] <= 1 for step in document["steps"])
    longest = [max(step["terms"].values()) for step in document["steps"]]
    assert longest == [step["time_ns"] for step in document["steps"]]


def test_without_data_nothing_is_run() -> None:
    result = found(sample=False)
    assert result.run is None
    assert placed_document(result)["machine"] is None
    assert "estimated" not in placed_text(result)
    assert placed_line(result).startswith("placed: 1 core on 1 chip")


@pytest.mark.parametrize(
    ("sites", "on_cores"),
    [
        (Sites("chip", "host"), {"s", "o"}),
        (Sites("host", "host"), {"o"}),
        (Sites("chip", "chip"), {"s", "o", "r"}),
    ],
)
def test_what_the_host_runs_is_on_no_core(sites: Sites, on_cores: set[str]) -> None:
    result = found(sites)
    held = {part.population for core in result.placement.cores for part in core.parts}
    assert held == on_cores
    again = from_document(json.loads(json.dumps(to_document(result.placement))))
    assert again.sites == sites
    require_placement(graph(), again, result.target)
    assert result.run is not None
    assert int(result.run.loads.from_host.sum()) > 0


def test_a_network_may_leave_the_chip_empty() -> None:
    """All neurons are the encoder's, and the host runs that."""
    kept = [op for op in graph().ops if op.name not in ("d", "o", "f", "l")]
    alone = Graph(
        tuple(replace(op, inputs=("s",)) if op.name == "r" else op for op in kept),
        graph().weights, "step", 3,
    )  # fmt: skip
    result = placed(alone, load_target("loihi2"), Sites("host", "host"), 8, SAMPLE)
    assert isinstance(result, Placed)
    assert result.placement.cores == ()
    assert placed_text(result) == "placed: nothing runs on loihi2, all of it on the host\n"
    assert placed_document(result)["machine"] is None


def test_sub_steps_are_placed_and_each_takes_a_barrier() -> None:
    plain, unrolled = (
        placed(graph(levels), load_target("loihi2"), Sites(), 8, SAMPLE) for levels in (False, True)
    )
    assert isinstance(plain, Placed)
    assert isinstance(unrolled, Placed)
    assert unrolled.placement == plain.placement
    assert plain.run is not None
    assert unrolled.run is not None
    assert unrolled.run.loads.steps == 2 * plain.run.loads.steps
    assert unrolled.run.operations == plain.run.operations


def test_what_no_core_holds_is_compiled_but_placed_nowhere() -> None:
    """Two copies of a layer side by side: each of its neurons is read at two places."""
    twice = Concat(name="twice", inputs=("s", "s"), axis=2)
    ops = [replace(op, inputs=("twice",)) if op.name == "d" else op for op in graph().ops]
    ops.insert(3, twice)
    ops = [op for op in ops if op.name not in ("f", "l")]
    ops[-2] = replace(ops[-2], inputs=("o",))
    other = Graph(tuple(ops), graph().weights, "step", 3)
    result = placed(other, load_target("loihi2"), Sites(), 8, SAMPLE)
    assert isinstance(result, Diagnostic)
    assert (result.rule.code, result.severity) == ("SNN421", Severity.NOTE)
    assert "`s` (integer_neuron): is read at several places by one operation" in result.message
    assert "neurons of its own" in result.hint


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SnnccError, match=r"\[SNN420\] the smallest part of `o` needs 36 input"):
        found(axons_in_per_core=35)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.fc, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.first, self.second = LIF(v_threshold=0.1), LIF()

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.first(self.stem(x.expand(3, *x.shape)))
        return self.head(self.second(self.fc(spikes))).mean(0)


def test_compile_writes_a_placement_that_the_checker_reads(tmp_path: Path) -> None:
    data = torch.rand(5, 4, generator=torch.Generator().manual_seed(1))
    snncc.compile(Net(), torch.zeros(1, 4), target="loihi2", data=data, output=tmp_path / "a")
    artefact = read_artefact(tmp_path / "a")
    placement = read_placement(tmp_path / "a" / "placement.json")
    usage = require_placement(artefact.integer, placement, load_target("loihi2"))
    assert int(usage.neurons.sum()) == 16
    report = artefact.documents["report.json"]["placement"]
    assert (report["cores"], report["chips"]) == (1, 1)
    assert report["machine"]["operations"] > 0
    assert "placed: 1 core on 1 chip of loihi2" in artefact.documents["report.md"]


class Forked(Net):
    """Two layers read the first: each of its neurons sends to two populations."""

    def __init__(self) -> None:
        super().__init__()
        self.other, self.third = nn.Linear(8, 8), LIF()

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.first(self.stem(x.expand(3, *x.shape)))
        both = torch.cat([self.second(self.fc(spikes)), self.third(self.other(spikes))], -1)
        return both.mean(0)


def test_compile_refuses_what_does_not_fit_and_writes_nothing(tmp_path: Path) -> None:
    own = tmp_path / "few.toml"
    text = (resources.files("snncc.targets") / "loihi2.toml").read_text(encoding="utf-8")
    few = 'axons_out_per_core = { value = 1, per = "core", source = "mine" }'
    own.write_text(text.replace("[limits]", f"[limits]\n{few}"), encoding="utf-8")
    with pytest.raises(SnnccError) as error:
        snncc.compile(Forked(), torch.zeros(1, 4), target=str(own), output=tmp_path / "a")
    assert {d.rule.code for d in error.value.diagnostics} == {"SNN420"}
    assert "needs 2 output axons, a core has 1" in str(error.value)
    assert not (tmp_path / "a").exists()
