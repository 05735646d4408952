"""The neurons of NIR as those of a step graph.

``H = V + g X - rate (V - v_leak)`` with ``rate`` and ``g`` from the convention. A leak to another
potential than that of the reset is a current of ``rate (v_leak - v_reset)``. Factors that differ
from channel to channel go into the current: a neuron is the same in other units of potential. So is
a synaptic current, and what multiplies either stands in front of the current.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snncc.frontends.nir.file import Node
from snncc.frontends.nir.write_steps import Writer
from snncc.frontends.rules_of_nir import NOT_NIR
from snncc.ir import ops
from snncc.ir.graph import Array
from snncc.ir.synaptic_current import SynapticCurrent


@dataclass(frozen=True)
class _Leak:
    """Which share of a potential leaks in a step, and of a current stays; where the potential goes.

    ``pull`` is where it leaks to, seen from where it is reset to and starts.
    """

    rate: float | None
    keep: float = 0.0
    pull: float = 0.0


def if_neuron(write: Writer, node: Node, x: str) -> str:
    """Return the spikes of ``IF``."""
    gains = write.array(node, "r")
    convention = write.reading.convention
    return _neuron(write, node, x, gains, convention.gain_without_leak, _Leak(None))


def lif_neuron(write: Writer, node: Node, x: str) -> str:
    """Return the spikes of ``LIF``."""
    return _leaky(write, node, x, "tau")


def cuba_lif_neuron(write: Writer, node: Node, x: str) -> str:
    """Return the spikes of ``CubaLIF``: a neuron behind a current."""
    x, drive, keep = _driven(write, node, x)
    return _leaky(write, node, x, "tau_mem", drive, keep)


def leaky_integrator(write: Writer, node: Node, x: str) -> str:
    """Return the potentials of ``LI``: a current by another name."""
    return _integrated(write, node, x, "tau")


def cuba_leaky_integrator(write: Writer, node: Node, x: str) -> str:
    """Return the potentials of ``CubaLI``: one current behind the other."""
    x, drive, keep = _driven(write, node, x)
    current = _lasting(write, node, write.scaled(node, x, drive), keep)
    return _integrated(write, node, current, "tau_mem")


def threshold(write: Writer, node: Node, x: str) -> str:
    """Return the spikes of ``Threshold``: neurons that keep nothing."""
    level = same(write, node, "threshold")
    return write.emit(
        node, ops.Neuron, x, tau=1.0, decay_input=True, v_threshold=level, v_reset=0.0, strict=True
    )


_HINT = "was it written with another dt? `--set dt=...` or `--set framework=...`"


def _leaky(
    write: Writer, node: Node, x: str, field: str, drive: float = 1.0, keep: float = 0.0
) -> str:
    rate, convention = _rate(write, node, field), write.reading.convention
    leak, reset = same(write, node, "v_leak"), _reset(write, node)
    pull = leak - (reset or 0.0)
    if pull and convention.framework != "nir":
        message = f"it leaks to {leak:g} and is reset to {reset or 0:g}"
        raise write.beyond(
            node, f"{message}, wanted one of both as {convention.framework} reads it"
        )
    r = write.array(node, "r")
    how = _Leak(rate, keep, pull)
    return _neuron(write, node, x, r, lambda r: convention.gain(rate, r) * drive, how)


def _rate(write: Writer, node: Node, field: str) -> float:
    """Return which share leaks in one time step. Raises ``SnnccError`` where it is none."""
    tau = same(write, node, field)
    rate = write.reading.convention.rate(tau) if tau > 0 else 0.0
    if not 0 < rate <= 1:
        what = "current" if field == "tau_syn" else "potential"
        leaks = f": {rate:.4g} of the {what} would leak in one time step"
        message = f"`{field}` is {tau:g}{leaks if tau > 0 else ', wanted a time above 0'}"
        raise write.beyond(node, message, _HINT)
    return rate


def _driven(write: Writer, node: Node, x: str) -> tuple[str, float, float]:
    """Return what drives a synaptic current, its factor, and the share that the current keeps."""
    rate, drive = _rate(write, node, "tau_syn"), write.reading.convention.drive
    weights = write.array(node, "w_in") if "w_in" in node.fields else np.ones(1)
    if _uniform(weights):
        return x, drive(rate, float(weights.flat[0])), 1 - rate
    factors = _by_channel(write, node, x, weights, None)
    return write.scaled_by_channel(node, x, factors), drive(rate, 1.0), 1 - rate


def _lasting(write: Writer, node: Node, x: str, keep: float) -> str:
    """Return a current that keeps a share of itself from step to step."""
    return write.emit(node, SynapticCurrent, x, keep=keep) if keep else x


def _integrated(write: Writer, node: Node, x: str, field: str) -> str:
    """Return the potentials of neurons that never fire, at every time step."""
    rate, leak = _rate(write, node, field), same(write, node, "v_leak")
    if leak:
        raise write.beyond(node, f"it leaks to {leak:g}, wanted 0 where nothing fires")
    r, factor = write.array(node, "r"), write.reading.convention.gain(rate, 1.0)
    if _uniform(r):
        factor = write.reading.convention.gain(rate, float(r.flat[0]))
    else:
        x = write.scaled_by_channel(node, x, _by_channel(write, node, x, r, None))
    return _lasting(write, node, write.scaled(node, x, factor), 1 - rate)


def _reset(write: Writer, node: Node) -> float | None:
    """Return where a spike sets the potential, None where it takes something off."""
    if write.reading.convention.reset != "hard":
        return None
    return same(write, node, "v_reset") if "v_reset" in node.fields else 0.0


def _neuron(write: Writer, node: Node, x: str, r: Array, gain: Any, leak: _Leak) -> str:
    rate, pull = leak.rate, np.full(write.shape(x)[0], leak.pull)
    level, reset = write.array(node, "v_threshold"), _reset(write, node)
    if _uniform(r) and _uniform(level):
        theta, factor = float(level.flat[0]), gain(float(r.flat[0]))
    else:
        if level.min() <= 0:
            raise write.beyond(node, f"its neurons differ, with thresholds from {level.min():g}")
        factors = _by_channel(write, node, x, _quotient(write, node, r, level), reset)
        x, theta, factor = write.scaled_by_channel(node, x, factors), 1.0, gain(1.0)
        pull = pull / _by_channel(write, node, x, np.broadcast_to(level, r.shape), reset)
    if theta <= (reset or 0.0):
        raise write.beyond(node, f"its threshold {theta:g} is not above its reset {reset or 0:g}")
    tau = None if rate is None else 1 / rate
    plain = rate is not None and factor == 1
    x = write.scaled(node, x, factor if rate is None or plain else factor / rate)
    x = _pulled(write, node, _lasting(write, node, x, leak.keep), pull * (rate if plain else 1))
    return write.emit(
        node, ops.Neuron, x, tau=tau, decay_input=not plain,
        v_threshold=theta, v_reset=reset, strict=write.reading.convention.strict,
        v_subtract=_late(write, node, theta, rate or 0.0),
    )  # fmt: skip


def _pulled(write: Writer, node: Node, x: str, pull: Array) -> str:
    """Return a current with that of the leak added, which is the same in every step."""
    if not pull.any():
        return x
    axes = (1,) * (len(write.shape(x)) - 1)
    inner = Node(f"{node.path}.v_leak", node.type, {})
    return write.emit(
        node, ops.Add, x, write.emit(inner, ops.Constant, value=pull.reshape(-1, *axes))
    )


def _late(write: Writer, node: Node, theta: float, rate: float) -> float | None:
    """Return what a spike takes off at once, where the threshold is taken off behind the leak."""
    if write.reading.convention.reset != "soft-late" or rate == 0:
        return None
    if rate == 1:
        raise write.beyond(node, "it keeps nothing but what its last spike takes off")
    return theta / (1 - rate)


def same(write: Writer, node: Node, name: str) -> float:
    """Return the value of a field that is the same for all neurons. Raises ``SnnccError``."""
    values = write.array(node, name)
    if not _uniform(values):
        message = f"`{name}` goes from {values.min():g} to {values.max():g}, wanted one for all"
        raise write.beyond(node, message)
    return float(values.flat[0])


def _uniform(values: Array) -> bool:
    return values.size > 0 and bool(np.all(values == values.flat[0]))


def _quotient(write: Writer, node: Node, r: Array, level: Array) -> Array:
    """Return ``r / level``; one of them may have one value for all. Raises ``SnnccError``."""
    if r.shape != level.shape and 1 not in (r.size, level.size):
        message = f"`r` has shape {r.shape}, `v_threshold` {level.shape}"
        raise write.fault(NOT_NIR, node, message)
    return np.asarray(r / level)


def _by_channel(write: Writer, node: Node, x: str, factors: Array, reset: float | None) -> Array:
    """Return one factor a channel. Raises ``SnnccError`` where neurons of one channel differ."""
    shape = write.shape(x)
    if reset not in (None, 0.0):
        raise write.beyond(node, f"its neurons differ, and are reset to {reset:g}")
    if factors.shape not in (shape, shape[:1]):
        message = f"parameters of shape {factors.shape} do not meet neurons of shape {shape}"
        raise write.beyond(node, message)
    rows = factors.reshape(shape[0], -1)
    if np.any(rows != rows[:, :1]) or not np.all(np.isfinite(rows)):
        raise write.beyond(node, "its neurons differ within a channel, wanted one value a channel")
    return np.asarray(rows[:, 0], np.float64)
