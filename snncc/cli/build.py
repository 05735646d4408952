"""The command that builds: ``compile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snncc.cli import EXIT_CLEAN
from snncc.cli.call import data_of, model_of, target_of
from snncc.cli.next_step import after_compile
from snncc.cli.options import ALLOW, DATA, LIMIT, MODEL, MODEL_OPTIONS, Place, all_of, form
from snncc.cli.policy import configured_policy
from snncc.cli.progress import stages, working
from snncc.cli.screen import result, result_json, say, show

if TYPE_CHECKING:
    from snncc.backends.deploy import Deployed
    from snncc.compiler import Checked, Compiled, MultiLevel
    from snncc.execute.dataset import Dataset
    from snncc.ir.sites import Site
    from snncc.targets.load import Target


_STAGES = {
    "comparing with the model's own code": 0.12,
    "calibrating": 0.2,
    "quantizing": 0.1,
    "running the integers": 0.08,
    "placing": 0.3,
    "counting and pricing": 0.2,
}
"""What a compile does after the check, with about the share of each at Spikingformer-8-512."""


@click.command("compile")
@all_of(MODEL, *MODEL_OPTIONS)
@click.option("--target", required=True, metavar="NAME|FILE", help="The chip: `snncc targets`.")
@click.option(
    "-o", "--output", type=Place(), metavar="DIR",
    help="Where the artefact goes; NAME-TARGET where this is left out.",
)  # fmt: skip
@all_of(DATA, LIMIT, ALLOW)
@click.option(
    "--weight-bits", type=click.IntRange(2, 8), default=8, show_default=True,
    help="Bits of a weight, its sign among them.",
)  # fmt: skip
@click.option(
    "--fit-widths", is_flag=True,
    help="Coarser where only so no input can leave the chip's widths.",
)  # fmt: skip
@click.option(
    "--encoder", type=click.Choice(["host", "chip"]), default="chip", show_default=True,
    help="Where the layers up to the first neurons run.",
)  # fmt: skip
@click.option(
    "--head", type=click.Choice(["host", "chip"]), default="host", show_default=True,
    help="Where the last layer and the sum over time run.",
)  # fmt: skip
@click.option(
    "--multi-level", type=click.Choice(["auto", "graded", "substeps"]), default="auto",
    show_default=True, help="How counts of spikes travel: as payloads, or spike by spike.",
)  # fmt: skip
@form("text", "json")
def compile_(  # noqa: PLR0913 - one for each option
    model: str,
    target: str,
    output: Path | None,
    data: str | None,
    limit: int | None,
    allow: tuple[str, ...],
    weight_bits: int,
    fit_widths: bool,
    multi_level: MultiLevel,
    encoder: Site,
    head: Site,
    form: str,
    **options: Any,
) -> int:
    """Compile MODEL into the integers of a chip and write the artefact.

    With --data scales are calibrated, and the report says what the network does and costs; with
    labels, how often it is right.
    """
    from snncc.artefact import check_destination
    from snncc.backends.deploy import deploy, provenance
    from snncc.compiler import check_model
    from snncc.execute.weights import require_weights

    chip, policy = target_of(target), configured_policy()
    if output is not None:
        check_destination(output)
    loaded = model_of(model, **options)
    with working("checking"):
        checked = check_model(loaded, allow=allow, policy=policy)
    require_weights(checked.graph, checked.name)
    dataset = data_of(data, checked.graph, limit) if data else None
    made_of = provenance(model, data, options, loaded.provenance)
    with stages(_STAGES) as watch:
        how = {"weight_bits": weight_bits, "multi_level": multi_level, "fit_widths": fit_widths}
        compiled = _compiled(checked, chip, dataset, (encoder, head), watch=watch, **how)
        deployed = deploy(compiled, dataset, made_of, watch)
    _conclude(deployed, output or Path(f"{checked.name}-{chip.name}"), form)
    return EXIT_CLEAN


def _compiled(
    checked: Checked, chip: Target, dataset: Dataset | None, sites: tuple[Site, Site], **how: Any
) -> Compiled:
    from snncc.compiler import compile_checked
    from snncc.ir.sites import Sites

    samples = dataset.inputs if dataset else None
    return compile_checked(checked, target=chip, calibration=samples, sites=Sites(*sites), **how)


def _conclude(deployed: Deployed, place: Path, form: str) -> None:
    """Write the artefact, then say what was found and what it does."""
    from snncc.artefact import write_artefact
    from snncc.backends.deploy import deployment_document, deployment_text, summary
    from snncc.backends.report.inspect import assumptions_text
    from snncc.backends.report.placed import Placed, placed_line
    from snncc.backends.report.timing import timing_line

    where = deployed.placed
    write_artefact(place, deployed.artefact)
    show(*deployed.compiled.diagnostics, *(() if isinstance(where, Placed) else (where,)))
    say(assumptions_text(deployed.compiled.checked.model))
    say(summary(deployed.compiled))
    say(f"wrote {place}")
    if form == "json":
        result_json(deployment_document(deployed.compiled, deployed.report, where))
    elif deployed.report is None:
        say(timing_line(deployed.compiled.pipeline, deployed.compiled.sites))
        say(placed_line(where) if isinstance(where, Placed) else "")
    else:
        result(deployment_text(deployed.compiled, deployed.report, where))
    after_compile(place, calibrated=deployed.compiled.calibrated)
