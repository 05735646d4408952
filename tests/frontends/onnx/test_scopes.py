"""Nodes belong to modules by the exporter's notes; a module called again keeps its name."""

from __future__ import annotations

import pytest

from snncc.frontends.onnx.proto import Node
from snncc.frontends.onnx.scopes import Scopes, module_of


def node(name: str, *reads: str, **hints: str) -> Node:
    return Node("Op", "", name, reads, ("out",), hints=hints)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/block.0/attn/q_lif/Add_3", "block.0.attn.q_lif"),
        ("/block/block.0/body/body.1/body.1.2/Conv", "block.0.body.1.2"),
        ("/block/block.0/body_1/body.1_1/Conv", "block.0.body.1_1"),
        ("/Add_3", ""),
        ("Add_3", "Add_3"),
        ("", "out"),
    ],
)
def test_names_of_nodes_tell_the_module(name: str, path: str) -> None:
    assert module_of(node(name)) == path


@pytest.mark.parametrize(
    ("scopes", "path"),
    [
        ("['', 'block.0', 'block.0.lif', 'add_3']", "block.0.lif"),
        ("['', 'add_3']", ""),
        ("__import__('os').abort()", "node"),
        ("[" * 5000, "node"),
        ("[1, 2]", "node"),
    ],
)
def test_notes_of_the_exporter_tell_the_module(scopes: str, path: str) -> None:
    noted = Node("Op", "", "node", (), ("o",), hints={"pkg.torch.onnx.name_scopes": scopes})
    assert module_of(noted) == path


def test_lines_of_python_are_kept() -> None:
    trace = '  File "net/mine.py", line 7, in forward\n    x = self.lif(x)'
    noted = Node("Op", "", "n", (), ("o",), hints={"pkg.torch.onnx.stack_trace": trace})
    source = Scopes([noted], []).source(noted)
    assert (source.file, source.line) == ("net/mine.py", 7)


def test_a_module_that_is_called_again_has_one_name() -> None:
    nodes = [
        node("/lif/Add"), node("/lif_1/Add"), node("/fc/Gemm", "fc.weight"),
        node("/fc_1/Gemm", "fc.weight"), node("/out_1/Gemm", "out_1.weight"), node("/out/Add"),
    ]  # fmt: skip
    scopes = Scopes(nodes, ["fc.weight", "out_1.weight"])
    found = [scopes.source(each).module for each in nodes]
    assert found == ["lif", "lif", "fc", "fc", "out_1", "out"]


def conv(name: str, weight: str, scope: str) -> Node:
    hints = {"pkg.torch.onnx.name_scopes": f"['', '{scope}', 'conv']"}
    return Node("Conv", "", name, ("x", weight), ("out",), hints=hints)


def test_a_layer_is_called_as_its_weight_is_unless_two_read_it() -> None:
    """The exporter of programs notes the batch norm of a convolution that it folded it into."""
    nodes = [
        conv("a", "fc.weight", "bn"),
        conv("b", "two.weight", "m"),
        conv("c", "two.weight", "n"),
    ]
    scopes = Scopes(nodes, ["fc.weight", "two.weight"])
    assert [scopes.source(each).module for each in nodes] == ["fc", "m", "n"]


def test_single_numbers_tell_no_modules_apart() -> None:
    """What a first call makes of them is folded away; a number of its own is a weight."""
    nodes = [
        node("/lif/Add"), node("/lif_1/Mul", "onnx::Mul_7"), node("/lif_2/Mul", "lif.beta"),
        node("/out/Add"), node("/out_1/Mul", "out_1.beta"),
    ]  # fmt: skip
    stored = ["onnx::Mul_7", "lif.beta", "out_1.beta"]
    scopes = Scopes(nodes, stored, stored)
    found = [scopes.source(each).module for each in nodes]
    assert found == ["lif", "lif", "lif", "out", "out_1"]
