"""Models of chips: what took place, times what the chip pays, on counts made by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from snncc.energy.events import EVENTS, event_document, event_energy
from snncc.energy.load import available_energy_models, load_energy_model
from snncc.execute.counts import Counts, OpCount

OF_CHIPS = [
    name
    for name in available_energy_models()
    if load_energy_model(name).scope.operations.value == "events"
]


def op(name: str, kind: str, **fields: int | bool) -> OpCount:
    """An op of one time step, all counts zero but those given."""
    zero = {
        key: np.zeros(1, np.int64)
        for key in (
            "events_in", "value_in", "events_right", "event_ops", "synaptic_ops", "fan_out_ops",
            "bias_ops", "spikes_out", "updates", "active",
        )
    }  # fmt: skip
    sizes = {"elements_in": 10, "elements_right": 0, "elements_out": 20, "dense_ops": 200}
    flags = {"spike_input": True, "spike_right": False}
    given = {k: np.full(1, v, np.int64) if k in zero else v for k, v in fields.items()}
    return OpCount(name, name, kind, **{**zero, **sizes, **flags, **given})  # type: ignore[arg-type]


OPS = (
    op("first", "conv", spike_input=False, event_ops=60, synaptic_ops=6000),
    op("fires", "integer_neuron", updates=40, active=30, spikes_out=8),
    op("second", "conv", events_in=8, event_ops=64, synaptic_ops=64),
    op("adds", "add"),
    op("head", "linear", events_in=4, event_ops=12, synaptic_ops=12),
)
COUNTS = Counts(2, 1, {each.name: each for each in OPS})


def test_davies() -> None:
    energy = event_energy(COUNTS, load_energy_model("loihi1-davies2018"))
    picojoules = (60 + 64 + 12) * 23.6 + 30 * 81 + 10 * 52 + 8 * 1.7
    assert energy.energy_mj == pytest.approx(picojoules / 2 * 1e-9, rel=1e-12)
    assert [layer.load.name for layer in energy.layers] == ["first", "fires", "second", "head"]
    assert (energy.mac, energy.ac) == (30, 38)


def test_sanafe() -> None:
    energy = event_energy(COUNTS, load_energy_model("loihi1-sanafe"))
    picojoules = (60 + 64) * 24.0 + 12 * 35.5 + 40 * 51.2 + 30 * 21.6 + 8 * 69.3
    assert energy.energy_mj == pytest.approx(picojoules / 2 * 1e-9, rel=1e-12)


@pytest.mark.parametrize("name", OF_CHIPS)
def test_events_and_layers_are_the_same_total(name: str) -> None:
    document = event_document("n", COUNTS, load_energy_model(name), {"samples": 2})
    total = document["totals"]["energy_mj"]
    assert sum(e["energy_mj"] for e in document["events"].values()) == pytest.approx(total)
    assert sum(layer["energy_mj"] for layer in document["layers"]) == pytest.approx(total)
    assert document["precision"] == "chip"
    assert document["operations"] == "counted"
    assert document["events"]["spike"]["count"] == 4


def test_energy_grows_with_every_event() -> None:
    model = load_energy_model("loihi1-sanafe")
    fires = OPS[1]
    more = [replace(fires, spikes_out=fires.spikes_out + n) for n in range(3)]
    energies = [event_energy(Counts(2, 1, {"fires": m}), model).energy_mj for m in more]
    assert all(a < b for a, b in pairwise(energies))


def test_every_event_has_a_price_somewhere() -> None:
    priced = {key for name in OF_CHIPS for key in load_energy_model(name).constants}
    assert priced == set(EVENTS)
