"""The pipeline, in one readable list: model -> step graph -> verdict -> integers.

``check_model`` stops at the verdict, ``compile_model`` goes on to the target's integers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias, cast

import numpy as np

from snncc.diagnostics.core import Diagnostic, Severity, SnnccError
from snncc.execute.agreement import Agreement, agreement
from snncc.execute.counts import batches
from snncc.execute.measure import FloatRun, run_floats
from snncc.execute.quality import IntegerRun, Quality, compare
from snncc.execute.synapses import weighted_ops
from snncc.frontends.model import Model, Origin, ReadGraph
from snncc.frontends.rules_of_exchange import ALREADY_COMPILED
from snncc.ir.graph import Array, Graph, Source
from snncc.ir.io import in_integers, sample_shape
from snncc.ir.latency import Pipeline
from snncc.ir.ops import Input, IntegerNeuron
from snncc.ir.sites import USUAL_SITES, Sites
from snncc.passes import FRONT, RAISING
from snncc.passes.balance_delays import pipelined
from snncc.passes.base import Pass, PassError, Result, run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.check_spikes import CheckSpikes, Verdict, verdicts
from snncc.passes.check_target import CheckTarget
from snncc.passes.consequences import with_causes
from snncc.passes.fit_widths import fitted
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales
from snncc.passes.merge_linear_chains import Merged, MergeLinearChains
from snncc.passes.quantize import Calibration, LayerScales, LayerWeights, Quantize, Quantized
from snncc.passes.rules import SAMPLES_IN_TIME
from snncc.passes.rules_of_compiling import ASSUMED_INPUT, NOT_SPIKE_DRIVEN, NOT_THE_MODEL
from snncc.passes.rules_of_merging import CHAIN_LEFT
from snncc.passes.spike_policy import USUAL, Policy
from snncc.passes.unroll_levels import UnrollLevels
from snncc.targets.load import Target

Watch: TypeAlias = Callable[[str], None]
"""Is called with the name of each stage of a compile as it begins."""

MultiLevel: TypeAlias = Literal["auto", "graded", "substeps"]
"""How counts of spikes reach a weight."""

_AGREEMENT_SAMPLES = 8
_AGREEMENT_OPS = 2_000_000_000
"""The dense operations that a compile may spend on comparing with the model; one sample always."""

Form = Literal["as-written", "deployed"]
"""Which network is judged: the one that was written, or what is left of it on the chip."""


@dataclass(frozen=True)
class Checked:
    """A model as a float step graph with the verdict on each of its products.

    ``merged`` says what became of its linear chains, and ``other_form`` are the findings in the
    form that is not ``form``.
    """

    name: str
    graph: Graph
    diagnostics: tuple[Diagnostic, ...]
    verdicts: tuple[Verdict, ...]
    model: Model
    policy: Policy = USUAL
    form: Form = "as-written"
    merged: Merged | None = None
    other_form: tuple[Diagnostic, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether no finding stands that is neither allowed nor below an error."""
        return all(d.severity < Severity.ERROR for d in self.diagnostics)


@dataclass(frozen=True)
class Compiled:
    """A model in the integers of a target, and what they lost.

    ``floating`` is the folded float step graph, ``integer`` its integer twin with the same neuron
    names; ``real`` and ``whole`` are their runs on the calibration data. With ``substeps`` counts
    of spikes are unrolled into binary sub-steps, else they travel as graded spikes. ``sites`` says
    where encoder and head run.
    """

    name: str
    target: Target
    checked: Checked
    floating: Graph
    integer: Graph
    diagnostics: tuple[Diagnostic, ...]
    layers: tuple[LayerScales, ...]
    weights: tuple[LayerWeights, ...]
    agreement: Agreement
    real: FloatRun
    whole: IntegerRun
    calibrated: bool
    weight_bits: int
    substeps: bool = False
    accuracy: Mapping[str, float] = field(default_factory=dict)
    sites: Sites = USUAL_SITES
    fit_widths: bool = False

    @property
    def quality(self) -> Quality:
        """How near the integers stay to the floats on the calibration data."""
        return self.whole.quality

    @cached_property
    def pipeline(self) -> Pipeline:
        """The integers on the chip's clock: every connection takes a step."""
        longest = self.target.limits.get("delay_steps")
        return pipelined(self.integer, self.sites, longest.value if longest else None)


