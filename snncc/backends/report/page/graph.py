"""The network map as data: which ops are shown, in which blocks, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from snncc.backends.report.page.network import Finding, Layer, Node, Product
from snncc.backends.report.page.words import mj, percent_of
from snncc.backends.report.table import si
from snncc.ir.graph import Graph, Op
from snncc.ir.memory import STATEFUL
from snncc.ir.synaptic_current import DECAY_BITS, IntegerCurrent, SynapticCurrent
from snncc.passes.spike_causes import shown

MOVES = (
    "reshape", "permute", "expand", "slice", "repeat", "pad", "constant", "delay", "batch_norm",
)  # fmt: skip
"""What is left out of the map: it only moves data, or is folded into a weight or a threshold."""
_WHOLE = "network"


def nodes_of(
    written: Graph,
    integer: Graph,
    products: Iterable[Product],
    layers: Iterable[Layer],
    findings: Iterable[Finding],
) -> tuple[Node, ...]:
    """Return the ops of the step graph that compute something, in order."""
    known = _Known(written, integer, products, layers, findings)
    ops = [op for op in written.ops if op.kind not in MOVES]
    groups = _groups(ops)
    return tuple(
        Node(
            name=op.name,
            label=_label(op, groups[op.name]),
            kind=op.kind,
            group=groups[op.name],
            verdict=known.verdict(op),
            cost=known.cost(op),
            inputs=tuple(dict.fromkeys(_sources(op, written))),
            facts=tuple(known.facts(op)),
            because=known.because(op),
        )
        for op in ops
    )


def _sources(op: Op, graph: Graph) -> Iterator[str]:
    """Yield the shown ops that an op reads, through all that only moves data."""
    waiting = list(reversed(op.inputs))
    while waiting:
        source = graph[waiting.pop()]
        if source.kind in MOVES:
            waiting += reversed(source.inputs)
        else:
            yield source.name


def _groups(ops: list[Op]) -> Mapping[str, str]:
    """Return the block of each op: the front of its module path, down to a number.

    An op without a path stands with the one before it, the first ones with the one after. Small
    blocks in a row make one.
    """
    common = _common([op.source.module for op in ops if op.source.module])
    fronts = [_front(op.source.module.removeprefix(common)) for op in ops]
    found: dict[str, str] = {}
    group = next(filter(None, fronts), "")
    for op, front in zip(ops, fronts, strict=True):
        group = front or group
        found[op.name] = group
    return _merged(ops, found)


def _common(paths: list[str]) -> str:
    """Return the front that all paths share, with its dot."""
    heads = {path.partition(".")[0] for path in paths}
    if len(heads) != 1 or any("." not in path for path in paths):
        return ""
    head = f"{heads.pop()}."
    return head + _common([path.removeprefix(head) for path in paths])


def _front(path: str) -> str:
    """Return ``block.0`` of ``block.0.attn.q_conv``, and ``head`` of ``head``."""
    parts = path.split(".")
    numbers = [i for i, part in enumerate(parts[:4]) if part.isdecimal()]
    return ".".join(parts[: numbers[0] + 1]) if numbers else parts[0]


def _merged(ops: list[Op], groups: dict[str, str]) -> Mapping[str, str]:
    sizes = {g: sum(1 for each in groups.values() if each == g) for g in groups.values()}
    order = list(dict.fromkeys(groups[op.name] for op in ops))
    renamed: dict[str, str] = {}
    for small, run in groupby(order, key=lambda g: sizes[g] < 3):
        names = list(run)
        if small and len(names) > 1:
            renamed |= dict.fromkeys(names, f"{names[0]} … {names[-1]}")
    return {name: renamed.get(g, g) or _WHOLE for name, g in groups.items()}


def _label(op: Op, group: str) -> str:
    path = op.source.module
    if not path or op.kind in ("input", "output"):
        return op.name
    front = f"{group}."
    return path.partition(front)[2] or path.rpartition(".")[2] if front in path else path


class _Known:
    """What is known of each op, by its name."""

    def __init__(
        self,
        written: Graph,
        integer: Graph,
        products: Iterable[Product],
        layers: Iterable[Layer],
        findings: Iterable[Finding],
    ) -> None:
        self.written, self.integer = written, integer
        self.products = {p.name: p for p in products}
        self.layers = {layer.name: layer for layer in layers}
        self.findings: dict[str, list[Finding]] = {}
        for finding in findings:
            self.findings.setdefault(finding.path, []).append(finding)

    def verdict(self, op: Op) -> str:
        """Return a word for the colour of an op."""
        product = self.products.get(op.name)
        if product is None:
            return "neuron" if op.kind in STATEFUL else "other"
        if product.driven:
            return "spike"
        return product.role or product.verdict.replace("multi-level", "counts")

    def cost(self, op: Op) -> float:
        """Return the operations of one sample; 0 for what is no product."""
        product = self.products.get(op.name)
        return (product.synaptic_ops or 0.0) if product else 0.0

    def because(self, op: Op) -> tuple[str, ...]:
        """Return the chain that leads to what is wrong with an op."""
        found = self._of(op)
        return found.because if found else ()

    def _of(self, op: Op) -> Finding | None:
        found = self.findings.get(op.source.module, ())
        product = self.products.get(op.name)
        return next(iter(found), None) if product and not product.driven else None

    def facts(self, op: Op) -> Iterator[tuple[str, str]]:
        """Yield what a click on the op shows."""
        kind = self.written.type_of(op.name)
        yield "operation", op.kind
        yield "module", op.source.module or op.name
        yield "shape", " x ".join(map(str, kind.shape)) or "one number"
        yield "domain of its result", shown(kind.domain)
        if op.name in self.integer.by_name:
            yield "in the chip's integers", shown(self.integer.type_of(op.name).domain)
        yield from self._product(op)
        yield from self._neurons(op)
        yield from self._current(op)
        yield "source line", op.source.place or "unknown"
        if op.source.merged:
            yield "merged with", ", ".join(op.source.merged)

    def _product(self, op: Op) -> Iterator[tuple[str, str]]:
        product = self.products.get(op.name)
        if product is None:
            return
        finding = self._of(op)
        allowed = f", allowed by {finding.allowed_by}" if finding and finding.allowed_by else ""
        yield "reads", product.reads
        yield "verdict", "spike-driven" if product.driven else f"not spike-driven{allowed}"
        if product.rate is not None and product.driven:
            yield "rate of its input", percent_of(product.rate)
        if product.synaptic_ops is not None:
            yield "operations of a sample", f"{si(product.synaptic_ops)} (counted)"
        for model, cost in (product.energy_mj or {}).items():
            yield "energy of a sample", f"{mj(cost)} ({model})"

    def _current(self, op: Op) -> Iterator[tuple[str, str]]:
        if not isinstance(op, SynapticCurrent):
            return
        yield "left of it after a step", percent_of(op.keep)
        whole = self.integer.by_name.get(op.name)
        if isinstance(whole, IntegerCurrent):
            yield "loses on the chip", f"{whole.decay} of {1 << DECAY_BITS} in a step"

    def _neurons(self, op: Op) -> Iterator[tuple[str, str]]:
        layer = self.layers.get(op.name)
        if layer is None:
            return
        if layer.rate is not None:
            yield "firing rate", f"{percent_of(layer.rate)} of neurons in a step"
        if layer.equal_spikes is not None:
            yield "quantization error", f"{percent_of(1 - layer.equal_spikes)} of spikes differ"
        regime = "exact: halving never rounds" if layer.exact else "rounds as the chip does"
        yield "arithmetic", regime
        if layer.highest_potential is not None:
            yield "largest potential", f"{layer.highest_potential:,}"
