"""Energy: operations of one sample times what an energy model says that one costs.

Two ways to come to the operations. *Estimated*, as the papers do: dense operations times the
firing rate of the input. *Counted*: what took place, ``execute.counts``. Where the input is spikes
an operation is an addition (AC), else a multiplication and an addition (MAC).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snncc.energy.load import EnergyModel, precisions_of
from snncc.execute.counts import Counts, OpCount

SCHEMA = "snncc.energy/1"
MJ_PER_PJ = 1e-9
PRICED = ("conv", "linear", "matmul", "mask")
"""The kinds of ops that cost energy under every model: products with weights or of two values."""


@dataclass(frozen=True)
class Load:
    """The operations of one op for one sample, all time steps, before any price.

    ``rate`` is the firing rate of the input, 1 where it is no spikes; ``dense_ops`` is what a
    dense network would execute.
    """

    name: str
    path: str
    op: str
    rate: float
    dense_ops: int
    mac: float
    ac: float


@dataclass(frozen=True)
class LayerEnergy:
    """The operations of one op and what they cost."""

    load: Load
    energy_mj: float


@dataclass(frozen=True)
class Energy:
    """What one sample costs under one model with numbers of one precision."""

    model: EnergyModel
    precision: str
    layers: tuple[LayerEnergy, ...]

    @property
    def mac(self) -> float:
        """Multiplications with addition of one sample."""
        return sum(layer.load.mac for layer in self.layers)

    @property
    def ac(self) -> float:
        """Additions of one sample."""
        return sum(layer.load.ac for layer in self.layers)

    @property
    def energy_mj(self) -> float:
        """Energy of one sample."""
        return sum(layer.energy_mj for layer in self.layers)


def estimate(name: str, path: str, op: str, dense_ops: int, rate: float | None) -> Load:
    """Return the papers' estimate of one op; ``rate`` is None where its input is no spikes.

    ``ac = rate dense_ops`` for spikes, else ``mac = dense_ops``. ``dense_ops`` counts every tap of
    a window, also those in the padding, and with a bias one more for each output.
    """
    if rate is None:
        return Load(name, path, op, 1.0, dense_ops, mac=float(dense_ops), ac=0.0)
    return Load(name, path, op, rate, dense_ops, mac=0.0, ac=dense_ops * rate)


def estimated(counts: Counts) -> tuple[Load, ...]:
    """Return the papers' estimates, from the rates of the counts.

    Of two spike operands the smaller rate counts, of one its own: with Q (KᵀV) this is their
    ``T h N (D/h)² (min(r_k, r_v) + r_q)`` for each block.
    """
    return tuple(_estimated(counts, op) for op in _priced(counts))


def counted(counts: Counts) -> tuple[Load, ...]:
    """Return what took place, the mean over the samples.

    An AC is a spike that meets a synapse that exists; a MAC the same for an input that is no spike
    and not zero. Additions of a bias are none of them.
    """
    return tuple(_counted(counts, op) for op in _priced(counts))


def loads(counts: Counts, model: EnergyModel) -> tuple[Load, ...]:
    """Return the operations that a model multiplies its constants with."""
    way = {"estimated": estimated, "counted": counted}
    return way[model.scope.operations.value](counts)


def price(of: Iterable[Load], model: EnergyModel, precision: str = "fp32") -> Energy:
    """Return the energy of one sample. ``KeyError`` where the model has no such constants."""
    mac_pj = model.constants[f"mac_{precision}"].value
    dense = model.scope.operations.value == "dense"
    ac_pj = 0.0 if dense else model.constants[f"ac_{precision}"].value
    priced = (LayerEnergy(x, (x.mac * mac_pj + x.ac * ac_pj) * MJ_PER_PJ) for x in of)
    return Energy(model, precision, tuple(priced))


def document(
    network: str, of: tuple[Load, ...], model: EnergyModel, facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the ``snncc.energy/1`` document; its layers are in the model's first precision.

    ``facts`` go into it as they are: on how many samples, of how many time steps, or that the
    operations are estimated although the model would count them.
    """
    priced = [price(of, model, precision) for precision in precisions_of(model)]
    return document_of(network, priced, facts)


def document_of(
    network: str, priced: Sequence[Energy], facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the document of energies under one model; its layers are of the first."""
    first, model = priced[0], priced[0].model
    return {
        "schema": SCHEMA,
        "model": network,
        "energy_model": model.name,
        "operations": model.scope.operations.value,
        **(facts or {}),
        "precision": first.precision,
        "totals": _totals(first),
        "totals_by_precision": {each.precision: _totals(each) for each in priced},
        "layers": [_layer(layer) for layer in first.layers],
        "constants": {
            key: {
                "value": constant.value,
                "unit": constant.unit,
                "evidence": constant.evidence,
                "source": constant.source,
            }
            for key, constant in model.constants.items()
        },
        "assumptions": list(model.assumptions),
        "leaves_out": list(model.leaves_out),
    }


def _totals(energy: Energy) -> dict[str, float]:
    return {"mac": energy.mac, "ac": energy.ac, "energy_mj": energy.energy_mj}


def _layer(layer: LayerEnergy) -> dict[str, Any]:
    load = layer.load
    return {
        "path": load.path,
        "op": load.op,
        "name": load.name,
        "rate": load.rate,
        "dense_ops": load.dense_ops,
        "mac": load.mac,
        "ac": load.ac,
        "energy_mj": layer.energy_mj,
    }


def _priced(counts: Counts) -> Iterator[OpCount]:
    return (op for op in counts.ops.values() if op.kind in PRICED)


def _rate(counts: Counts, op: OpCount) -> float | None:
    """Return the rate that decides how often the op adds; None where no operand is spikes."""
    left = int(op.events_in.sum()) / (counts.samples * op.runs * op.elements_in)
    rates = [left] if op.spike_input else []
    rates += [counts.rate_right(op.name)] if op.spike_right else []
    return min(rates, default=None)


def _estimated(counts: Counts, op: OpCount) -> Load:
    bias = op.elements_out if op.bias_ops.any() else 0
    dense = op.runs * (op.dense_ops + bias)
    return estimate(op.name, op.path, op.kind, dense, _rate(counts, op))


def _counted(counts: Counts, op: OpCount) -> Load:
    rate = _rate(counts, op)
    ops = op.event_ops if rate is None else op.synaptic_ops
    mean = int(ops.sum()) / counts.samples
    mac, ac = (mean, 0.0) if rate is None else (0.0, mean)
    shown = 1.0 if rate is None else rate
    return Load(op.name, op.path, op.kind, shown, op.runs * op.dense_ops, mac, ac)
