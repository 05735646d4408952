"""How findings call what has no name: nodes by what they are, element types by their number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from snncc.diagnostics.core import SnnccError
from snncc.frontends.load import load_model

Save = Callable[[onnx.ModelProto], Path]


def graph(*nodes: onnx.NodeProto, stored: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 4]) for name in "xy"]
    made = helper.make_graph(nodes, "main", ends[:1], ends[1:], initializer=stored)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def message(path: Path) -> str:
    with pytest.raises(SnnccError) as caught:
        load_model(str(path))
    (found,) = caught.value.diagnostics
    return found.message


CASES = {
    "reads nothing": (
        graph(helper.make_node("Add", ["x", "none"], ["y"])),
        "Add node writing `y`: it reads `none`, which is made by no node",
    ),
    "means nothing": (
        graph(helper.make_node("Quux", ["x"], ["y"])),
        "Quux node writing `y`: the operator `Quux` has no meaning here",
    ),
    "has a name": (
        graph(helper.make_node("Add", ["x", "none"], ["y"], name="sum")),
        "node `sum`: it reads `none`, which is made by no node",
    ),
    "answers nothing": (
        graph(helper.make_node("Relu", ["x"], ["z"], name="relu")),
        "the graph answers with `y`, which is made by no node",
    ),
    "casts": (
        graph(helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)),
        "Cast node writing `y`: it casts to element type 8 (STRING)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_node_is_named(case: str, saved: Save) -> None:
    model, said = CASES[case]
    assert message(saved(model)).endswith(said)


@pytest.mark.parametrize(("kind", "said"), [(8, "8 (STRING)"), (99, "99")])
def test_an_element_type_is_named(kind: int, said: str, saved: Save) -> None:
    tensor = TensorProto(name="w", dims=[4], data_type=kind, string_data=[b"a"] * 4)
    model = graph(helper.make_node("Add", ["x", "w"], ["y"]), stored=(tensor,))
    assert message(saved(model)).endswith(
        f"`w` has element type {said}, wanted floats, integers or booleans"
    )
