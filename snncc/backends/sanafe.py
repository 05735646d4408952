"""A placed network as input of SANA-FE 2.2.9, the simulator (never a dependency: it is GPL).

One YAML file: groups of neurons, every synapse, and the core of every neuron. Potentials, weights
and thresholds are written in units of 64, since the simulator cuts potentials to 1/64 where our
integers round to 1. What it has no counterpart for is refused with SNN423.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.ir.domain import is_spike
from snncc.ir.graph import Array, Op, Source
from snncc.ir.ops import Conv, IntegerNeuron, Linear
from snncc.ir.synaptic_current import CURRENTS
from snncc.mapping.placement import Placement
from snncc.mapping.populations import Net, Population, Projection
from snncc.mapping.rules import NOT_FOR_SIMULATOR
from snncc.mapping.views import NOWHERE, places, sources_of, started
from snncc.targets.load import Target

UNIT = 64
"""Our integer 1 is 1/64 there: what its potentials are cut to."""

HAIR = 2.0**-20
"""It fires above the threshold and we fire at it: this lies between, and no leak can see it."""

MOST_INPUTS = 1024
"""Input units a core, in its description of Loihi."""

_SYNAPSE = {"conv": "loihi_conv_synapse", "linear": "loihi_dense_synapse"}


def simulator_network(
    net: Net, placement: Placement, spikes: Mapping[str, Array], target: Target
) -> str:
    """Return the YAML text; ``spikes`` are the trains of the inputs, ``[steps, *shape]``.

    Raises ``SnnccError`` with every part that the simulator cannot hold.
    """
    faults = [*_faults(net, placement, target)]
    if faults:
        raise SnnccError(*faults)
    groups = {p.name: f"g{number}" for number, p in enumerate(net.populations)}
    labels = placement.labels(net)
    lines = ["network:", "  name: snncc", "  groups:"]
    for population in net.populations:
        lines += _group(net, population, groups[population.name], spikes)
    lines.append("  edges:")
    for population in net.populations:
        lines += _edges(net, population, groups)
    lines.append("mappings:")
    for population in net.populations:
        cores = labels[population.name].reshape(-1)
        lines += _mapping(population, groups[population.name], cores, placement, target)
    return "\n".join(lines) + "\n"


def _faults(net: Net, placement: Placement, target: Target) -> Iterator[Diagnostic]:
    if net.host:
        yield _fault(net.graph[net.host[0]], "comes from the host: place inputs on cores")
    for population in net.populations:
        yield from _population_faults(net, population)
    inputs = {p.name for p in net.populations if not p.projections}
    for number, core in enumerate(placement.cores):
        units = sum(part.neurons for part in core.parts if part.population in inputs)
        if units > MOST_INPUTS:
            where = f"core {number} holds {units} input units, wanted at most {MOST_INPUTS}"
            yield NOT_FOR_SIMULATOR.at(Source(), where)
    if placement.chips > 1:
        chips = f"the placement has {placement.chips} chips, wanted 1"
        yield NOT_FOR_SIMULATOR.at(Source(), chips)


def _population_faults(net: Net, population: Population) -> Iterator[Diagnostic]:
    op = net.graph[population.name]
    kinds = {projection.kind for projection in population.projections}
    domain = net.graph.type_of(population.name).domain
    if len(population.emits) > 1 or (kinds and not isinstance(op, IntegerNeuron)):
        yield _fault(op, "is computed by a neuron that is no integrate-and-fire neuron")
    elif not is_spike(domain):
        yield _fault(op, f"sends {domain}, wanted spikes")
    elif isinstance(op, IntegerNeuron):
        yield from _threshold_faults(net, op)
    for projection in population.projections:
        own = net.graph[projection.op]
        if projection.kind not in _SYNAPSE or len(kinds) > 1:
            yield _fault(own, "is no layer of stored weights of one format")
        elif any(net.graph[name].kind in CURRENTS for name in projection.path):
            yield _fault(op, "keeps a part of its current: the simulator does not round it so")
        elif np.any(_weights(net, own, 1)):
            yield _fault(own, "has a bias, which would start before its layer's first input")


def _threshold_faults(net: Net, op: IntegerNeuron) -> Iterator[Diagnostic]:
    threshold = cast(Array, net.graph.weights[op.threshold])
    if op.levels > 1 or int(threshold.min()) < 1:
        yield _fault(op, "has several thresholds, or one below 1")
    elif op.unit and op.reset == "soft":
        taken = threshold - cast(Array, net.graph.weights[op.unit])
        if not np.all((taken == 0) | (taken == 1)):
            yield _fault(op, "takes off another number than its threshold")


def _fault(op: Op, reason: str) -> Diagnostic:
    return NOT_FOR_SIMULATOR.at(op.source, f"`{op.name}` ({op.kind}) {reason}", op=op.kind)


def _weights(net: Net, op: Op, field: int) -> Array:
    """Return an op's weight (0) or bias (1), 0 where there is none."""
    names = op.weight_names
    return cast(Array, net.graph.weights[names[field]]) if field < len(names) else np.zeros(1)


