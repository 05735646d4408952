"""Integer neurons as ONNX functions: one step of a layer, with the body that defines it.

::

    (spikes, after) = HardReset(current, potential, threshold)
    (spikes, after) = SoftReset(current, potential, threshold, unit)

``h = rz(potential numerator / denominator) + gain current``, with ``rz`` rounding toward zero as
ONNX's integer ``Div`` does; ``spikes = h >= threshold``. Then ``after = 0`` where there is a spike
(hard), or ``h - unit spikes`` (soft). The functions whose name ends in ``Levels`` have one more
axis in front of ``threshold`` and count the thresholds that are reached.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import AttributeProto, FunctionProto, NodeProto, OperatorSetIdProto, helper

from snncc.backends.onnx.draft import Draft, refused, width_of
from snncc.backends.onnx.sheet import INT32, UINT8, Tensor, numpy_type
from snncc.ir.graph import Array
from snncc.ir.memory import neuron_weights
from snncc.ir.ops import IntegerNeuron
from snncc.ir.synaptic_current import DECAY_BITS, IntegerCurrent

DOMAIN = "snncc"
_MOST_LEVELS = 127
"""The executor holds counts of spikes in signed bytes."""

PARAMETERS = ("numerator", "denominator", "gain")
_TEXT = "One time step of a layer of integer neurons: leak toward zero, add, compare, reset."


def function_name(op: IntegerNeuron) -> str:
    """Return the name of the function that computes a layer."""
    return f"{op.reset.capitalize()}Reset{'Levels' if op.levels > 1 else ''}"


def potential_kind(draft: Draft, op: IntegerNeuron) -> int:
    """Return the integers that hold the potential, whatever the input.

    In T steps the current adds at most ``T gain max|X|``; a soft reset takes ``levels`` times the
    unit at most in each. A leak makes it smaller, after a product with the numerator.
    """
    if op.levels > _MOST_LEVELS:
        raise refused(op, f"counts {op.levels} levels, wanted at most {_MOST_LEVELS}")
    threshold, unit = neuron_weights(op, draft.graph)
    taken = threshold if unit is None else unit
    row = max(_magnitude(threshold), _magnitude(taken))
    current = draft.largest(op.inputs[0]) << op.shift
    most = draft.graph.steps * (current + op.levels * row) + row
    return width_of(most * max(fraction_kept(op)[0], 1), op)


def write_neuron(draft: Draft, op: IntegerNeuron, before: str) -> str:
    """Write one step of a layer; return the name of the potential after it."""
    kind, sheet = potential_kind(draft, op), draft.sheet
    threshold, unit = _rows(draft, op)
    wide = numpy_type(kind)
    inputs = [draft.whole(op, 0, kind).name, before]
    inputs.append(draft.store.put(f"{op.name}.threshold", threshold.astype(wide)))
    if op.reset == "soft":
        same = op.levels == 1 and op.unit is None
        inputs.append(inputs[2] if same else draft.store.put(f"{op.name}.unit", unit.astype(wide)))
    numerator, denominator = fraction_kept(op)
    results = (op.name, f"{op.name}/potential")
    spikes, after = sheet.nodes_of(
        function_name(op), inputs, results, op.source.module, domain=DOMAIN,
        numerator=numerator, denominator=denominator, gain=1 << op.shift,
    )  # fmt: skip
    draft.take(op, Tensor(spikes, UINT8, sheet))
    draft.functions.add(function_name(op))
    return after


def fraction_kept(op: IntegerNeuron | IntegerCurrent) -> tuple[int, int]:
    """Return what is kept of a state in a step, as a fraction in lowest terms."""
    whole = 1 << DECAY_BITS
    if not 0 <= op.decay <= whole:
        raise refused(op, f"has decay {op.decay}, wanted 0..{whole}")
    shared = math.gcd(whole - op.decay, whole)
    return (whole - op.decay) // shared, whole // shared


def _rows(draft: Draft, op: IntegerNeuron) -> tuple[Array, Array]:
    """Return threshold and unit; levels stand in front of the batch."""
    threshold, unit = neuron_weights(op, draft.graph)
    first = threshold if op.levels == 1 else threshold[0]
    taken = first if unit is None else unit
    if op.levels > 1:
        axes = len(draft.shape(op.name)) + 2 - threshold.ndim
        threshold = threshold.reshape(len(threshold), *(1,) * axes, *threshold.shape[1:])
    return threshold, taken


def _magnitude(array: Array) -> int:
    return int(np.abs(array.astype(np.int64)).max(initial=0))


def neuron_function(name: str, opset: OperatorSetIdProto) -> FunctionProto:
    """Return the body of the function of this name."""
    soft, levels = name.startswith("Soft"), name.endswith("Levels")
    nodes = [*charge(), *(_count() if levels else _compare())]
    nodes += _soft_reset() if soft else _hard_reset()
    inputs = ["current", "potential", "threshold", *(["unit"] if soft else [])]
    made = helper.make_function(
        DOMAIN, name, inputs, ["spikes", "after"], nodes, [opset], list(PARAMETERS)
    )
    made.doc_string = _TEXT
    return made


def charge() -> list[NodeProto]:
    """``h = rz(potential numerator / denominator) + gain current``."""
    nodes = []
    for name in PARAMETERS:
        nodes += _number(name)
    return [
        *nodes,
        helper.make_node("Mul", ["potential", "numerator"], ["kept"]),
        helper.make_node("Div", ["kept", "denominator"], ["leaked"]),
        helper.make_node("Mul", ["current", "gain"], ["charge"]),
        helper.make_node("Add", ["leaked", "charge"], ["h"]),
    ]


def _number(name: str) -> list[NodeProto]:
    """The attribute of this name as a scalar of the potential's type."""
    constant = helper.make_node("Constant", [], [f"{name}_wide"])
    reference = AttributeProto(name="value_int", ref_attr_name=name, type=AttributeProto.INT)
    constant.attribute.append(reference)
    return [constant, helper.make_node("CastLike", [f"{name}_wide", "potential"], [name])]


