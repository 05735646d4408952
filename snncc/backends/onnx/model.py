"""The whole model: what is computed once, the loop over time, the answer; and its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias, cast

from onnx import FunctionProto, ModelProto, OperatorSetIdProto, checker, helper

from snncc import __version__
from snncc.backends.onnx import plain
from snncc.backends.onnx.currents import KEPT_CURRENT, kept_current
from snncc.backends.onnx.draft import Draft, refused
from snncc.backends.onnx.ends import write_input, write_output
from snncc.backends.onnx.neurons import DOMAIN, neuron_function
from snncc.backends.onnx.products import write_matmul, write_weighted
from snncc.backends.onnx.properties import of_the_graph
from snncc.backends.onnx.rules import ONNX_CANNOT_SAY, ONNX_TOO_LARGE
from snncc.backends.onnx.sheet import FLOAT
from snncc.backends.onnx.steps import write_readout, write_steps
from snncc.diagnostics.core import SnnccError
from snncc.execute.weights import require_weights
from snncc.ir.graph import Array, Graph, Op, Source
from snncc.ir.ops import Input, Output, Readout
from snncc.ir.timing import Timing

OPSET = 17
"""The oldest that says all of it; the tests ran with onnxruntime 1.20, 1.23 and 1.32."""

IR_VERSION = 8
LARGEST_FILE = 2**31 - 1
"""Bytes of a protobuf message, by protobuf's own limit."""

_STATEFUL = ("input", "integer_neuron", "integer_current", "readout", "output")


def write_onnx(
    graph: Graph,
    *,
    name: str = "network",
    unroll: bool = False,
    metadata: Mapping[str, str] | None = None,
    largest: int | None = None,
) -> ModelProto:
    """Return an integer step graph as an ONNX model that onnxruntime runs to the last bit.

    Input is float32 ``[batch, *shape]``, or ``[T, batch, *shape]`` where it varies, as for the
    executor; the answer is float64, int64 where it has no scale. Time is a ``Scan``, or written out
    with ``unroll``. The step graph stands in the properties, from which ``read_back`` has it again.
    Raises ``SnnccError`` for what has no exact form, and for more than ``largest`` bytes, 2 GiB
    where none are given.
    """
    largest = LARGEST_FILE if largest is None else largest
    if graph.level != "step":
        raise SnnccError(ONNX_CANNOT_SAY.at(Source(), f"`{name}` is no step graph", hint="compile"))
    require_weights(graph, name)
    _require_said(graph)
    _require_room(sum(cast(Array, w).nbytes for w in graph.weights.values()), name, largest)
    draft = Draft(graph, largest)
    _write(draft, unroll)
    model = _model(draft, name, {**of_the_graph(graph, unroll=unroll), **(metadata or {})})
    _require_room(model.ByteSize(), name, largest)
    return model


def bytes_of(model: ModelProto) -> bytes:
    """Return the file of a model that passes ONNX's full check; same model, same bytes."""
    checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _require_said(graph: Graph) -> None:
    """Refuse every op that ONNX cannot say at once."""
    known = (*_WRITERS, *_STATEFUL)
    found = [
        d
        for op in graph.ops
        if op.kind not in known
        for d in refused(op, "has no exact form in ONNX", "compile the model").diagnostics
    ]
    for kind in ("input", "output"):
        ops = graph.of_kind(kind)
        if len(ops) != 1:
            message = f"the graph has {len(ops)} ops of kind {kind}, wanted 1"
            found.append(ONNX_CANNOT_SAY.at(Source(), message))
    if found:
        raise SnnccError(*found)


def _require_room(size: int, name: str, largest: int) -> None:
    if size > largest:
        message = f"`{name}` takes {size:,} bytes, an ONNX file holds {largest:,}"
        raise SnnccError(ONNX_TOO_LARGE.at(Source(), message))


def _write(draft: Draft, unroll: bool) -> None:
    """Write what is made once, then the time steps, then what is made of their sums."""
    for op in draft.graph.ops:
        if op.name in draft.varying or op.name in draft.late:
            continue
        if op.kind == "input":
            write_input(draft, cast(Input, op), op.name)
        else:
            _write_plain(draft, op)
    shown = write_steps(draft, _write_plain, unroll=unroll)
    for op in draft.graph.ops:
        if op.kind == "output":
            write_output(draft, cast(Output, op), shown.every.get(op.name))
        elif op.kind == "readout":
            write_readout(draft, cast(Readout, op), shown)
        elif op.name in draft.late:
            _write_plain(draft, op)


def _write_plain(draft: Draft, op: Op) -> None:
    _WRITERS[op.kind](draft, op)


def _model(draft: Draft, name: str, metadata: Mapping[str, str]) -> ModelProto:
    entry, answer = (draft.graph.of_kind(kind)[0] for kind in ("input", "output"))
    steps = [draft.graph.steps]
    varies = steps if cast(Input, entry).varies else []
    every = steps if draft.when[answer.name] is Timing.STEP else []
    x = helper.make_tensor_value_info(
        entry.name, FLOAT, [*varies, "batch", *draft.shape(entry.name)]
    )
    y = helper.make_tensor_value_info(
        answer.name, draft.values[answer.name].kind, [*every, "batch", *draft.shape(answer.name)]
    )
    written = helper.make_graph(
        draft.root.nodes, name, [x], [y], initializer=draft.store.protos(),
        value_info=draft.root.infos, doc_string=_proof(draft),
    )  # fmt: skip
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(
        written, opset_imports=[opset, helper.make_opsetid(DOMAIN, 1)], ir_version=IR_VERSION,
        functions=_functions(draft.functions, opset), producer_name="snncc",
        producer_version=__version__, doc_string=_proof(draft),
    )  # fmt: skip
    helper.set_model_props(model, dict(sorted(metadata.items())))
    return model


def _functions(names: set[str], opset: OperatorSetIdProto) -> list[FunctionProto]:
    """Return the functions of these names, in alphabetical order."""
    return [
        kept_current(opset) if name == KEPT_CURRENT else neuron_function(name, opset)
        for name in sorted(names)
    ]


def _proof(draft: Draft) -> str:
    """Say why the model is exact, with the products by the kernel that computes them."""
    counts = ", ".join(f"{len(ops)} {kernel}" for kernel, ops in sorted(draft.kernels.items()))
    return (
        "An integer step graph of snncc, equal to its executor to the last bit. "
        f"Products: {counts or 'none'}. Integer kernels read numbers whose sums they hold, and "
        "where a product runs in float32 each of its partial sums is an integer below 2**24: both "
        "are proved from the domains of the values. It holds on onnxruntime's CPU provider, and "
        "on any that adds products in float32 or wider."
    )


_Writer: TypeAlias = Callable[..., None]
_WRITERS: Mapping[str, _Writer] = MappingProxyType(
    {
        "constant": plain.write_constant,
        "conv": write_weighted,
        "linear": write_weighted,
        "add": plain.write_add,
        "mask": plain.write_mask,
        "matmul": write_matmul,
        "scale": plain.write_scale,
        "round_shift": plain.write_round_shift,
        "sum": plain.write_sum,
        "max_pool": plain.write_max_pool,
        "avg_pool": plain.write_avg_pool,
        "pad": plain.write_pad,
        "thermometer": plain.write_thermometer,
        "reshape": plain.write_reshape,
        "permute": plain.write_permute,
        "expand": plain.write_expand,
        "slice": plain.write_slice,
        "concat": plain.write_concat,
        "repeat": plain.write_same,
        "delay": plain.write_same,
    }
)
