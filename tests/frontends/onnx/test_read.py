"""ONNX networks of unrolled neurons: what they are read as, and that it computes the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from snncc.compiler import Checked, check_model, compile_checked
from snncc.diagnostics.core import SnnccError
from snncc.execute.agreement import agreement
from snncc.execute.executor import Executor
from snncc.frontends.load import load_model
from snncc.frontends.model import ReadGraph
from snncc.frontends.onnx.operators import decimal
from snncc.ir.graph import Array
from snncc.ir.ops import Neuron
from snncc.targets.load import load_target

Save = Callable[..., Path]
Make = Callable[..., onnx.ModelProto]

SAMPLES = np.random.default_rng(1).uniform(-1, 2, (8, 4)).astype(np.float32)
COMPARES = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "turned", "Where", "Sign",
            "heaviside")  # fmt: skip
STRICT = ("Greater", "LessOrEqual", "Sign")
"""Comparisons that stay silent on the threshold."""


def judged(path: Path, **options: Any) -> Checked:
    return check_model(load_model(str(path), **options))


def neurons(checked: Checked) -> set[tuple[Any, ...]]:
    return {
        (op.tau, op.decay_input if op.tau else None, op.v_threshold, op.v_reset, op.strict)
        for op in cast(tuple[Neuron, ...], checked.graph.of_kind("neuron"))
    }


def reference(path: Path, x: Array) -> Array:
    """What ONNX's own interpreter answers, one sample at a time."""
    session: Any = ReferenceEvaluator(str(path))
    return np.concatenate([session.run(None, {"x": each[None]})[0] for each in x])


def assert_same_network(checked: Checked, path: Path) -> None:
    mine = Executor(checked.graph).run(SAMPLES.astype(np.float64)).output
    own = checked.model.origin.record(SAMPLES)
    assert np.abs(mine - reference(path, SAMPLES)).max() < 1e-5
    assert agreement(checked.graph, SAMPLES, own.spikes, own.output).equal


@pytest.mark.parametrize("fire", COMPARES)
def test_every_comparison_is_raised(fire: str, saved: Save, unrolled: Make) -> None:
    path = saved(unrolled(fire=fire))
    checked = judged(path)
    assert neurons(checked) == {(None, None, 1.0, 0.0, fire in STRICT)}
    assert (checked.graph.level, checked.graph.steps, checked.clean) == ("step", 3, True)
    assert_same_network(checked, path)


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ({"charge": "lif"}, (2.0, True, 1.0, 0.0, False)),
        ({"charge": "leak"}, (4.0, False, 1.0, 0.0, False)),
        ({"reset": "soft"}, (None, None, 1.0, None, False)),
        ({"charge": "lif", "reset": "soft"}, (2.0, True, 1.0, None, False)),
        ({"charge": "lif", "rest": -0.25}, (2.0, True, 1.0, -0.25, False)),
        ({"charge": "lif", "T": 6}, (2.0, True, 1.0, 0.0, False)),
    ],
)
def test_every_kind_is_raised(
    how: dict[str, Any], wanted: tuple[Any, ...], saved: Save, unrolled: Make
) -> None:
    path = saved(unrolled(**how))
    checked = judged(path)
    assert neurons(checked) == {wanted}
    assert_same_network(checked, path)


@pytest.mark.parametrize("batch", ["batch", 1, 2, 5])
def test_any_batch_is_taken_off(batch: str | int, saved: Save, unrolled: Make) -> None:
    several, one = (
        judged(saved(unrolled(charge="lif", batch=size), f"{size}.onnx"))
        for size in (batch, "other")
    )
    assert several.graph == one.graph
    assert several.model.input_shape == (4,)


@pytest.mark.parametrize("opset", [13, 17, 18, onnx.defs.onnx_opset_version()])
def test_opsets(opset: int, saved: Save, unrolled: Make) -> None:
    assert judged(saved(unrolled(opset=opset))).clean


@pytest.mark.parametrize("opset", [9, 12, onnx.defs.onnx_opset_version() + 1])
def test_other_opsets_are_refused(opset: int, saved: Save, unrolled: Make) -> None:
    with pytest.raises(SnnccError, match=rf"opset {opset} is not read, wanted 13 to \d+"):
        load_model(str(saved(unrolled(opset=opset))))


def test_a_near_miss_stays_arithmetic_and_is_explained(saved: Save, unrolled: Make) -> None:
    checked = judged(saved(unrolled(fire="half sign")))
    assert not checked.clean
    assert "SNN155" in {d.rule.code for d in checked.diagnostics}


def test_ops_are_named_by_the_exporters_scopes(saved: Save, unrolled: Make) -> None:
    checked = judged(saved(unrolled()))
    assert {op.source.module for op in checked.graph.of_kind("neuron")} == {"lif1", "lif2"}
    assert [v.path for v in checked.verdicts] == ["fc1", "fc2", "head"]


def test_a_compile_holds_every_spike_to_the_file(saved: Save, unrolled: Make) -> None:
    compiled = compile_checked(judged(saved(unrolled(charge="lif"))), target=load_target("loihi2"))
    agreed = compiled.agreement
    assert (agreed.samples, agreed.spikes_compared, agreed.differing) == (8, 8 * 3 * 11, 0)
    assert agreed.unmatched == ()


