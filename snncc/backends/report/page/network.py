"""What a page shows of one network: plain data, read from an artefact and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One diagnostic with the explanation of its rule, which is Markdown."""

    code: str
    name: str
    severity: str
    path: str
    message: str
    because: tuple[str, ...]
    hint: str
    file: str
    line: int
    allowed_by: str
    explanation: str


@dataclass(frozen=True)
class Product:
    """A product with what it reads, and the work of one sample.

    ``rate``, ``synaptic_ops`` and ``energy_mj`` are None without data; ``energy_mj`` is by model.
    """

    name: str
    path: str
    op: str
    role: str
    reads: str
    verdict: str
    shape: tuple[int, ...]
    rate: float | None = None
    synaptic_ops: float | None = None
    energy_mj: Mapping[str, float] | None = None

    @property
    def driven(self) -> bool:
        """Whether it reads spikes."""
        return self.verdict in ("spike", "scaled spike")


@dataclass(frozen=True)
class Layer:
    """A layer of neurons: what it does, and what quantization changed.

    ``rates`` and ``float_rates`` are by time step. ``spikes`` and ``float_spikes`` are by sample
    and step, a hexadecimal digit for each of the neurons ``shown``. Potentials are histograms.
    """

    name: str
    path: str
    shape: tuple[int, ...]
    neurons: int
    rate: float | None
    exact: bool
    equal_spikes: float | None
    highest_potential: int | None
    rates: tuple[float, ...] = ()
    float_rates: tuple[float, ...] = ()
    shown: tuple[int, ...] = ()
    spikes: tuple[tuple[str, ...], ...] = ()
    float_spikes: tuple[tuple[str, ...], ...] = ()
    potentials: tuple[int, ...] = ()
    float_potentials: tuple[int, ...] = ()


@dataclass(frozen=True)
class Constant:
    """A number that a figure is made of, with what it rests on."""

    key: str
    value: float | str
    unit: str
    evidence: str
    source: str
    assumed: bool


@dataclass(frozen=True)
class Energy:
    """What one sample costs under one model. ``document`` is the whole ``snncc.energy/1``."""

    model: str
    precision: str
    operations: str
    totals_mj: Mapping[str, float]
    layers: tuple[tuple[str, str, float], ...]
    """Of each layer its path, its kind as comparisons name it, and its energy in mJ."""
    constants: tuple[Constant, ...]
    assumptions: tuple[str, ...]
    leaves_out: tuple[str, ...]
    document: Mapping[str, Any]

    @property
    def total_mj(self) -> float:
        """The energy of one sample in the model's first precision."""
        return self.totals_mj[self.precision]

    @property
    def evidence(self) -> tuple[str, ...]:
        """The classes of evidence of its constants."""
        return tuple(dict.fromkeys(c.evidence for c in self.constants if c.evidence))


@dataclass(frozen=True)
class Step:
    """One step of the chip: how long it takes, and why."""

    time_ns: float
    binding: str
    where: str
    terms: Mapping[str, float]


@dataclass(frozen=True)
class Machine:
    """One sample on the placed network, in a stream of samples.

    ``loads`` are by core: a number, or one a step. ``links`` are (direction, x, y, packets of each
    step), on the joined mesh of all chips.
    """

    steps: tuple[Step, ...]
    mesh: Mapping[str, Constant]
    limits: Mapping[str, Constant]
    speeds: tuple[Constant, ...]
    prices: tuple[Constant, ...]
    loads: Mapping[str, tuple[Any, ...]]
    links: tuple[tuple[str, int, int, tuple[int, ...]], ...]
    energy_of: str
    energy_pj: Mapping[str, float]
    total_pj: float
    operations: int
    packets: int
    hops: int
    crossings: int
    omitted: tuple[str, ...]

    @property
    def time_ns(self) -> float:
        """How long the steps of one sample take together."""
        return sum(step.time_ns for step in self.steps)


@dataclass(frozen=True)
class Seated:
    """A core in use: its seat, and what it holds, (population, neurons) each."""

    chip: int
    x: int
    y: int
    slot: int
    parts: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Use:
    """How full cores are: of one limit its value, the mean of the cores and the fullest."""

    limit: str
    most: int | None
    mean: float
    fullest: int
    core: int


@dataclass(frozen=True)
class Chip:
    """Where the network stands. ``machine`` is None without data."""

    cores: tuple[Seated, ...]
    chips: int
    chip_columns: int
    uses: tuple[Use, ...]
    machine: Machine | None


@dataclass(frozen=True)
class Node:
    """An op of the network map; ``inputs`` are nodes, moves of data between them left out.

    ``facts`` is what a click shows, in order; ``because`` the chain that leads to a finding.
    """

    name: str
    label: str
    kind: str
    group: str
    verdict: str
    cost: float
    inputs: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    because: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timing:
    """Clock steps from the first frame to the answer, and from one sample to the next."""

    latency: int
    interval: int
    substeps: int
    encoder: str
    head: str
    delay_memory_bits: int


@dataclass(frozen=True)
class Network:
    """One compiled network, as far as its artefact knows it."""

    name: str
    target: str
    time_steps: int
    samples: int
    calibrated: bool
    weight_bits: int
    sqnr_db: float | None
    same_answer: float
    accuracy: Mapping[str, float]
    findings: tuple[Finding, ...]
    products: tuple[Product, ...]
    layers: tuple[Layer, ...]
    energies: tuple[Energy, ...]
    timing: Timing
    chip: Chip | None
    nodes: tuple[Node, ...]
    labels: tuple[int, ...]
    answers: tuple[int, ...]
    bins: tuple[int, int, int]
    assumed_features: tuple[str, ...]
    made_of: tuple[tuple[str, str], ...]

    @property
    def profiled(self) -> bool:
        """Whether the artefact holds what it did on data, step by step."""
        return any(layer.rates for layer in self.layers)

    def energy(self, model: str) -> Energy | None:
        """Return the energy under a model; None where it was not priced by it."""
        return next((e for e in self.energies if e.model == model), None)
