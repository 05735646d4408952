"""Events of the placed network, counted: per core and step, and per pair of cores and step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from snncc.ir.graph import Array
from snncc.machine.activity import Activity
from snncc.machine.products import product_ops
from snncc.mapping.deliveries import FORMATS, Delivery, deliveries
from snncc.mapping.placement import Placement
from snncc.mapping.populations import Net
from snncc.mapping.ranks import ranked
from snncc.mapping.views import NOWHERE, emitted_labels


@dataclass(frozen=True)
class Loads:
    """Counts, int64. ``[steps, cores]`` where nothing else is said.

    - ``neurons`` ``[cores]``: compartments, each looked at in every step; input units aside.
    - ``updated``, ``fired``: compartments that had something to do; that sent a spike.
    - ``inputs_fired``: input units that fired.
    - ``operations``: by synapse format, spikes that met a synapse; ``products``: additions of pairs
      of spikes, in attention.
    - ``messages_out``, ``messages_in``: a message is one firing neuron and one core it reaches.
    - ``senders``, ``receivers`` ``[pairs]``: each pair of cores with traffic, ``sent``
      ``[steps, pairs]`` its messages. What the host sends is in ``messages_in`` and
      ``from_host`` ``[steps]`` alone.
    """

    neurons: Array
    updated: Array
    fired: Array
    inputs_fired: Array
    operations: Mapping[str, Array]
    products: Array
    messages_out: Array
    messages_in: Array
    senders: Array
    receivers: Array
    sent: Array
    from_host: Array

    @property
    def steps(self) -> int:
        """How many steps were counted."""
        return len(self.fired)


def count_loads(net: Net, placement: Placement, activity: Activity) -> Loads:
    """Return the exact counts of a placed network under an activity."""
    labels = placement.labels(net)
    shape = (activity.steps, len(placement.cores))
    operations = {name: np.zeros(shape, np.int64) for name in FORMATS}
    traffic = _Traffic(*shape)
    for delivery in deliveries(net, labels):
        sums = delivery.sums(activity.sent[delivery.value])
        for synapses in delivery.synapses:
            met = sums[:, synapses.bins] * synapses.fans
            operations[synapses.format] += _per_core(met, synapses.cores, shape[1])
        traffic.add(delivery, sums)
    neurons, updated, fired, inputs = _layers(net, labels, activity, shape)
    senders, receivers, sent, from_host = traffic.pairs()
    host = senders == NOWHERE
    return Loads(
        neurons, updated, fired, inputs, operations, product_ops(net, labels, activity, shape),
        _per_core(sent[:, ~host], senders[~host], shape[1]),
        _per_core(sent, receivers, shape[1]),
        senders[~host], receivers[~host], sent[:, ~host], from_host,
    )  # fmt: skip


class _Traffic:
    """Messages, added up by pairs of cores."""

    def __init__(self, steps: int, cores: int) -> None:
        self.steps, self.width = steps, cores + 1
        self.keys: list[Array] = []
        self.counts: list[Array] = []

    def add(self, delivery: Delivery, sums: Array) -> None:
        keys = (delivery.senders[delivery.bins] + 1) * self.width + delivery.receivers
        pairs, where = ranked(keys)
        self.keys.append(pairs)
        self.counts.append(_per_core(sums[:, delivery.bins], where, len(pairs)))

    def pairs(self) -> tuple[Array, Array, Array, Array]:
        """Return senders, receivers, messages ``[steps, pairs]``, and the host's ``[steps]``."""
        every = np.concatenate(self.keys) if self.keys else np.zeros(0, np.int64)
        keys, where = ranked(every)
        counts = np.concatenate(self.counts, axis=1) if self.counts else np.zeros((self.steps, 0))
        sent = _per_core(counts, where, len(keys))
        senders = keys // self.width - 1
        return senders, keys % self.width, sent, sent[:, senders == NOWHERE].sum(axis=1)


def _per_core(counts: Array, cores: Array, width: int) -> Array:
    """Return counts ``[steps, n]`` added up by core ``[n]``, exactly: ``[steps, width]``."""
    rows = [np.bincount(cores, row, width) for row in counts]
    return np.rint(np.array(rows).reshape(len(counts), width)).astype(np.int64)


def _layers(
    net: Net, labels: Mapping[str, Array], activity: Activity, shape: tuple[int, int]
) -> tuple[Array, Array, Array, Array]:
    """Return (neurons, updated, fired, input units that fired)."""
    neurons = np.zeros(shape[1], np.int64)
    updated, fired, inputs = (np.zeros(shape, np.int64) for _ in range(3))
    for population in net.populations:
        cores = labels[population.name].reshape(-1)
        if population.projections:
            neurons += np.bincount(cores, minlength=shape[1])
        for value in population.emits:
            own = emitted_labels(net, value, labels).reshape(-1)
            told = fired if population.projections else inputs
            told += _where_set(activity.sent[value], own, shape[1])
        if population.projections:
            updated += _updated(population.emits, activity, cores, shape[1])
    return neurons, updated, fired, inputs


def _updated(emits: Iterable[str], activity: Activity, cores: Array, width: int) -> Array:
    known = [activity.updated[value] for value in emits if value in activity.updated]
    if known:
        return _where_set(known[0], cores, width)
    return np.bincount(cores, minlength=width)[None]


def _where_set(array: Array, cores: Array, width: int) -> Array:
    rows = (array != 0).reshape(len(array), -1)
    return np.stack([np.bincount(cores[row], minlength=width) for row in rows])