def test_functions_of_the_file_are_written_out(saved: Save, unrolled: Make) -> None:
    plain = unrolled()
    model = onnx.ModelProto.FromString(plain.SerializeToString())
    body = [
        helper.make_node("Add", ["v", "i"], ["sum"]),
        helper.make_node("Mul", ["sum", "scale"], ["out"]),
        helper.make_node("Constant", [], ["scale"], value_float=1.0),
    ]
    body = [body[2], *body[:2]]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("net", "Charge", ["v", "i"], ["out"], body, opsets))
    model.opset_import.append(helper.make_opsetid("net", 1))
    for node in model.graph.node:
        if node.op_type == "Add" and "/lif" in node.name:
            node.op_type, node.domain = "Charge", "net"
    written, called = judged(saved(plain, "p.onnx")), judged(saved(model, "f.onnx"))
    assert neurons(called) == neurons(written)
    assert_same_network(called, saved(model, "f.onnx"))


def loop_over_time(count: int) -> onnx.ModelProto:
    """A layer of neurons whose loop over time is a ``Loop``, as TorchScript exports one."""
    from onnx import parser

    return parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        main (float[b, 4] x) => (float[b, 4] y)
        <int64 steps = {{{count}}}, bool goes_on = {{1}}, float zero = {{0}}, float one = {{1}}>
        {{
            last, spikes = Loop (steps, goes_on, zero) <body = each
                (int64 t, bool go, float v) => (bool on, float after, float[b, 4] fired)
                {{
                    on = Identity (go)
                    h = Add (v, x)
                    above = GreaterOrEqual (h, one)
                    fired = Cast <to = 1> (above)
                    after = Where (above, zero, h)
                }}>
            y = ReduceMean <axes = [0], keepdims = 0> (spikes)
        }}
    """)


def test_a_loop_of_constant_count_is_written_out(saved: Save) -> None:
    path = saved(loop_over_time(4))
    checked = judged(path)
    assert neurons(checked) == {(None, None, 1.0, 0.0, False)}
    assert checked.graph.steps == 4
    potential, spikes = np.zeros((8, 4)), []
    for _ in range(4):
        potential = potential + SAMPLES.astype(np.float64)
        spikes.append(potential >= 1)
        potential = np.where(spikes[-1], 0, potential)
    assert np.array_equal(checked.model.origin.record(SAMPLES).output, np.mean(spikes, axis=0))


def test_time_may_be_the_first_axis(saved: Save, unrolled: Make) -> None:
    model = unrolled()
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims.add().CopyFrom(dims[1])
    dims[0].dim_value, dims[1].dim_param = 3, "batch"
    model.graph.node.insert(
        0, helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=0)
    )
    for node in model.graph.node[1:]:
        node.input[:] = ["mean" if name == "x" else name for name in node.input]
    assert load_model(str(saved(model))).input_shape == (3, 4)


def test_shapes_that_are_left_open_are_asked_for(saved: Save, unrolled: Make) -> None:
    model = unrolled()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "features"
    path = saved(model)
    with pytest.raises(SnnccError, match="nothing says how large the input is: the file has \\?"):
        load_model(str(path))
    assert judged(path, example_shape=(4,)).clean
    with pytest.raises(SnnccError, match="--input-shape says 4x4, the file has \\?"):
        load_model(str(path), example_shape=(4, 4))


def test_a_second_answer_is_left_out_and_told(saved: Save, unrolled: Make) -> None:
    model = unrolled()
    model.graph.output.append(helper.make_tensor_value_info("v1", TensorProto.FLOAT, None))
    checked = judged(saved(model))
    assert "2 tensors are returned; all but the first are left out" in {
        d.message for d in checked.diagnostics
    }


def test_an_attribute_is_the_decimal_that_was_written() -> None:
    assert decimal(float(np.float32(1e-5))) == 1e-5


def test_stored_numbers_stand_in_memory_once(saved: Save) -> None:
    """A potential at rest is one number, and what is read for two samples shares all weights."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 1, (4, 8, 8)).astype(np.float32),
        "rest": np.full((1, 4, 32, 32), 0.25, np.float32),
        "mixed": np.where(np.arange(4096).reshape(1, 4, 32, 32) > 0, 1, 2).astype(np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["rest", "rest"], ["both"]),
        helper.make_node("Add", ["x", "both"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "mixed"], ["y"]),
    ]
    shape = [1, 4, 32, 32]
    graph = helper.make_graph(
        nodes, "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    path = saved(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    origin = cast(ReadGraph, load_model(str(path)).origin)
    assert origin.own is not None
    read = cast(dict[str, Array], origin.as_read.weights)
    assert read["mixed"] is origin.own.weights["mixed"]
    (both,) = (value for name, value in read.items() if name != "mixed")
    assert set(both.strides) == {0}
    assert (both == 0.0625).all()
    x = rng.normal(0, 1, shape).astype(np.float32)
    found = origin.record(x).output.reshape(shape)
    assert np.allclose(found, (x + 0.0625) * weights["mixed"])
