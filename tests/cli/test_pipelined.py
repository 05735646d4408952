"""`simulate --pipelined`: as a chip runs it, held to the reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snncc.artefact import Artefact, read_artefact
from snncc.backends.simulate import sites_of
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Graph
from snncc.ir.memory import step
from snncc.ir.sites import Sites
from snncc.passes.balance_delays import pipelined

Snncc = Callable[..., Any]


def test_a_pipelined_run_is_held_to_the_executor(
    snncc: Snncc, artefact: Path, samples: Path
) -> None:
    common = ("simulate", artefact, "--input", samples, "--verify")
    document = json.loads(snncc(*common, "--pipelined", "--format", "json").out)
    plain = json.loads(snncc(*common, "--format", "json").out)
    expected = pipelined(read_artefact(artefact).integer)
    assert document["verified"] is True
    assert document["spikes_compared"] == plain["spikes_compared"] > 0
    assert document["predictions"] == plain["predictions"]
    assert plain["pipelined"] is None
    assert document["pipelined"] == {
        "clock_steps": 6 * 2 + max(late or 0 for late in expected.latency_of.values()),
        "depth": expected.depth,
        "latency": expected.depth + 2,
        "interval": 2,
    }


def test_it_says_how_long_an_answer_takes(snncc: Snncc, artefact: Path, samples: Path) -> None:
    done = snncc("simulate", artefact, "--input", samples, "--pipelined")
    depth = pipelined(read_artefact(artefact).integer).depth
    assert done.code == 0
    line = next(line for line in done.out.splitlines() if line.startswith("pipelined"))
    assert line == (
        f"pipelined: {depth + 12} clock steps, a sample every 2, "
        f"its answer {depth + 2} steps after its first frame"
    )


def test_a_spike_that_differs_is_an_exit_code(
    snncc: Snncc, artefact: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: Any) -> Any:
        spikes, after = step(*given)
        return 0 * spikes, after

    monkeypatch.setattr("snncc.execute.pipelined.step", never)
    done = snncc("simulate", artefact, "--input", samples, "--pipelined", "--verify")
    assert done.code == 1
    assert "NOT EQUAL" in done.out


def test_ends_run_where_the_artefact_was_compiled_to() -> None:
    empty = Graph(())
    assert sites_of(Artefact(empty)) == Sites()
    wrong: tuple[Any, ...] = ({"encoder": "gpu"}, {"head": 3}, "none", [])
    for options in wrong:
        with pytest.raises(SnnccError, match="the manifest's options are damaged"):
            sites_of(Artefact(empty, manifest={"options": options}))
    there = Artefact(empty, manifest={"options": {"encoder": "host", "head": "chip"}})
    assert sites_of(there) == Sites("host", "chip")


def compiled(snncc: Snncc, model: Path, *options: object) -> tuple[dict[str, Any], Any]:
    """The report of a compile, and how it ended."""
    done = snncc("compile", model, "--target", "loihi2", "-o", "out", *options)
    assert done.code == 0, done.err
    report: dict[str, Any] = json.loads(Path("out/report.json").read_text())
    return report["timing"], done


def test_a_compile_says_when_answers_come(snncc: Snncc, compliant: Path, samples: Path) -> None:
    timing, done = compiled(snncc, compliant, "--data", samples)
    pipeline = pipelined(read_artefact(Path("out")).integer)
    assert timing["latency"] == pipeline.latency
    assert timing["delay_memory_bits"] == sum(line.memory_bits for line in pipeline.buffers) > 0
    assert f"an answer {pipeline.latency} clock steps after its first frame" in done.out
    assert all(line.value in done.out for line in pipeline.buffers)
    assert max(len(line) for line in done.out.splitlines()) <= 100
    assert "what waits" in Path("out/report.md").read_text()


def test_both_ends_are_priced_both_ways(snncc: Snncc, compliant: Path, samples: Path) -> None:
    """The encoder and the head, each on the host and on the chip, whichever was chosen."""
    compiled(snncc, compliant, "--data", samples, "--encoder", "host")
    report = json.loads(Path("out/report.json").read_text())
    rows = {row["path"]: row for row in report["products"]}
    assert [(e["end"], e["runs_on"]) for e in report["ends"]] == [
        ("encoder", "host"),
        ("head", "host"),
    ]
    for end in report["ends"]:
        row = rows[end["path"]]
        assert end["synaptic_ops"] == row["synaptic_ops"] > 0
        assert end["host_energy_mj"] == row["energy_mj"]["counted-45nm"]
        assert end["chip_energy_mj"] == pytest.approx(row["synaptic_ops"] * 23.6e-9)
        assert end["chip_prices"] == "loihi1"
    text = Path("out/report.md").read_text()
    assert "encoder patch_embed.block0_conv, on the host: " in text
    assert "(synapses alone, at the price of loihi1)" in " ".join(text.split())


def test_ends_on_the_host_are_kept_in_the_artefact(snncc: Snncc, compliant: Path) -> None:
    usual, done = compiled(snncc, compliant)
    assert "pipelined: an answer" in done.err
    assert (usual["encoder"], usual["head"]) == ("chip", "host")
    ends, _ = compiled(snncc, compliant, "--encoder", "host", "--head", "chip")
    found = read_artefact(Path("out"))
    assert sites_of(found) == Sites("host", "chip")
    assert (ends["encoder"], ends["head"]) == ("host", "chip")
    assert ends["depth"] == pipelined(found.integer, Sites("host", "chip")).depth


def test_ends_run_on_the_host_or_on_the_chip(snncc: Snncc, compliant: Path) -> None:
    done = snncc("compile", compliant, "--target", "loihi2", "--encoder", "gpu")
    assert done.code == 2
    assert "'gpu' is not one of 'host', 'chip'" in done.err