def check_model(
    model: Model,
    *,
    allow: tuple[str, ...] = (),
    policy: Policy = USUAL,
    deployed: bool = False,
) -> Checked:
    """Return the model's step graph, as written or as deployed, and the spike-driven verdict.

    ``allow`` holds ``CODE`` or ``CODE:path-glob``, beside what ``policy`` lets pass. A model that
    has no step graph (it mixes time steps, say) is judged as imported, and the reason is among
    the findings. Raises ``SnnccError`` where the model gives no graph.
    """
    entry = model.origin.graph()
    policy = policy.allowing(allow)
    if in_integers(entry):
        return _checked_in_integers(model, entry, policy)
    try:
        steps = _step_graph(model.origin, entry)
    except SnnccError as refusal:
        return _checked_as_imported(model, entry, policy, refusal)
    judged = CheckSpikes(policy).run(steps.graph).diagnostics
    found = (*model.notes, *with_causes(steps.graph, (*steps.diagnostics, *judged)))
    written = Checked(model.name, steps.graph, found, verdicts(steps.graph), model, policy)
    if deployed:
        return as_deployed(written)
    shapes = MergeLinearChains(compose=False).run(steps.graph)
    other = CheckSpikes(policy).run(shapes.graph).diagnostics
    return dataclasses.replace(written, merged=shapes, other_form=other)


def _checked_in_integers(model: Model, integer: Graph, policy: Policy) -> Checked:
    """Judge a network that was compiled before, as it is: nothing in it is rewritten."""
    found = (*model.notes, *CheckSpikes(policy).run(integer).diagnostics)
    return Checked(
        model.name, integer, found, verdicts(integer), model, policy, "deployed", other_form=found
    )


def _step_graph(origin: Origin, entry: Graph) -> Result:
    """Return the graph of one time step. Raises ``SnnccError``.

    A file that was exported for one sample may be a network for one alone: it is taken as that
    where it is refused for several.
    """
    alone = origin.own if isinstance(origin, ReadGraph) else None
    if entry.level != "tensor":
        return run_passes(entry, (Canonicalise(),))
    try:
        found, refused = run_passes(entry, FRONT), getattr(origin, "refused", "")
    except SnnccError as refusal:
        if alone is None or alone is entry or cast(Input, alone.of_kind("input")[0]).shape[0] != 1:
            raise
        try:
            found = run_passes(alone, FRONT)
        except SnnccError:
            raise refusal from None
        refused = refusal.diagnostics[0].message
    if not refused:
        return found
    text, because = "the file is taken as it is, for one sample at a time", (refused,)
    note = SAMPLES_IN_TIME.at(Source(), text, because=because)
    return Result(found.graph, (*found.diagnostics, note))


def _checked_as_imported(
    model: Model, tensor: Graph, policy: Policy, refusal: SnnccError
) -> Checked:
    """Judge what has no step graph: products have domains, neurons that were found are neurons."""
    try:
        graph = run_passes(tensor, RAISING).graph
    except SnnccError:
        graph = run_passes(tensor, (Canonicalise(),)).graph
    judged = (*refusal.diagnostics, *CheckSpikes(policy).run(graph).diagnostics)
    found = (*model.notes, *with_causes(graph, judged))
    return Checked(model.name, graph, found, verdicts(graph), model, policy)


