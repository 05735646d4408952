"""Messages: one for each firing neuron and each core that its spike has to reach.

The structure is static: *bins* are the places of an emitted value that are sent from one core to
the same cores and meet as many synapses there. Spikes are summed up by bins, once a step; all that
the machine counts follows from those sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from snncc.ir.graph import Array
from snncc.mapping.contacts import Contact, Reach, contacts
from snncc.mapping.populations import Net
from snncc.mapping.ranks import ranked
from snncc.mapping.views import NOWHERE, emitted_labels

FORMATS = ("conv", "dense", "sparse")
"""How synapses are stored: one shared kernel, all of a matrix, or one by one."""

_FORMAT_OF = {"conv": "conv", "linear": "dense", "avg_pool": "conv", "max_pool": "conv"}


@dataclass(frozen=True)
class Synapses:
    """A spike of ``bins[i]`` meets ``fans[i]`` synapses of this format on ``cores[i]``."""

    format: str
    op: str
    bins: Array
    cores: Array
    fans: Array


@dataclass(frozen=True)
class Delivery:
    """How one emitted value is delivered.

    ``bin_of`` is the bin of each of its places, flat, or ``NOWHERE`` for what nobody reads;
    ``sizes`` counts the places of each bin and ``senders`` is the core that sends it (``NOWHERE``:
    the host). A spike of ``bins[i]`` is one message to ``receivers[i]``.
    """

    value: str
    bin_of: Array
    sizes: Array
    senders: Array
    bins: Array
    receivers: Array
    synapses: tuple[Synapses, ...]

    def sums(self, fired: Array) -> Array:
        """Return how many places of each bin fire, ``[steps, bins]``, of ``[steps, *shape]``."""
        return np.stack([self.totals(row != 0) for row in fired])

    def totals(self, weights: Array) -> Array:
        """Return weights of the value's shape, added up over the places of each bin, ``[bins]``."""
        read = self.bin_of != NOWHERE
        where = self.bin_of[read]
        return np.bincount(where, weights.reshape(-1)[read], len(self.sizes))


def deliveries(net: Net, cores: Mapping[str, Array]) -> Iterator[Delivery]:
    """Yield the delivery of every emitted value that a core reads.

    ``cores`` are the cores of each population's value, by population.
    """
    by_value: dict[str, list[Contact]] = {}
    for contact in contacts(net, cores):
        by_value.setdefault(contact.value, []).append(contact)
    for value, found in by_value.items():
        yield _delivery(value, emitted_labels(net, value, cores), found)


def _delivery(value: str, senders: Array, found: list[Contact]) -> Delivery:
    site = reduce(_joint, [contact.reach.site.reshape(-1) for contact in found])
    read = site != NOWHERE
    own, rank = ranked(senders.reshape(-1)[read] + 1)
    keys, where = ranked(site[read] * len(own) + rank)
    bin_of = np.full(site.shape, NOWHERE, np.int64)
    bin_of[read] = where
    first = np.zeros(len(keys), np.int64)
    first[where[::-1]] = np.flatnonzero(read)[::-1]
    sizes = np.bincount(where, minlength=len(keys))
    synapses = tuple(_synapses(contact, first) for contact in found)
    pairs = _distinct(synapses)
    return Delivery(
        value, bin_of, sizes, own[keys % len(own)] - 1, pairs[0], pairs[1],
        tuple(s for s, c in zip(synapses, found, strict=True) if c.projection.kind != "matmul"),
    )  # fmt: skip


def _joint(a: Array, b: Array) -> Array:
    """Return sites that tell apart whatever one of two numberings of sites tells apart."""
    if np.array_equal(a, b):
        return a
    both = (a + 1) * (int(b.max(initial=0)) + 2) + b + 1
    joint = ranked(both)[1]
    return np.where((a == NOWHERE) & (b == NOWHERE), NOWHERE, joint)


def _synapses(contact: Contact, first: Array) -> Synapses:
    """Return what each bin meets, from the site of the bin's ``first`` place."""
    reach = contact.reach
    site = reach.site.reshape(-1)[first]
    kind = _FORMAT_OF.get(contact.projection.kind, "sparse")
    bins, entries = _lookup(site, reach)
    return Synapses(kind, contact.projection.op, bins, reach.cores[entries], reach.fans[entries])


def _lookup(site: Array, reach: Reach) -> tuple[Array, Array]:
    """Return (bin, entry of the reach) side by side, for bins at the sites ``site``."""
    of_site = np.bincount(reach.sites + 1, minlength=int(site.max(initial=0)) + 2)
    stops = of_site.cumsum()
    lengths = of_site[site + 1]
    bins = np.repeat(np.arange(len(site)), lengths)
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return bins, np.repeat(stops[site + 1] - lengths, lengths) + within


def _distinct(synapses: tuple[Synapses, ...]) -> tuple[Array, Array]:
    """Return each pair of bin and core once, in order."""
    if len(synapses) == 1:
        return synapses[0].bins, synapses[0].cores
    bins = np.concatenate([s.bins for s in synapses])
    cores = np.concatenate([s.cores for s in synapses])
    width = int(cores.max(initial=0)) + 1
    keys, _ = ranked(bins * width + cores)
    return keys // width, keys % width
