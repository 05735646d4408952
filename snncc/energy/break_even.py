"""The firing rate at which a spiking network costs as much as its twin without spikes.

With all rates scaled alike by ``f`` a network costs ``fixed + f spiking``; it breaks even with its
twin at ``f = (twin - fixed) / spiking``, so at ``f`` times its mean rate. Papers that count the
movement of data too have found thresholds of their own, which stand beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from snncc.energy.price import Load
from snncc.energy.twin import quantized_bits

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Threshold:
    """A published break-even rate, and the time steps that it holds for."""

    rate: float
    from_steps: int
    to_steps: int
    source: str


@dataclass(frozen=True)
class BreakEven:
    """Where a network stands: its mean rate, that of break-even, and what both cost, in mJ.

    ``rate`` is None where nothing spikes; it is negative where what does not spike costs more than
    the twin, and above 1 where the network costs less however often it fires.
    """

    mean_rate: float
    rate: float | None
    fixed_mj: float
    spiking_mj: float
    twin_mj: float


def mean_rate(of: Iterable[Load]) -> float:
    """Return the firing rate of all inputs that are spikes, each weighted by its dense operations.

    Products of two values have no dense form that spikes are a share of, and are left out.
    """
    weighted = [x for x in of if x.op in ("conv", "linear") and not x.mac and x.dense_ops]
    dense = sum(x.dense_ops for x in weighted)
    return sum(x.rate * x.dense_ops for x in weighted) / dense if dense else 0.0


def mean_rate_of(layers: Iterable[Mapping[str, Any]]) -> float:
    """Return the same of the layers of an energy document."""
    keys = ("name", "path", "op", "rate", "dense_ops", "mac", "ac")
    return mean_rate(Load(*(layer[key] for key in keys)) for layer in layers)


def break_even(rate: float, total_mj: float, spiking_mj: float, twin_mj: float) -> BreakEven:
    """Return where a network of that mean rate stands. Energies are of one sample."""
    fixed = total_mj - spiking_mj
    even = rate * (twin_mj - fixed) / spiking_mj if spiking_mj > 0 else None
    return BreakEven(rate, even, fixed, spiking_mj, twin_mj)


def thresholds() -> tuple[Threshold, ...]:
    """Return the published thresholds."""
    return tuple(_all())


def break_even_document(found: BreakEven, steps: int) -> dict[str, Any]:
    """Return what an energy document says of it."""
    return {
        "mean_rate": found.mean_rate,
        "rate": found.rate,
        "fixed_mj": found.fixed_mj,
        "spiking_mj": found.spiking_mj,
        "twin_mj": found.twin_mj,
        "twin_bits": quantized_bits(steps),
        "published": [
            {
                "rate": each.rate,
                "from_steps": each.from_steps,
                "to_steps": each.to_steps,
                "source": each.source,
            }
            for each in thresholds()
        ],
    }


@cache
def _all() -> list[Threshold]:
    text = (resources.files("snncc.energy") / "break_even.toml").read_text("utf-8")
    return [Threshold(**fields) for fields in tomllib.loads(text).values()]
