"""Energy with memory: operations, addresses and words moved, by Lemaire et al. 2022.

The formulas are of arXiv 2210.13107, for convolutions and linear layers of IF and LIF neurons. Let
``s`` be the spikes read, ``F`` the outputs that a spike meets if there were no border (``C_out /
groups`` times the kernel's taps, or a linear's outputs), and ``P`` the same with ``ceil(kernel /
stride)`` taps an axis:

- operations: ``s P`` additions; each neuron one multiplication and addition a step where it leaks
  and one addition a spike; a bias one addition an output;
- addresses: ``s F`` additions, and for a convolution two multiplications and additions a spike;
- words: each spike read from one queue and written to another; ``s F`` weights, and each potential
  that they meet read and written; every bias; each neuron's potential read and written once a step.

The paper's neurons keep no current. One that outlasts a step is charged as a potential that leaks,
with the neurons that integrate it: a multiplication and addition, a word read and one written.

What reads no spikes is charged as a layer of an ANN: all multiplications, with one weight read for
each. A convolution reads an input for each, too, and a linear reads every input once, so that a 1x1
convolution costs more than the linear that computes the same. A word costs what its memory's size
says, linear between the sizes given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snncc.energy.load import EnergyModel
from snncc.energy.price import MJ_PER_PJ, Energy, LayerEnergy, Load, counted, document_of
from snncc.execute.counts import NEURONS, Counts, OpCount
from snncc.ir.graph import Graph, Op
from snncc.ir.ops import WEIGHTED, Conv, IntegerNeuron, Neuron
from snncc.ir.synaptic_current import CURRENTS

PRECISION = "int32"
WORD_BYTES = 4
_KIB = 1024


@dataclass(frozen=True)
class Work:
    """What one op does in all samples. ``words`` are (how many, bytes of the memory) by what."""

    add: int = 0
    mac: int = 0
    address_add: int = 0
    address_mac: int = 0
    spikes: tuple[tuple[int, int], ...] = ()
    parameters: tuple[tuple[int, int], ...] = ()
    potentials: tuple[tuple[int, int], ...] = ()


PARTS: Mapping[str, Callable[[Work, EnergyModel], tuple[int, float]]] = {
    "operations": lambda w, m: (w.add + w.mac, _arithmetic(m, w.add, w.mac)),
    "addressing": lambda w, m: (
        w.address_add + w.address_mac,
        _arithmetic(m, w.address_add, w.address_mac),
    ),
    "words_in_out": lambda w, m: _words(m, w.spikes),
    "words_parameters": lambda w, m: _words(m, w.parameters),
    "words_potentials": lambda w, m: _words(m, w.potentials),
}
"""How many of each there were and what they cost in pJ, by name."""


def word_pj(model: EnergyModel, size_bytes: int) -> float:
    """Return the energy of one word of a memory of that size: linear between the sizes known."""
    sizes = (0, 8 * _KIB, 32 * _KIB, 1024 * _KIB)
    names = ("word_of_8_kib", "word_of_32_kib", "word_of_1_mib")
    return float(np.interp(size_bytes, sizes, (0.0, *(model.constants[n].value for n in names))))


def memory_energy(counts: Counts, graph: Graph, model: EnergyModel) -> Energy:
    """Return the energy of one sample: products and neuron layers in their order."""
    products = {load.name: load for load in counted(counts)}
    layers = tuple(
        LayerEnergy(
            products.get(name) or _neurons(counts, counts.ops[name]),
            _energy_pj(work, model) / counts.samples * MJ_PER_PJ,
        )
        for name, work in works(counts, graph, model).items()
    )
    return Energy(model, PRECISION, layers)


def memory_document(
    network: str, counts: Counts, graph: Graph, model: EnergyModel, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the ``snncc.energy/1`` document, with ``events`` of one sample by part."""
    found = works(counts, graph, model).values()
    events = {}
    for part, of in PARTS.items():
        pairs = [of(work, model) for work in found]
        events[part] = {
            "count": sum(n for n, _ in pairs) / counts.samples,
            "energy_mj": sum(pj for _, pj in pairs) / counts.samples * MJ_PER_PJ,
        }
    said = {**facts, "operations": "counted", "events": events}
    return document_of(network, [memory_energy(counts, graph, model)], said)


def works(counts: Counts, graph: Graph, model: EnergyModel) -> Mapping[str, Work]:
    """Return the work of each conv, linear and neuron layer over all samples."""
    found = {}
    kept = _kept_by_layer(graph)
    for op in counts.ops.values():
        if op.kind in WEIGHTED:
            runs = op.runs * counts.samples
            work = _spiking(op, graph, model) if op.spike_input else _dense(op, graph, runs)
            found[op.name] = _with_bias(work, op, graph)
        elif op.kind in NEURONS:
            found[op.name] = _neuron_work(op, graph[op.name], model)
            for state in kept.get(op.name, ()):
                found[op.name] = _with_current(found[op.name], state, graph.steps * counts.samples)
    return found


def _kept_by_layer(graph: Graph) -> Mapping[str, list[int]]:
    """Return the sizes of the currents that outlast a step, by the first neurons behind each."""
    found: dict[str, list[int]] = {}
    for op in graph.of_kind(*CURRENTS):
        waiting, layer = [op], ""
        while waiting and not layer:
            readers = graph.users[waiting.pop(0).name]
            layer = next((each.name for each in readers if each.kind in NEURONS), "")
            waiting += readers
        found.setdefault(layer, []).append(math.prod(graph.type_of(op.name).shape))
    return found


