"""Commands that run a network on data: ``energy``, ``simulate``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from snncc.cli import EXIT_CLEAN, EXIT_FINDINGS
from snncc.cli.call import data_of, energy_model_of, is_artefact, model_of
from snncc.cli.options import DATA, LIMIT, MODEL, MODEL_OPTIONS, all_of, form
from snncc.cli.rules import DATA_WANTED
from snncc.cli.screen import result, result_json, say, working
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Source


@click.command()
@all_of(MODEL, *MODEL_OPTIONS, DATA, LIMIT)
@click.option(
    "--energy-model", "prices", default="paper-45nm", show_default=True, metavar="NAME|FILE",
    help="What an operation costs: paper-45nm, counted-45nm, or a file of your own.",
)  # fmt: skip
@form("text", "json", "csv")
def energy(
    model: str, data: str | None, limit: int | None, prices: str, form: str, **options: Any
) -> int:
    """Price the operations of MODEL, or of an artefact, on data."""
    priced = energy_model_of(prices)
    if data is None:
        message = "energy is priced from spikes, and no data are given"
        raise SnnccError(DATA_WANTED.at(Source(), message, hint="give samples with --data"))
    from snncc.backends.report.energy import energy_csv, measured, measured_artefact
    from snncc.backends.report.text import energy_text
    from snncc.execute.weights import require_weights

    if is_artefact(model):
        from snncc.artefact import read_artefact

        artefact = read_artefact(Path(model))
        dataset = data_of(data, artefact.integer, limit)
        with working("counting"):
            document = measured_artefact(artefact, dataset.inputs, priced)
    else:
        loaded = model_of(model, **options)
        with working("tracing"):
            from snncc.compiler import check_model

            checked = check_model(loaded)
        require_weights(checked.graph, checked.name)
        dataset = data_of(data, checked.graph, limit)
        with working("counting"):
            document = measured(checked, dataset.inputs, priced)
    if form == "json":
        result_json(document)
    else:
        result(energy_csv(document) if form == "csv" else energy_text(document))
    return EXIT_CLEAN


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
    "--conformance",
    is_flag=True,
    help="Hold each layer to Lava's stock processes, on two samples.",
)
@all_of(LIMIT)
@form("text", "json")
def simulate(  # noqa: PLR0913 - one for each option
    artefact: Path,
    data: str,
    backend: Any,
    verify: bool,
    granularity: Any,
    conformance: bool,
    limit: int | None,
    form: str,
) -> int:
    """Run ARTEFACT on samples; exit code 1 where a spike differs from the reference."""
    from snncc.artefact import read_artefact

    found = read_artefact(artefact)
    dataset = data_of(data, found.integer, limit)
    from snncc.backends import simulate as lane

    with working(f"running {len(dataset)} samples in {backend}"):
        ran = lane.simulate(found, dataset, backend=backend, check=verify, granularity=granularity)
    say(f"{len(dataset)} samples in {ran.seconds:.1f} s")
    if conformance:
        with working("running Lava's stock processes"):
            ran = dataclasses.replace(ran, conformance=lane.conform(found, dataset))
    if form == "json":
        result_json(lane.simulation_document(ran))
    else:
        result(lane.simulation_text(ran, found))
    return EXIT_CLEAN if ran.equal else EXIT_FINDINGS