def as_deployed(checked: Checked, *, max_weights: int | None = None) -> Checked:
    """Return a checked model, its linear chains merged, with the verdict on what is left.

    ``max_weights`` is the most that one merged op may have.
    """
    if checked.form == "deployed" or checked.graph.level != "step":
        return checked
    merged = MergeLinearChains(max_weights=max_weights).run(checked.graph)
    judged = CheckSpikes(checked.policy).run(merged.graph).diagnostics
    front = (d for d in checked.diagnostics if not d.rule.code.startswith("SNN2"))
    found = (*with_causes(merged.graph, (*front, *judged)), *merged.diagnostics)
    return dataclasses.replace(
        checked, graph=merged.graph, diagnostics=found,
        verdicts=verdicts(merged.graph), form="deployed", merged=merged,
        other_form=checked.diagnostics,
    )  # fmt: skip


def _middle() -> tuple[Pass, ...]:
    return (FoldScales(), FoldBatchNorm(), FoldScales(), Canonicalise())


def compile_model(
    model: Model,
    *,
    target: Target,
    calibration: Array | None = None,
    weight_bits: int = 8,
    allow: tuple[str, ...] = (),
    multi_level: MultiLevel = "auto",
) -> Compiled:
    """Return the model in the target's integers.

    ``calibration`` is ``[N, *input shape]``. Counts of spikes travel as ``graded`` spikes or in
    binary ``substeps``; ``auto`` takes sub-steps for networks of integer-firing neurons, which are
    published to run so, and where the target has no graded spikes. Raises ``SnnccError`` with all
    reasons where the model is not spike-driven and not allowed to be, or has no integer form.
    """
    return compile_checked(
        check_model(model, allow=allow),
        target=target,
        calibration=calibration,
        weight_bits=weight_bits,
        multi_level=multi_level,
    )


def nobody(stage: str) -> None:
    """Watch nothing."""


def compile_checked(  # noqa: PLR0913 - the options of the command
    checked: Checked,
    *,
    target: Target,
    calibration: Array | None = None,
    weight_bits: int = 8,
    multi_level: MultiLevel = "auto",
    sites: Sites = USUAL_SITES,
    watch: Watch = nobody,
    fit_widths: bool = False,
) -> Compiled:
    """Return a checked model in the target's integers; see ``compile_model``.

    What is compiled, and so has to be spike-driven, is the deployed form. ``fit_widths``: so that
    no input can leave the target's widths.
    """
    if in_integers(checked.graph):
        raise SnnccError(_in_integers(checked))
    checked = as_deployed(checked, max_weights=_most_weights(target, weight_bits))
    folded = _folded(checked)
    samples = _assumed_samples(folded.graph) if calibration is None else calibration
    watch("comparing with the model's own code")
    agreed = _agreement(checked, folded.graph, samples)
    watch("calibrating")
    real = run_floats(folded.graph, samples)
    watch("quantizing")
    data = Calibration(samples, real.mean_inputs)
    options = Quantize(target.arithmetic, target.features, data, weight_bits)
    quantized = _quantized(folded.graph, options, fit_widths=fit_widths)
    integer, unrolled = _unrolled(quantized.graph, target, multi_level)
    assumed = () if calibration is not None else (_assumption(checked.model),)
    found = (*quantized.found, *_within_limits(integer, target, sites), *assumed)
    watch("running the integers")
    return Compiled(
        name=checked.name, target=target, checked=checked, floating=folded.graph, integer=integer,
        diagnostics=(*checked.diagnostics, *folded.diagnostics, *found),
        layers=quantized.layers, weights=quantized.weights, agreement=agreed,
        real=real, whole=compare(real, integer, samples), calibrated=calibration is not None,
        weight_bits=weight_bits, substeps=unrolled, sites=sites, fit_widths=fit_widths,
    )  # fmt: skip


def _in_integers(checked: Checked) -> Diagnostic:
    chip = checked.model.target or "a target"
    message = f"`{checked.name}` is in the integers of {chip} already: it cannot be compiled again"
    hint = "compile the model that it was made of"
    return ALREADY_COMPILED.at(Source(file=checked.name), message, hint=hint)


def _folded(checked: Checked) -> Result:
    if not checked.clean:
        raise SnnccError(*_refusal(checked))
    folded = run_passes(checked.graph, _middle())
    _refuse_errors(folded.diagnostics)
    return folded


