"""Looks for a real input under which a layer receives something else than spikes.

The verdict is proved from the graph and needs no example; a witness shows it at work. The float
step graph is run on noise, then on saturating inputs, then on changes of the best input so far. For
a layer that is proved to read spikes no input is a witness, whatever is tried.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from snncc.execute.block import Seen
from snncc.execute.counts import batches
from snncc.execute.executor import Executor
from snncc.execute.synapses import weighted_ops
from snncc.ir.domain import Domain, Grid
from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.io import sample_shape
from snncc.ir.ops import WEIGHTED, Input, Neuron
from snncc.ir.timing import Timing

TRIES = 1024
"""Inputs that are tried at most, before a layer is given up."""

_OPS = 1_000_000_000_000
"""Dense operations that are spent at most, but for one batch of each kind of input."""

_BATCH = 16
_BATCH_OPS = 4_000_000_000
_STRENGTHS = (1.0, -1.0, 3.0, -3.0, 10.0, -10.0, 100.0, -100.0)
"""How bright a saturating input is; inputs on a grid are cut to it."""


@dataclass(frozen=True)
class Witness:
    """An input ``[*sample shape]`` under which a layer receives ``value``, which is no spike.

    ``op`` is the layer's name, ``path`` its module's; ``step`` is the time step, None for a value
    that is made once a sample.
    """

    op: str
    path: str
    inputs: Array
    value: float
    step: int | None


@dataclass
class _Search:
    """What is known of the layers that are still open: their best input, and how good it is."""

    graph: Graph
    watched: Mapping[str, str]
    found: dict[str, Witness] = field(default_factory=dict)
    best: dict[str, tuple[float, Array]] = field(default_factory=dict)

    @property
    def open(self) -> list[str]:
        """The layers without a witness, in the order of the graph."""
        return [layer for layer in self.watched if layer not in self.found]


def find_witnesses(
    graph: Graph, layers: Collection[str], *, tries: int = TRIES, seed: int = 0
) -> dict[str, Witness]:
    """Return the witnesses found for weighted ops of a float step graph, by name.

    A layer behind an op that cannot be computed has none.
    """
    watched = {op.name: op.inputs[0] for op in graph.of_kind(*WEIGHTED) if op.name in layers}
    ancestors = _computable(graph, watched.values())
    watched = {layer: read for layer, read in watched.items() if read in ancestors}
    if not watched:
        return {}
    search = _Search(graph, watched)
    executor = Executor(graph.replace(op for op in graph.ops if op.name in ancestors))
    cost = max(1, weighted_ops(executor.graph))
    size = max(1, min(_BATCH, _BATCH_OPS // cost))
    left = min(tries, max(3 * size, _OPS // cost))
    inputs = _candidates(search, size, np.random.default_rng(seed))
    while search.open and left > 0:
        batch = next(inputs)[:left]
        _run(search, executor, batch)
        left -= len(batch)
    return {layer: search.found[layer] for layer in watched if layer in search.found}


def _computable(graph: Graph, wanted: Collection[str]) -> set[str]:
    """Return the ops that these values are made by; what a foreign op has a part in is left out."""
    known: set[str] = set()
    for op in graph.ops:
        if op.kind != "foreign" and all(name in known for name in op.inputs):
            known.add(op.name)
    needed = set(wanted) & known
    for op in reversed(graph.ops):
        if op.name in needed:
            needed.update(op.inputs)
    return needed | {op.name for op in graph.of_kind("input")} if needed else set()


def _candidates(search: _Search, size: int, rng: np.random.Generator) -> Iterator[Array]:
    """Yield batches of inputs: noise, saturating ones, then changes of the best."""
    entry = cast(Input, search.graph.of_kind("input")[0])
    shape = (size, *sample_shape(search.graph))
    yield _real(entry.domain, rng.random(shape))
    yield _real(entry.domain, rng.normal(size=shape))
    strengths = [_STRENGTHS[n % len(_STRENGTHS)] for n in range(size)]
    for noise in (0.0, 1.0):
        bright = np.reshape(strengths, (size, *[1] * (len(shape) - 1)))
        yield _real(entry.domain, bright * (1 - noise * rng.random(shape)))
    for turn in itertools.count():
        layer = search.open[turn % len(search.open)]
        _, best = search.best[layer]
        yield _real(entry.domain, np.stack([_changed(best, rng) for _ in range(size)]))


def _changed(best: Array, rng: np.random.Generator) -> Array:
    """Return the input with noise on all or on a part of it, or brighter."""
    strength = float(rng.choice((0.1, 0.3, 1.0, 3.0, 10.0)))
    kind = rng.integers(3)
    if kind == 0:
        return best * strength
    noise = strength * rng.normal(size=best.shape)
    return best + (noise if kind == 1 else noise * (rng.random(best.shape) < 0.1))


def _real(domain: Domain, x: Array) -> Array:
    """Return what a network can really be shown: float32, on the grid where there is one."""
    if isinstance(domain, Grid):
        span = float(domain.maximum - domain.minimum)
        counts = np.rint((float(domain.minimum) + x * span) / float(domain.step))
        x = np.clip(counts, domain.lo, domain.hi) * float(domain.step)
    return x.astype(np.float32)


def _run(search: _Search, executor: Executor, batch: Array) -> None:
    """Show a batch to the network; keep witnesses, and the best input of each open layer.

    Best is what comes near: a large value, many of them, neurons before it that fire or nearly do.
    """
    read_values: dict[str, list[Array]] = {}
    liveliness: dict[str, list[Array]] = {}
    reads = set(search.watched.values())

    def observe(op: Op, shown: Seen) -> None:
        if isinstance(op, Neuron):
            rate = _by_sample(executor, op.name, shown.result).mean(axis=1)
            current = _by_sample(executor, op.name, shown.inputs[0]).max(axis=1)
            lively = rate + np.clip(current / op.v_threshold, -1, 1)
            liveliness.setdefault(op.name, []).append(lively)
        if op.name in reads:
            value = _by_sample(executor, op.name, shown.result)
            read_values.setdefault(op.name, []).append(value)

    executor.run(next(batches(search.graph, batch, len(batch))), observe=observe)
    seen = {name: np.concatenate(parts) for name, parts in read_values.items()}
    lively = sum((np.concatenate(parts) for parts in liveliness.values()), np.zeros(len(batch)))
    for layer in search.open:
        read = search.watched[layer]
        counts = seen[read] / _unit(search.graph, read)
        outside = _outside(search.graph.type_of(read).domain, counts)
        hits = outside.any(axis=1)
        if hits.any():
            _keep(search, executor, layer, batch, (seen[read], outside))
            continue
        sizes = np.abs(counts)
        scores = sizes.max(axis=1) + sizes.mean(axis=1) + 1e-3 * lively
        top = int(scores.argmax())
        if layer not in search.best or scores[top] > search.best[layer][0]:
            search.best[layer] = (float(scores[top]), batch[top])


def _keep(
    search: _Search, executor: Executor, layer: str, batch: Array, seen: tuple[Array, Array]
) -> None:
    """Take the value that is farthest out as the witness of a layer."""
    values, outside = seen
    reached = np.where(outside, np.abs(values), -1.0)
    sample, place = np.unravel_index(int(reached.argmax()), reached.shape)
    read = search.watched[layer]
    every_step = executor.timing[read] is Timing.STEP
    size: Shape = search.graph.type_of(read).shape
    step = int(place) // int(np.prod(size)) if every_step else None
    path = search.graph[layer].source.module
    value = float(values[sample, place])
    search.found[layer] = Witness(layer, path, batch[sample], value, step)


def _by_sample(executor: Executor, name: str, value: Array) -> Array:
    """Return values as ``[B, everything of that sample]``, time steps first."""
    if executor.timing[name] is Timing.STEP:
        value = value.swapaxes(0, 1)
    return value.reshape(len(value), -1)


def _unit(graph: Graph, name: str) -> float:
    domain = graph.type_of(name).domain
    return float(domain.step) if isinstance(domain, Grid) else 1.0


def _outside(domain: Domain, counts: Array) -> Array:
    """Return where a count is neither 0 nor 1; on a grid, up to the rounding of its step."""
    if isinstance(domain, Grid):
        counts = np.rint(counts)
    return (counts != 0) & (counts != 1)


def save_witnesses(place: Path, witnesses: Collection[Witness]) -> list[Path]:
    """Write witnesses to one ``.npz``, or one a layer into a directory; return their files.

    ``x`` holds the inputs, so that the file can be given as data; ``paths``, ``ops``, ``values``
    and ``steps`` (-1 where there is none) say what each shows. Raises ``OSError``.
    """
    if place.suffix == ".npz":
        place.parent.mkdir(parents=True, exist_ok=True)
        _save(place, list(witnesses))
        return [place for _ in witnesses]
    place.mkdir(parents=True, exist_ok=True)
    files = []
    for number, witness in enumerate(witnesses):
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", witness.path or witness.op)[-100:]
        files.append(place / f"{number:03d}-{name}.npz")
        _save(files[-1], [witness])
    return files


def _save(file: Path, witnesses: list[Witness]) -> None:
    np.savez_compressed(
        file,
        x=np.stack([w.inputs for w in witnesses]),
        paths=np.array([w.path for w in witnesses]),
        ops=np.array([w.op for w in witnesses]),
        values=np.array([w.value for w in witnesses]),
        steps=np.array([-1 if w.step is None else w.step for w in witnesses]),
    )
