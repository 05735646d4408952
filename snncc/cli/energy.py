"""The command ``energy``: what a network costs under an energy model, and beside another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snncc.cli import EXIT_CLEAN
from snncc.cli.call import data_of, energy_model_of, is_artefact, model_of
from snncc.cli.next_step import after_energy
from snncc.cli.options import DATA, LIMIT, MODEL, MODEL_OPTIONS, all_of, form
from snncc.cli.progress import working
from snncc.cli.rules import DATA_WANTED
from snncc.cli.scale import SCALE, Scale, counting
from snncc.cli.screen import result, result_json
from snncc.diagnostics.core import SnnccError
from snncc.energy.rules import UNFIT_ENERGY_OPTION, UNUSABLE_RATES
from snncc.ir.graph import Source

if TYPE_CHECKING:
    from snncc.backends.report.energy import Subject, Way
    from snncc.compiler import Checked
    from snncc.energy.load import EnergyModel
    from snncc.execute.dataset import Dataset
    from snncc.ir.graph import Graph

ALL = "all"
"""What stands for every energy model."""

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
    click.option(
        "--compare", metavar="OTHER",
        help="Set another model or artefact beside it, on the same data.",
    ),
    click.option(
        "--compare-rates", metavar="FILE", help="Firing rates of OTHER, in place of data.",
    ),
    click.option(
        "--details", is_flag=True,
        help="Show how estimate and count of each layer differ, and attention by convention.",
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Given:
    """The options of the command beside the model and the energy model."""

    data: str | None
    limit: int | None
    rates: str | None
    convention: str | None
    counter_heads: int | None
    compare: str | None
    compare_rates: str | None
    details: bool
    workers: int | None
    scheduler: str | None


@click.command()
@all_of(MODEL, *MODEL_OPTIONS, DATA, LIMIT, *SCALE, *RATES_OPTIONS)
@click.option(
    "--energy-model", "prices", default="paper-45nm", show_default=True, metavar="NAME|FILE|all",
    help="What an operation costs: paper-45nm, counted-45nm, ann-45nm, lemaire2022, "
    "loihi1-davies2018, loihi1-sanafe, a file of your own, or all of ours.",
)  # fmt: skip
@form("text", "json", "csv")
def energy(model: str, prices: str, form: str, **options: Any) -> int:
    """Price the operations of MODEL, or of an artefact, on data or from firing rates."""
    names = Given.__dataclass_fields__
    given = Given(**{name: options.pop(name) for name in names})
    document, text, csv = _answer(model, prices, given, options)
    if form == "json":
        result_json(document)
    else:
        result(csv if form == "csv" else text)
    if form == "text":
        after_energy(prices, given.compare is not None)
    return EXIT_CLEAN


def _answer(
    spec: str, prices: str, given: Given, options: dict[str, Any]
) -> tuple[dict[str, Any], str, str]:
    """Return the document that was asked for, and the same as text and as CSV."""
    from snncc.backends.report import energy_text as text
    from snncc.backends.report.energy import energies_csv, energies_document, energy_csv

    models = [] if prices == ALL else [energy_model_of(prices)]
    _refuse_unfit(models, given)
    scale = Scale(given.workers, given.scheduler)
    scale.check("" if given.data else "no --data whose samples workers could run")
    subject, way = _subject(spec, given, given.rates, models, options), _way(given)
    if given.compare is not None:
        return _compared(subject, models[0], given, options, scale)
    _refuse_counter_heads(subject, given)
    if not models:
        with counting(scale, subject):
            found = energies_document(subject, way)
        return found, text.energies_text(found["energies"]), energies_csv(found)
    from snncc.backends.report.energy import energy_document

    with counting(scale, subject):
        document = energy_document(subject, models[0], way)
    return document, text.energy_text(document, details=given.details), energy_csv(document)


def _compared(
    subject: Subject, model: EnergyModel, given: Given, options: dict[str, Any], scale: Scale
) -> tuple[dict[str, Any], str, str]:
    """Return the comparison with the other network as a document, as text and as CSV."""
    from snncc.backends.report.compare import compare_csv, compare_text
    from snncc.backends.report.energy import energy_document
    from snncc.energy.compare import compare_document

    other = _subject(str(given.compare), given, given.compare_rates, [model], options)
    for each in (subject, other):
        _refuse_counter_heads(each, given)
    with counting(scale, subject, other):
        sides = [energy_document(each, model, _way(given)) for each in (subject, other)]
    document = compare_document(*sides)
    return document, compare_text(document), compare_csv(document)


def _subject(
    spec: str, given: Given, rates: str | None, models: list[EnergyModel], options: dict[str, Any]
) -> Subject:
    """Return a network to price, with its rates or its samples. Raises ``SnnccError``."""
    from snncc.backends.report.energy import subject_of, subject_of_artefact
    from snncc.execute.weights import require_weights

    if rates is None and given.data is None and not _needs_nothing(models):
        message = "energy is priced from spikes, and no data are given"
        hint = "give samples with --data, or firing rates with --rates"
        raise SnnccError(DATA_WANTED.at(Source(), message, hint=hint))
    if is_artefact(spec):
        from snncc.artefact import read_artefact

        if rates is not None:
            _unfit(f"`{spec}` is an artefact: firing rates price a model, as it is written")
        artefact = read_artefact(Path(spec))
        samples = _samples(given, artefact.integer)
        return subject_of_artefact(artefact, samples.inputs if samples else None)
    checked = _checked(spec, options)
    if rates is not None and checked.model.in_integers:
        _unfit(f"`{spec}` holds integers: firing rates price a model, as it is written")
    if rates is not None:
        return subject_of(checked, rates=_rates(Path(rates), checked))
    if given.data is not None:
        require_weights(checked.graph, checked.name)
    samples = _samples(given, checked.graph)
    return subject_of(checked, samples.inputs if samples else None)


def _samples(given: Given, graph: Graph) -> Dataset | None:
    return None if given.data is None else data_of(given.data, graph, given.limit)


def _way(given: Given) -> Way:
    from snncc.backends.report.energy import Way

    return Way(given.convention or "spikingformer", given.counter_heads)


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
        message = f"`{path.name or path}` for {checked.name}: {error}"
        raise SnnccError(UNUSABLE_RATES.at(Source(file=str(path)), message)) from error


def _needs_nothing(models: list[EnergyModel]) -> bool:
    return any(model.scope.operations.value == "dense" for model in models)


def _refuse_unfit(models: list[EnergyModel], given: Given) -> None:
    """Raise ``SnnccError`` where options contradict each other."""
    needs = [model.scope.operations.value for model in models]
    rated = given.rates is not None or given.compare_rates is not None
    if given.compare_rates is not None and given.compare is None:
        _unfit("--compare-rates is given, and no --compare that it is of")
    if given.compare is not None and not models:
        _unfit("--compare sets two networks under one energy model, and all are asked for")
    both = given.rates is not None and (given.compare is None or given.compare_rates is not None)
    if both and given.data is not None:
        _unfit("--rates and --data are given, wanted one of them")
    if rated and {"events", "memory"} & set(needs):
        _unfit(f"{models[0].name} prices events that took place, and rates hold none")
    estimates = rated or not models or "estimated" in needs
    if (given.convention or given.counter_heads) and not estimates:
        _unfit(f"{models[0].name} counts operations, a convention estimates them")
    if given.counter_heads and given.convention not in (None, "spikingformer"):
        _unfit(f"--counter-heads has no meaning in the convention {given.convention}")


def _refuse_counter_heads(subject: Subject, given: Given) -> None:
    """Raise ``SnnccError`` where attention is not the ``Q (Kᵀ V)`` that the counter assumes."""
    from snncc.energy.attention import attention_blocks, not_values_first

    if given.counter_heads is None:
        return
    if not attention_blocks(subject.written):
        _unfit(f"--counter-heads prices attention, and {subject.name} has none")
    if path := not_values_first(subject.written):
        _unfit(f"--counter-heads is of Q (K^T V), and `{path}` of {subject.name} is no such thing")


def _unfit(message: str) -> None:
    raise SnnccError(UNFIT_ENERGY_OPTION.at(Source(), message))