def _compare() -> list[NodeProto]:
    return [
        helper.make_node("GreaterOrEqual", ["h", "threshold"], ["fired"]),
        helper.make_node("Cast", ["fired"], ["spikes"], to=UINT8),
    ]


def _count() -> list[NodeProto]:
    """How many of the thresholds, which lie along a new first axis, are reached."""
    return [
        helper.make_node("Constant", [], ["first"], value_ints=[0]),
        helper.make_node("Unsqueeze", ["h", "first"], ["rows"]),
        helper.make_node("GreaterOrEqual", ["rows", "threshold"], ["reached"]),
        helper.make_node("Cast", ["reached"], ["ones"], to=INT32),
        helper.make_node("ReduceSum", ["ones", "first"], ["count"], keepdims=0),
        helper.make_node("Cast", ["count"], ["spikes"], to=UINT8),
        helper.make_node("Constant", [], ["none_wide"], value_int=0),
        helper.make_node("CastLike", ["none_wide", "count"], ["none"]),
        helper.make_node("Greater", ["count", "none"], ["fired"]),
    ]


def _hard_reset() -> list[NodeProto]:
    return [
        helper.make_node("Constant", [], ["zero_wide"], value_int=0),
        helper.make_node("CastLike", ["zero_wide", "h"], ["zero"]),
        helper.make_node("Where", ["fired", "zero", "h"], ["after"]),
    ]


def _soft_reset() -> list[NodeProto]:
    return [
        helper.make_node("CastLike", ["spikes", "h"], ["times"]),
        helper.make_node("Mul", ["unit", "times"], ["taken"]),
        helper.make_node("Sub", ["h", "taken"], ["after"]),
    ]
