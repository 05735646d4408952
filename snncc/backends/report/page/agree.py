"""Whether the documents of an artefact fit together: a page draws them beside each other.

Every file of an artefact has its hash, but whoever changes a file can write a new hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snncc.backends.report.page.network import Chip, Layer, Machine, Network
from snncc.machine.routes import DIRECTIONS

_BEYOND = 2**63
_MESH = ("columns", "rows", "cores_per_tile")
_MOST_TILES = 2**17
"""Of all chips in use: three times those of Hala Point, 1 152 chips of 32 tiles."""
_MOST_SLOTS = 2**10


def require_numbers(document: Any) -> None:
    """Raise ``ValueError`` where a JSON document holds a number that is infinite, or none."""
    if isinstance(document, dict):
        require_numbers(list(document.values()))
    elif isinstance(document, list):
        for value in document:
            require_numbers(value)
    elif isinstance(document, (int, float)) and not abs(document) < _BEYOND:
        raise ValueError("it holds a number out of range")


def require_fit(network: Network) -> None:
    """Raise ``ValueError`` where parts of a network are of other sizes than each other."""
    if network.timing.interval < 1:
        raise ValueError(f"the interval is {network.timing.interval} steps")
    for energy in network.energies:
        if energy.precision not in energy.totals_mj:
            raise ValueError(f"{energy.model} has no total in {energy.precision}")
    if network.profiled:
        _require_rasters(network.layers)
        if network.bins[0] < 1:
            raise ValueError(f"the bins are {network.bins[0]} a threshold")
    chip = network.chip
    if chip is not None and chip.machine is not None:
        _require_loads(chip.machine, len(chip.cores))
        _require_drawable(chip, chip.machine)


def _require_rasters(layers: Sequence[Layer]) -> None:
    """Hold spikes to ``[samples][steps]`` texts with a character for each neuron shown."""
    wanted = [len(sample) for sample in layers[0].spikes]
    for layer in layers:
        rasters = [layer.spikes, *([layer.float_spikes] if layer.float_spikes else [])]
        rows = [row for raster in rasters for sample in raster for row in sample]
        steps = [[len(sample) for sample in raster] for raster in rasters]
        fits = all(each == wanted for each in steps) and all(wanted) and bool(wanted)
        if not fits or any(len(row) != len(layer.shown) for row in rows):
            raise ValueError(f"the spikes of `{layer.path}` are not of its neurons and steps")


def _require_drawable(chip: Chip, machine: Machine) -> None:
    """Hold the mesh to the seats on it, and to what a page can draw: it draws every tile."""
    columns, rows, slots = (int(machine.mesh[key].value) for key in _MESH)
    chips = len({core.chip for core in chip.cores})
    if columns * rows * max(chips, 1) > _MOST_TILES or slots > _MOST_SLOTS:
        raise ValueError(
            f"the mesh has {columns} x {rows} tiles of {slots} cores on {chips} chips, "
            f"a page draws {_MOST_TILES} tiles of {_MOST_SLOTS} cores at most"
        )


def _require_loads(machine: Machine, cores: int) -> None:
    steps = len(machine.steps)
    for measure, loads in machine.loads.items():
        whole = measure.endswith("_core")
        rows = [loads] if whole else list(loads)
        if len(rows) != (1 if whole else steps) or any(len(row) != cores for row in rows):
            raise ValueError("the loads are not of the cores and steps of the placement")
        if not all(isinstance(count, int) for row in rows for count in row):
            raise ValueError(f"{measure} holds what is no count")
    if "operations" not in machine.loads:
        raise ValueError("the loads have no operations")
    for key in _MESH:
        if not isinstance(value := machine.mesh[key].value, int) or value < 1:
            raise ValueError(f"the mesh has {value} {key}")
    for direction, _, _, packets in machine.links:
        if direction not in DIRECTIONS or len(packets) != steps:
            raise ValueError(f"a link leads {direction} in {len(packets)} steps")
