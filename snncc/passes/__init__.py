"""Passes: graph in, graph out. ``PASSES`` names them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from snncc.passes.balance_delays import BalanceDelays
from snncc.passes.base import Pass
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.check_spikes import CheckSpikes
from snncc.passes.check_target import CheckTarget
from snncc.passes.drop_silent import DropSilent
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales
from snncc.passes.gather_calls import GatherCalls
from snncc.passes.gather_steps import GatherSteps
from snncc.passes.join_pieces import JoinPieces
from snncc.passes.merge_linear_chains import MergeLinearChains
from snncc.passes.quantize import Quantize
from snncc.passes.raise_currents import RaiseCurrents
from snncc.passes.raise_neurons import RaiseNeurons
from snncc.passes.raise_readouts import RaiseReadouts
from snncc.passes.roll_levels import RollLevels
from snncc.passes.to_steps import ToSteps
from snncc.passes.unroll_levels import UnrollLevels

PASSES: Final[Mapping[str, type[Pass]]] = {
    each.name: each
    for each in (
        GatherCalls,
        JoinPieces,
        Canonicalise,
        DropSilent,
        RaiseNeurons,
        RaiseCurrents,
        RaiseReadouts,
        GatherSteps,
        ToSteps,
        CheckSpikes,
        MergeLinearChains,
        FoldBatchNorm,
        FoldScales,
        Quantize,
        UnrollLevels,
        CheckTarget,
        RollLevels,
        BalanceDelays,
    )
}

RAISING: Final[tuple[Pass, ...]] = (
    GatherCalls(),
    JoinPieces(),
    Canonicalise(keep_scales=True),
    DropSilent(),
    RaiseNeurons(),
    RaiseCurrents(),
    RaiseReadouts(),
    Canonicalise(),
)
"""From a graph as imported to one with neurons and currents, over all time steps."""

FRONT: Final[tuple[Pass, ...]] = (
    *RAISING,
    GatherSteps(),
    Canonicalise(),
    ToSteps(),
    Canonicalise(),
)
"""From a graph as imported to the graph of one time step."""