def _group(
    net: Net, population: Population, group: str, spikes: Mapping[str, Array]
) -> Iterator[str]:
    yield f"    - name: {group}"
    if not population.projections:
        trains = spikes[population.name].reshape(len(spikes[population.name]), -1)
        yield "      attributes: []"
        yield "      neurons:"
        for n in range(population.neurons):
            train = ", ".join(str(int(s)) for s in trains[:, n] != 0)
            yield f"        - {n}: [spikes: [{train}]]"
        return
    op = cast(IntegerNeuron, net.graph[population.name])
    leak = (4096 - op.decay) / 4096
    synapse = _SYNAPSE[population.projections[0].kind]
    yield (
        f"      attributes: [soma: {{reset_mode: {op.reset}, leak_decay: {leak!r}, "
        f"input_decay: 0.0}}, synapse_hw_name: {synapse}]"
    )
    yield "      neurons:"
    for n, threshold in enumerate(_thresholds(net, op)):
        yield f"        - {n}: [soma: {{threshold: {float(threshold)!r}}}]"


def _thresholds(net: Net, op: IntegerNeuron) -> Array:
    """Return the simulator's thresholds, one a neuron."""
    shape = net.graph.type_of(op.name).shape
    threshold = np.broadcast_to(cast(Array, net.graph.weights[op.threshold]), shape)
    level = threshold - HAIR
    if op.unit and op.reset == "soft":
        unit = np.broadcast_to(cast(Array, net.graph.weights[op.unit]), shape)
        level = np.where(unit < threshold, unit, level)
    return np.asarray(level.reshape(-1) / UNIT)


def _edges(net: Net, population: Population, groups: Mapping[str, str]) -> Iterator[str]:
    """Yield every synapse; the places of the op's input and result are traced back to neurons."""
    own = groups[population.name]
    numbers = places(net.graph, population.name)
    shift = getattr(net.graph[population.name], "shift", 0)
    for projection in population.projections:
        target = started(net, projection.start, projection.path, numbers).reshape(-1)
        for value, index in sources_of(net, projection.reads[0]).items():
            source, sender = index.reshape(-1), groups[value]
            for i, o, weight in _synapses(net, projection):
                if source[i] != NOWHERE:
                    w = (weight << shift) / UNIT
                    yield f"    - {sender}.{source[i]} -> {own}.{target[o]}: [weight: {w!r}]"


def _synapses(net: Net, projection: Projection) -> Iterator[tuple[int, int, int]]:
    """Yield (place of the input, place of the result, weight) of each synapse that exists."""
    op = net.graph[projection.op]
    shape_in = net.graph.type_of(op.inputs[0]).shape
    shape_out = net.graph.type_of(op.name).shape
    weight = _weights(net, op, 0).astype(np.int64) << cast(Any, op).shift
    if isinstance(op, Linear):
        for lead in range(math.prod(shape_in[:-1])):
            for o, i in np.ndindex(*weight.shape):
                at = (lead * shape_in[-1] + i, lead * shape_out[-1] + o)
                yield *at, int(weight[o, i])
    elif isinstance(op, Conv):
        yield from _conv_synapses(op, weight, shape_in, shape_out)


def _conv_synapses(
    op: Conv, weight: Array, inner: Any, outer: Any
) -> Iterator[tuple[int, int, int]]:
    per_group = weight.shape[0] // op.groups
    for at in np.ndindex(*outer):
        first = at[0] // per_group * weight.shape[1]
        for channel, *tap in itertools.product(*(range(n) for n in weight.shape[1:])):
            place = [
                q * s - p + k * d
                for q, s, p, k, d in zip(
                    at[1:], op.stride, op.padding, tap, op.dilation, strict=True
                )
            ]
            if all(0 <= n < size for n, size in zip(place, inner[1:], strict=True)):
                source = np.ravel_multi_index((first + channel, *place), inner)
                o = np.ravel_multi_index(at, outer)
                yield int(source), int(o), int(weight[(at[0], channel, *tap)])


def _mapping(
    population: Population, group: str, cores: Array, placement: Placement, target: Target
) -> Iterator[str]:
    rows = target.mesh.rows.value
    units: dict[int, int] = {}
    for n, core in enumerate(cores):
        seat = placement.cores[core].seat
        address = f"{seat.x * rows + seat.y}.{seat.slot}"
        soma = "loihi_lif"
        if not population.projections:
            units[core] = units.get(core, -1) + 1
            soma = f"loihi_inputs[{units[core]}]"
        yield f'  - {group}.{n}: [core: {address}, soma: "{soma}"]'