def _within_limits(integer: Graph, target: Target, sites: Sites) -> tuple[Diagnostic, ...]:
    limits = CheckTarget(target, sites).run(integer).diagnostics
    _refuse_errors(limits)
    return limits


def _quantized(graph: Graph, options: Quantize, *, fit_widths: bool) -> Quantized:
    quantized = fitted(options, graph) if fit_widths else options.quantize(graph)
    _refuse_errors(quantized.found)
    return quantized


def _most_weights(target: Target, weight_bits: int) -> int | None:
    """Return how many weights the synaptic memory of one chip holds, None where that is unknown."""
    cores, memory = (target.limits.get(k) for k in ("cores", "synaptic_memory_bytes_per_core"))
    return cores.value * memory.value * 8 // weight_bits if cores and memory else None


def _unrolled(integer: Graph, target: Target, multi_level: MultiLevel) -> tuple[Graph, bool]:
    """Return the graph as counts of spikes travel in it, and whether in binary sub-steps."""
    if not _takes_substeps(integer, target, multi_level):
        return integer, False
    return run_passes(integer, (UnrollLevels(),)).graph, True


def _takes_substeps(integer: Graph, target: Target, multi_level: MultiLevel) -> bool:
    if multi_level != "auto":
        return multi_level == "substeps"
    counted = any(cast(IntegerNeuron, op).levels > 1 for op in integer.of_kind("integer_neuron"))
    return counted or target.features.graded_spike_bits.value == 0


def _agreement(checked: Checked, graph: Graph, samples: Array) -> Agreement:
    """Compare the folded float graph with what the model itself answers. Raises ``PassError``.

    Code that mixes samples is compared on one.
    """
    model = checked.model
    mixes = any(d.rule is SAMPLES_IN_TIME for d in checked.diagnostics)
    most = 1 if mixes else _AGREEMENT_SAMPLES
    few = samples[: max(1, min(most, _AGREEMENT_OPS // max(weighted_ops(graph), 1)))]
    recorded = model.origin.record(few)
    found = agreement(
        graph,
        next(batches(graph, few, len(few))),
        recorded.spikes,
        recorded.output,
        counts=recorded.counts,
    )
    if not found.equal:
        message = (
            f"{found.differing} of {found.spikes_compared} neuron values differ, "
            f"{found.near_threshold} of them near the threshold; "
            f"the answers differ by {found.output_error:.3g}"
        )
        raise PassError((NOT_THE_MODEL.at(Source(file=model.name), message),))
    return found


def _refusal(checked: Checked) -> tuple[Diagnostic, ...]:
    errors = tuple(d for d in checked.diagnostics if d.severity is Severity.ERROR)
    found = "finding" if len(errors) == 1 else "findings"
    own = [d.rule.code for d in errors if d.rule.code.startswith("SNN2") and not d.follows]
    summary = NOT_SPIKE_DRIVEN.at(
        Source(), f"`{checked.name}` has {len(errors)} {found} of the spike-driven check",
        hint="mend them" + (f", or allow them on purpose: --allow {own[0]}" if own else ""),
    )  # fmt: skip
    chains = checked.merged.diagnostics if checked.merged else ()
    return (*errors, *(d for d in chains if d.rule is CHAIN_LEFT), summary)


def _refuse_errors(found: tuple[Diagnostic, ...]) -> None:
    errors = tuple(d for d in found if d.severity is Severity.ERROR)
    if errors:
        raise SnnccError(*errors)


def _assumed_samples(graph: Graph) -> Array:
    """Return 8 samples of uniform noise in 0..1 from a fixed seed."""
    return np.random.default_rng(0).random((8, *sample_shape(graph)))


def _assumption(model: Model) -> Diagnostic:
    return ASSUMED_INPUT.at(
        Source(file=model.name), "no calibration data: the input is assumed to lie in 0..1",
        hint="give real samples with --data",
    )  # fmt: skip
