"""From a compiled model to the artefact that holds it, with its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snncc.artefact import Artefact, check_destination, sha256_of, write_artefact
from snncc.backends.report.build import Report, build_report, report_document
from snncc.backends.report.demands import Demand, demands, demands_document, demands_line
from snncc.backends.report.ends import ends_document, ends_text
from snncc.backends.report.placed import Placed, placed, placed_document, placed_text
from snncc.backends.report.profile import PROFILE, profile_text
from snncc.backends.report.table import fitted, paragraph
from snncc.backends.report.text import report_text
from snncc.backends.report.timing import timing_document, timing_text
from snncc.backends.report.verdicts import chains_document
from snncc.compiler import Checked, Compiled, Watch, check_model, compile_checked, nobody
from snncc.diagnostics.core import Diagnostic
from snncc.diagnostics.render import counted, finding_document
from snncc.execute.agreement import Agreement
from snncc.execute.dataset import Dataset, as_dataset
from snncc.execute.weights import require_weights
from snncc.frontends.families import Setting
from snncc.frontends.load import Module, from_module
from snncc.ir.io import classes_of, sample_shape
from snncc.ir.sites import USUAL_SITES, Site, Sites
from snncc.mapping.placement import to_document
from snncc.passes.quantize import LayerWeights
from snncc.passes.spike_policy import USUAL, Policy
from snncc.targets.load import load_target


@dataclass(frozen=True)
class Deployed:
    """A compiled model, the artefact to be written, and the report where there were data.

    ``placed`` is where it stands on its chips, or a note that says why it does on none.
    """

    compiled: Compiled
    artefact: Artefact
    report: Report | None
    placed: Placed | Diagnostic


def compile_module(  # noqa: PLR0913 - the options of the command
    module: Module,
    example_input: Any,
    *,
    target: str,
    data: Any = None,
    labels: Any = None,
    weight_bits: int = 8,
    fit_widths: bool = False,
    allow: tuple[str, ...] = (),
    policy: Policy = USUAL,
    encoder: Site = USUAL_SITES.encoder,
    head: Site = USUAL_SITES.head,
    batch_axis: int = 0,
    output: str | Path | None = None,
) -> Compiled:
    """Return a network in the integers of a target; ``example_input`` is a batch of its input.

    ``batch_axis`` is 1 for an input ``[T, B, ...]``; samples are in front in ``data`` all the same.
    ``allow`` and ``policy`` let findings pass as for ``check_module``; ``encoder`` and ``head`` run
    on the ``host`` or the ``chip``. ``data``, ``[N, ...]``, calibrates scales. With ``fit_widths``
    no input can leave the widths of the target. With ``output`` the artefact is written there, with
    a report on the data, and with ``labels`` how often it is right. Raises ``SnnccError``, and
    ``TargetError`` for a target that there is not.
    """
    chip, sites = load_target(target), Sites(encoder, head)
    if output is not None:
        check_destination(Path(output))
    checked = check_module(module, example_input, allow=allow, policy=policy, batch_axis=batch_axis)
    require_weights(checked.graph, checked.name)
    shape, classes = sample_shape(checked.graph), classes_of(checked.graph)
    dataset = None if data is None else as_dataset(data, labels, shape, classes=classes)
    compiled = compile_checked(
        checked, target=chip, calibration=None if dataset is None else dataset.inputs,
        weight_bits=weight_bits, sites=sites, fit_widths=fit_widths,
    )  # fmt: skip
    if output is not None:
        made_of = {"source": {"name": checked.name}}
        write_artefact(Path(output), deploy(compiled, dataset, made_of).artefact)
    return compiled


def check_module(
    module: Module,
    example_input: Any,
    *,
    allow: tuple[str, ...] = (),
    policy: Policy = USUAL,
    deployed: bool = False,
    batch_axis: int = 0,
) -> Checked:
    """Return the step graph of a network and the verdict on each of its products.

    ``allow`` holds ``CODE`` or ``CODE:path-glob``; ``policy`` is what else may pass, as
    ``[tool.snncc.check]`` says it for the command line, which this does not read. With
    ``deployed`` what is left after merging linear chains is judged. Raises ``SnnccError`` where
    the network cannot be traced. ``batch_axis`` is 1 for an input ``[T, B, ...]``.
    """
    model = from_module(module, example_input, batch_axis=batch_axis)
    return check_model(model, allow=allow, policy=policy, deployed=deployed)


def deploy(
    compiled: Compiled,
    dataset: Dataset | None,
    options: Mapping[str, Any] | None = None,
    watch: Watch = nobody,
) -> Deployed:
    """Return the artefact of a compiled model; ``options`` go into the manifest.

    The report is on ``dataset``; accuracies are, where it has labels. Raises ``SnnccError`` with
    every layer that does not fit the target.
    """
    sample = None if dataset is None else dataset.inputs[0]
    watch("placing")
    where = placed(compiled.integer, compiled.target, compiled.sites, compiled.weight_bits, sample)
    written = compiled.checked.graph
    report = None
    watch("counting and pricing")
    if dataset is not None:
        report = build_report(compiled, dataset)
    documents: dict[str, Any] = {
        "diagnostics.json": [finding_document(d) for d in compiled.diagnostics],
        "report.json": deployment_document(compiled, report, where),
    }
    if isinstance(where, Placed):
        documents["placement.json"] = to_document(where.placement)
    if report is not None and dataset is not None:
        documents["report.md"] = _markdown(compiled, report, where)
        stands = where if isinstance(where, Placed) else None
        documents[PROFILE] = profile_text(compiled, dataset, stands)
    artefact = Artefact(compiled.integer, written, documents, _manifest(compiled, options))
    return Deployed(compiled, artefact, report, where)


def _manifest(compiled: Compiled, options: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "model": compiled.name,
        "target": compiled.target.name,
        "options": {
            "weight_bits": compiled.weight_bits,
            "fit_widths": compiled.fit_widths,
            "multi_level": "substeps" if compiled.substeps else "graded",
            "encoder": compiled.sites.encoder,
            "head": compiled.sites.head,
            **(options or {}),
        },
    }


def provenance(
    model: str, data: str | None, options: Mapping[str, Any], settings: Iterable[Setting]
) -> dict[str, Any]:
    """Return what an artefact was made of: names and hashes of files, never their paths."""
    given = {key: value for key, value in options.items() if value not in (None, {}, (), False)}
    return {
        "source": _origin(model),
        "data": None if data is None else _origin(data),
        **given,
        "settings": {s.name: f"{s.value} ({s.origin})" for s in settings},
    }


def _origin(spec: str) -> dict[str, str]:
    path = Path(spec)
    if path.is_file():
        return {"name": path.name, "sha256": sha256_of(path)}
    return {"name": path.name if path.is_dir() else spec}


def deployment_document(
    compiled: Compiled, report: Report | None, where: Placed | Diagnostic | None = None
) -> dict[str, Any]:
    """Return the ``snncc.report/1`` document with what merging cost and what quantization lost."""
    quality = compiled.quality
    found = report_document(report) if report else {"schema": "snncc.report/1"}
    return {
        **found,
        "model": compiled.name,
        "target": compiled.target.name,
        "time_steps": compiled.integer.steps,
        "calibrated": compiled.calibrated,
        "linear_chains": chains_document(compiled.checked),
        "timing": timing_document(compiled.pipeline, compiled.sites),
        "ends": ends_document(report, compiled.target, compiled.sites) if report else [],
        "demands": demands_document(_demands(compiled)),
        "placement": placed_document(where) if isinstance(where, Placed) else None,
        "quantization": {
            "weight_bits": compiled.weight_bits,
            "samples": quality.samples,
            "output_sqnr_db": _finite(quality.sqnr_db),
            "same_answer": quality.same_answer,
            "layers": [_layer_document(compiled, layer.name) for layer in compiled.layers],
            "weights": [_weights_document(layer) for layer in compiled.weights],
        },
    }


def summary(compiled: Compiled) -> str:
    """Return what to say of a compiled model: how far it is the module, and what was lost."""
    quality, agreed = compiled.quality, compiled.agreement
    equal = min((q.equal_spikes for q in quality.layers.values()), default=1.0)
    exact = sum(layer.plan.exact for layer in compiled.layers)
    origin = compiled.checked.model.origin.called
    return (
        f"float graph and {origin}: {_compared(agreed)}, answers within {agreed.output_error:.1e}\n"
        f"{compiled.name} for {compiled.target.name}: {counted(compiled.diagnostics)}; "
        f"{len(compiled.layers)} neuron layers, {exact} in the exact regime; {_kept(compiled)}"
        f"same answer as float on {100 * quality.same_answer:.1f} % of {quality.samples} samples, "
        f"at least {100 * equal:.2f} % of spikes equal in each layer"
    )


def _compared(agreed: Agreement) -> str:
    """Return how many values of neurons were compared: one a neuron, time step and sample."""
    if not agreed.spikes_compared:
        return f"{agreed.samples} samples, no neurons have names to be compared by"
    return (
        f"{agreed.spikes_compared:,} neuron values of {agreed.samples} samples, {agreed.differing} "
        f"differ ({agreed.near_threshold} of them at the threshold)"
    )


def _kept(compiled: Compiled) -> str:
    """Return how many layers came with weights on a grid, nothing where none did."""
    kept = sum(layer.exact for layer in compiled.weights)
    return (
        f"weights of {kept} of {len(compiled.weights)} layers taken as they are; " if kept else ""
    )


def _weights_document(layer: LayerWeights) -> dict[str, Any]:
    """Return how the weights of a layer became integers: as they are, or rounded, and why."""
    found = {"name": layer.name, "path": layer.path, "weights": _taken(layer.exact)}
    bias = {} if layer.exact_bias is None else {"bias": _taken(layer.exact_bias)}
    return {**found, **bias, **({"reason": layer.reason} if layer.reason else {})}


def _taken(exact: bool) -> str:
    return "exact" if exact else "rounded"


def _layer_document(compiled: Compiled, name: str) -> dict[str, Any]:
    scales = next(layer for layer in compiled.layers if layer.name == name)
    quality = compiled.quality.layers.get(name)
    measured = {} if quality is None else {
        "equal_spikes": quality.equal_spikes,
        "rate_float": quality.rate_float,
        "rate_integer": quality.rate_integer,
        "highest_potential": quality.highest_potential,
    }  # fmt: skip
    return {"name": name, "path": scales.path, "exact": scales.plan.exact, **measured}


def _finite(number: float) -> float | None:
    """Return a number as JSON can hold it; None where nothing was lost at all."""
    return number if abs(number) != float("inf") else None


def deployment_text(
    compiled: Compiled, report: Report, where: Placed | Diagnostic | None = None
) -> str:
    """Return the report for people, with what waits on the chip and where it stands there."""
    line = demands_line(_demands(compiled), compiled.target.name)
    needs = f"\n{paragraph(line, '  ')}" if line else ""
    stands = f"\n{placed_text(where)}" if isinstance(where, Placed) else ""
    ends = ends_text(ends_document(report, compiled.target, compiled.sites))
    timing = timing_text(compiled.pipeline, compiled.sites)
    return report_text(report, "".join([timing, needs, ends and f"\n{ends}", stands]))


def _demands(compiled: Compiled) -> tuple[Demand, ...]:
    return demands(compiled.integer, compiled.target, compiled.sites)


def _markdown(compiled: Compiled, report: Report, where: Placed | Diagnostic) -> str:
    with fitted():
        text = deployment_text(compiled, report, where)
    return f"# {report.model}\n\n```\n{text}```\n"