def _with_current(work: Work, elements: int, runs: int) -> Work:
    words = (2 * runs * elements, elements * WORD_BYTES)
    return replace(work, mac=work.mac + runs * elements, potentials=(*work.potentials, words))


def twin_energy_mj(counts: Counts, graph: Graph, model: EnergyModel) -> float:
    """Return the same formulas for the network without spikes, in one pass; attention left out."""
    total = 0.0
    for op in counts.ops.values():
        if op.kind in WEIGHTED:
            work = _dense(op, graph, 1)
            bias = op.elements_out if op.bias_ops.any() else 0
            size = _parameter_bytes(op, graph)
            extra = Work(
                add=bias,
                parameters=((bias, size),),
                spikes=((op.elements_out, op.elements_out * WORD_BYTES),),
            )
            total += _energy_pj(work, model) + _energy_pj(extra, model)
    return total * MJ_PER_PJ


def spiking_energy_mj(counts: Counts, graph: Graph, model: EnergyModel) -> float:
    """Return the part of one sample's energy that grows with its spikes."""
    total = 0.0
    for op in counts.ops.values():
        if op.kind in WEIGHTED and op.spike_input:
            total += _energy_pj(_spiking(op, graph, model), model)
        elif op.spikes_out.any():
            spikes = int(op.spikes_out.sum())
            total += _energy_pj(Work(add=spikes, spikes=((spikes, _queue_bytes(model)),)), model)
    return total / counts.samples * MJ_PER_PJ


def _spiking(op: OpCount, graph: Graph, model: EnergyModel) -> Work:
    kernel, stride, outs = _geometry(graph[op.name], graph)
    spikes = int(op.events_in.sum())
    fan_out = outs * math.prod(kernel)
    taps = math.prod(-(-k // s) for k, s in zip(kernel, stride, strict=True))
    moved = spikes * fan_out
    return Work(
        add=spikes * outs * taps,
        address_add=moved,
        address_mac=2 * spikes if op.kind == "conv" else 0,
        spikes=((spikes, _queue_bytes(model)),),
        parameters=((moved, _parameter_bytes(op, graph)),),
        potentials=((2 * moved, op.elements_out * WORD_BYTES),),
    )


def _dense(op: OpCount, graph: Graph, times: int) -> Work:
    kernel, _, _ = _geometry(graph[op.name], graph)
    reads = op.dense_ops if op.kind == "conv" else op.elements_in
    weight = graph.weights[graph[op.name].weight_names[0]]
    taps = weight.shape[0] * math.prod(kernel) if op.kind == "conv" else 0
    return Work(
        mac=times * op.dense_ops,
        address_add=times * (op.elements_in + op.elements_out + taps),
        spikes=((times * reads, op.elements_in * WORD_BYTES),),
        parameters=((times * op.dense_ops, _parameter_bytes(op, graph)),),
    )


def _with_bias(work: Work, op: OpCount, graph: Graph) -> Work:
    biases = int(op.bias_ops.sum())
    parameters = (*work.parameters, (biases, _parameter_bytes(op, graph)))
    return replace(work, add=work.add + biases, parameters=parameters)


def _neuron_work(op: OpCount, neuron: Op, model: EnergyModel) -> Work:
    updates, spikes = int(op.updates.sum()), int(op.spikes_out.sum())
    return Work(
        add=spikes,
        mac=updates if _leaks(neuron) else 0,
        spikes=((spikes, _queue_bytes(model)),),
        potentials=((2 * updates, op.elements_out * WORD_BYTES),),
    )


def _leaks(neuron: Op) -> bool:
    if isinstance(neuron, IntegerNeuron):
        return neuron.decay != 0
    return isinstance(neuron, Neuron) and neuron.tau is not None


def _geometry(op: Op, graph: Graph) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return kernel, stride and the outputs of one tap; a linear is a kernel without axes."""
    weight = graph.weights[op.weight_names[0]]
    if isinstance(op, Conv):
        return tuple(weight.shape[2:]), tuple(op.stride), weight.shape[0] // op.groups
    return (), (), weight.shape[0]


def _parameter_bytes(op: OpCount, graph: Graph) -> int:
    names = graph[op.name].weight_names
    return sum(math.prod(graph.weights[name].shape) for name in names) * WORD_BYTES


def _queue_bytes(model: EnergyModel) -> int:
    queue = model.scope.queue_words
    return queue.value * WORD_BYTES if queue else 0


def _arithmetic(model: EnergyModel, add: int, mac: int) -> float:
    add_pj, mult_pj = (model.constants[key].value for key in ("add_int32", "mult_int32"))
    return add * add_pj + mac * (mult_pj + add_pj)


def _words(model: EnergyModel, words: tuple[tuple[int, int], ...]) -> tuple[int, float]:
    return sum(n for n, _ in words), sum(n * word_pj(model, size) for n, size in words)


def _energy_pj(work: Work, model: EnergyModel) -> float:
    return sum(of(work, model)[1] for of in PARTS.values())


def _neurons(counts: Counts, op: OpCount) -> Load:
    return Load(op.name, op.path, op.kind, counts.rate_out(op.name), 0, mac=0.0, ac=0.0)
