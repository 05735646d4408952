"""The command ``energy``: what a network costs under an energy model, and beside another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snncc.cli import EXIT_CLEAN
from snncc.cli.call import data_of, energy_model_of, is_artefact, model_of
from snncc.cli.options import DATA, LIMIT, MODEL, MODEL_OPTIONS, all_of, form
from snncc.cli.rules import DATA_WANTED
from snncc.cli.screen import result, result_json, working
from snncc.diagnostics.core import SnnccError
from snncc.energy.rules import UNFIT_ENERGY_OPTION, UNUSABLE_RATES
from snncc.ir.graph import Source

if TYPE_CHECKING:
    from snncc.compiler import Checked
    from snncc.energy.load import EnergyModel

RATES_OPTIONS = (
    click.option(
        "--rates", metavar="FILE",
        help="Firing rates of the layers, JSON or CSV, in place of data and weights.",
    ),
    click.option(
        "--convention", type=click.Choice(["spikingformer", "sdt", "syops"]),
        help="How a paper's estimate counts; spikingformer where it is left out.",
    ),
    click.option(
        "--counter-heads", type=click.IntRange(min=1), metavar="N",
        help="Price attention as a counter does that is set to N heads.",
    ),
)  # fmt: skip


@click.command()
@all_of(MODEL, *MODEL_OPTIONS, DATA, LIMIT, *RATES_OPTIONS)
@click.option(
    "--energy-model", "prices", default="paper-45nm", show_default=True, metavar="NAME|FILE",
    help="What an operation costs: paper-45nm, counted-45nm, loihi1-davies2018, loihi1-sanafe, "
    "or a file of your own.",
)  # fmt: skip
@form("text", "json", "csv")
def energy(model: str, prices: str, form: str, **options: Any) -> int:
    """Price the operations of MODEL, or of an artefact, on data or from firing rates."""
    document = _document(model, energy_model_of(prices), **options)
    from snncc.backends.report.energy import energy_csv
    from snncc.backends.report.text import energy_text

    if form == "json":
        result_json(document)
    else:
        result(energy_csv(document) if form == "csv" else energy_text(document))
    return EXIT_CLEAN


def _document(
    spec: str,
    prices: EnergyModel,
    *,
    data: str | None,
    limit: int | None,
    rates: str | None,
    convention: str | None,
    counter_heads: int | None,
    **options: Any,
) -> dict[str, Any]:
    """Return the energy document of one network."""
    _refuse_unfit(prices, data, rates, convention, counter_heads)
    from snncc.backends.report.energy import Way, measured, measured_artefact, rated
    from snncc.execute.weights import require_weights

    way = Way(convention or "spikingformer", counter_heads)
    if rates is not None:
        checked = _checked(spec, options)
        return rated(checked, _rates(Path(rates), checked), prices, way)
    if data is None:
        message = "energy is priced from spikes, and no data are given"
        hint = "give samples with --data, or firing rates with --rates"
        raise SnnccError(DATA_WANTED.at(Source(), message, hint=hint))
    if is_artefact(spec):
        from snncc.artefact import read_artefact

        artefact = read_artefact(Path(spec))
        dataset = data_of(data, artefact.integer, limit)
        with working("counting"):
            return measured_artefact(artefact, dataset.inputs, prices, way)
    checked = _checked(spec, options)
    require_weights(checked.graph, checked.name)
    dataset = data_of(data, checked.graph, limit)
    with working("counting"):
        return measured(checked, dataset.inputs, prices, way)


def _checked(spec: str, options: dict[str, Any]) -> Checked:
    loaded = model_of(spec, **options)
    with working("tracing"):
        from snncc.compiler import check_model

        return check_model(loaded)


def _rates(path: Path, checked: Checked) -> Any:
    """Return the rates that a file gives for a network. Raises ``SnnccError``."""
    from snncc.energy.rates import RateError, read_rates

    try:
        return read_rates(path, checked.graph)
    except RateError as error:
        message = f"`{path.name}` for {checked.name}: {error}"
        raise SnnccError(UNUSABLE_RATES.at(Source(file=str(path)), message)) from error


def _refuse_unfit(
    prices: EnergyModel,
    data: str | None,
    rates: str | None,
    convention: str | None,
    counter_heads: int | None,
) -> None:
    """Raise ``SnnccError`` where options contradict each other."""
    estimates = rates is not None or prices.scope.operations.value == "estimated"
    if rates is not None and data is not None:
        _unfit("--rates and --data are given, wanted one of them")
    if rates is not None and prices.scope.operations.value == "events":
        _unfit(f"{prices.name} prices events that took place, and --rates holds none")
    if (convention or counter_heads) and not estimates:
        _unfit(f"{prices.name} counts operations, a convention estimates them")
    if counter_heads and convention not in (None, "spikingformer"):
        _unfit(f"--counter-heads has no meaning in the convention {convention}")


def _unfit(message: str) -> None:
    raise SnnccError(UNFIT_ENERGY_OPTION.at(Source(), message))
