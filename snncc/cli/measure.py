"""The command that runs an artefact on data: ``simulate``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from snncc.cli import EXIT_CLEAN, EXIT_FINDINGS
from snncc.cli.call import data_of
from snncc.cli.options import LIMIT, all_of, form
from snncc.cli.progress import working
from snncc.cli.scale import SCALE, Scale, sharded
from snncc.cli.screen import result, result_json, say


@click.command()
@click.argument("artefact", type=click.Path(path_type=Path))
@click.option("--input", "data", required=True, metavar="D", help="Samples, as for --data.")
@click.option(
    "--backend",
    type=click.Choice(["executor", "lava"]),
    default="executor",
    show_default=True,
    help="Where it runs.",
)
@click.option("--verify", is_flag=True, help="Hold every spike of every layer to the reference.")
@click.option(
    "--granularity",
    type=click.Choice(["stage", "operator"]),
    default="stage",
    show_default=True,
    help="Lava: one process a stage or one an operator.",
)
@click.option(
    "--pipelined",
    is_flag=True,
    help="Run as a chip does: every connection takes a step, samples back to back.",
)
@click.option(
    "--conformance",
    is_flag=True,
    help="Hold each layer to Lava's stock processes, on two samples.",
)
@all_of(LIMIT, *SCALE)
@form("text", "json")
def simulate(  # noqa: PLR0913 - one for each option
    artefact: Path,
    data: str,
    backend: Any,
    verify: bool,
    granularity: Any,
    pipelined: bool,
    conformance: bool,
    limit: int | None,
    form: str,
    workers: int | None,
    scheduler: str | None,
) -> int:
    """Run ARTEFACT on samples; exit code 1 where a spike differs from the reference."""
    from snncc.artefact import read_artefact

    scale = Scale(workers, scheduler)
    scale.check(_takes_all(backend, pipelined=pipelined))
    found = read_artefact(artefact)
    dataset = data_of(data, found.integer, limit)
    from snncc.backends import simulate as lane

    with sharded(scale, f"running {len(dataset)} samples in {backend}") as run:
        ran = lane.simulate(
            found, dataset, backend=backend, check=verify, granularity=granularity,
            clocked=pipelined, run=run,
        )  # fmt: skip
    say(f"{len(dataset)} samples in {ran.seconds:.1f} s")
    if conformance:
        with working("running Lava's stock processes"):
            ran = dataclasses.replace(ran, conformance=lane.conform(found, dataset))
    if form == "json":
        result_json(lane.simulation_document(ran))
    else:
        result(lane.simulation_text(ran, found))
    return EXIT_CLEAN if ran.equal else EXIT_FINDINGS


def _takes_all(backend: str, *, pipelined: bool) -> str:
    """Return why samples cannot be run in shards; nothing where they can."""
    if pipelined:
        return "a pipeline takes all samples back to back"
    return "Lava takes all samples in one run" if backend == "lava" else ""
