"""Tracing: structure, names, sources, and what is refused."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.frontends.torch_export import import_module, trace
from snncc.ir.graph import Absent, Graph
from snncc.ir.text import dump, parse
from snncc.models import spikingformer
from snncc.models.neuron import LIF
from snncc.models.zoo import ARCHITECTURES

TINY: dict[str, Any] = {"depth": 1, "dim": 32, "heads": 2}


@pytest.fixture(scope="module")
def tiny() -> Graph:
    """A Spikingformer of one block."""
    architecture = ARCHITECTURES["spikingformer-cifar-2-384"].configure(**TINY, img_size=16)
    return trace(architecture.build(), torch.zeros(1, 3, 16, 16))


def line_of(function: Any, text: str) -> int:
    """The number of the line of a function's source that holds the text."""
    lines, start = inspect.getsourcelines(function)
    return start + next(i for i, line in enumerate(lines) if text in line)


def test_every_layer_is_one_op_called_as_its_module(tiny: Graph) -> None:
    network = ARCHITECTURES["spikingformer-cifar-2-384"].configure(**TINY).build()
    kinds = {
        nn.Conv1d: "conv", nn.Conv2d: "conv", nn.Linear: "linear", nn.BatchNorm1d: "batch_norm",
        nn.BatchNorm2d: "batch_norm", nn.MaxPool2d: "max_pool", LIF: "neuron",
    }  # fmt: skip
    wanted = {p: kinds[type(m)] for p, m in network.named_modules() if type(m) in kinds}
    found = {op.name: op.kind for op in tiny.of_kind(*kinds.values())}
    assert found == wanted
    assert all(tiny[path].source.module == path for path in wanted)


def test_sources_are_lines_of_the_model(tiny: Graph) -> None:
    forward = spikingformer.SpikingSelfAttention.forward
    q_conv = tiny["block.0.attn.q_conv"].source
    assert q_conv.file == "snncc/models/spikingformer.py"
    assert q_conv.line == line_of(forward, "self.q_conv(")
    assert tiny["block.0.attn.attn_lif"].source.line == line_of(forward, "self.attn_lif(")
    block = spikingformer.SpikingTransformer.forward
    assert tiny["block.0.add"].source.module == "block.0"
    assert tiny["block.0.add"].source.line == line_of(block, "self.attn(x)")
    assert tiny["block.0.add_1"].source.line == line_of(block, "self.mlp(x)")


def test_weights_have_their_parameters_names(tiny: Graph) -> None:
    weight = tiny.weights["block.0.attn.q_conv.weight"]
    assert not isinstance(weight, Absent)
    assert (weight.shape, str(weight.dtype)) == ((32, 32, 1), "float32")
    assert tiny["block.0.attn.q_bn"].weight_names == (
        "block.0.attn.q_bn.weight", "block.0.attn.q_bn.bias",
        "block.0.attn.q_bn.running_mean", "block.0.attn.q_bn.running_var",
    )  # fmt: skip
    assert not any("norm1" in name for name in tiny.weights)


def test_the_text_form_round_trips(tiny: Graph) -> None:
    assert parse(dump(tiny), tiny.weights) == tiny


def test_time_becomes_an_expansion_of_a_new_axis(tiny: Graph) -> None:
    first, second = tiny.ops[1:3]
    assert (first.kind, tiny.type_of(first.name).shape) == ("reshape", (1, 2, 3, 16, 16))
    assert (second.kind, tiny.type_of(second.name).shape) == ("expand", (4, 2, 3, 16, 16))


def test_the_module_is_left_as_it_was() -> None:
    network = ARCHITECTURES["spikformer-cifar-4-384"].configure(**TINY, img_size=16).build()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.rand(2, 3, 16, 16)
    network.get_submodule("head").eval()
    trace(network, x)
    assert network.training
    assert not network.get_submodule("head").training
    assert all("forward" not in vars(m) for m in network.modules())
    assert all(torch.equal(v, before[n]) for n, v in network.state_dict().items())
    assert network(x).requires_grad


def test_a_network_without_weights_is_traced_too() -> None:
    architecture = ARCHITECTURES["spikingformer-8-512"].configure(depth=1)
    with torch.device("meta"):
        network = architecture.build()
    graph = trace(network, torch.zeros(1, 3, 224, 224, device="meta"))
    assert graph.weights["head.weight"] == Absent((1000, 512))
    assert len(graph.of_kind("neuron")) == 4 + 7


def test_the_last_op_is_the_output(tiny: Graph) -> None:
    assert (tiny.ops[0].name, tiny.ops[-1].name) == ("input", "output")
    assert tiny.type_of("output").shape == (2, 10)


class Twice(nn.Module):
    """Doubles."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x


def test_a_module_without_neurons_or_weights() -> None:
    graph = trace(Twice(), torch.zeros(1, 4))
    assert [op.kind for op in graph.ops] == ["input", "add", "output"]


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else 2 * x


class Item(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.max().item()


class Nonzero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]


class BadShapes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleList([nn.Conv2d(1, 8, 3), nn.Conv2d(4, 8, 3)])

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.inner:
            x = conv(x)
        return x


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        a = torch.rand(4)
        b = torch.randn_like(x)
        return x + a + b


class NoTensor(nn.Module):
    def forward(self, x: Tensor) -> int:
        return x.shape[0]


def refusals(module: nn.Module, x: Tensor) -> list[Diagnostic]:
    """The findings of a trace that fails."""
    with pytest.raises(SnnccError) as caught:
        trace(module, x)
    return list(caught.value.diagnostics)


@pytest.mark.parametrize("cls", [Branching, Item, Nonzero])
def test_what_depends_on_data_is_refused(
    cls: type[nn.Module], capfd: pytest.CaptureFixture[str]
) -> None:
    (found,) = refusals(cls(), torch.zeros(1, 4))
    assert found.rule.code == "SNN121"
    assert found.source.file == "tests/frontends/test_torch_export.py"
    assert found.source.line == line_of(cls.forward, "return")
    assert capfd.readouterr() == ("", "")


def test_shapes_that_do_not_meet_are_refused_at_their_line() -> None:
    (found,) = refusals(BadShapes(), torch.zeros(1, 1, 8, 8))
    assert found.rule.code == "SNN120"
    assert found.source.module == "inner.1"
    assert found.source.line == line_of(BadShapes.forward, "x = conv(x)")
    assert "to have 4 channels, but got 8" in found.message
    assert found.hint == "if a shape is wrong: the input was (2, 1, 8, 8), a batch of 2 samples"


def test_all_reasons_are_given_at_once() -> None:
    found = refusals(Random(), torch.zeros(1, 4))
    assert [(d.rule.code, d.op) for d in found] == [
        ("SNN122", "aten.rand"), ("SNN122", "aten.randn_like"),
    ]  # fmt: skip
    first = line_of(Random.forward, "torch.rand(4)")
    assert [d.source.line for d in found] == [first, first + 1]


def test_a_network_that_returns_no_tensor_is_refused() -> None:
    assert [d.rule.code for d in refusals(NoTensor(), torch.zeros(1, 4))] == ["SNN122"]


def test_the_first_tensor_of_several_is_the_answer() -> None:
    class Several(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Any]:
            return {"size": len(x), "logits": x.sum(1), "tokens": x}

    found = import_module(Several(), torch.zeros(1, 4))
    assert found.graph.type_of("output").shape == (2,)
    assert [d.rule.code for d in found.diagnostics] == ["SNN125"]


def test_a_second_input_is_refused() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(SnnccError, match="second input"):
        trace(Pair(), (torch.zeros(1, 4), torch.zeros(1, 4)))


def test_names_hold_only_plain_characters() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("a conv-layer", nn.Linear(4, 4))
            self.add_module("input", nn.Linear(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            for part in self.children():
                x = part(x)
            return x

    graph = trace(Odd(), torch.zeros(1, 4))
    assert [op.name for op in graph] == ["input", "a_conv_layer", "input_1", "output"]
    assert graph["a_conv_layer"].source.module == "a conv-layer"
    assert parse(dump(graph), graph.weights) == graph


def test_half_precision_weights_become_float32() -> None:
    graph = trace(nn.Linear(4, 2).bfloat16(), torch.zeros(1, 4, dtype=torch.bfloat16))
    assert str(graph.weights["weight"].dtype) == "float32"


def test_weights_are_copies() -> None:
    network = nn.Linear(4, 2)
    graph = trace(network, torch.zeros(1, 4))
    nn.init.constant_(network.bias, 7.0)
    bias = graph.weights["bias"]
    assert not isinstance(bias, Absent)
    assert 7.0 not in bias


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_a_trace_has_two_samples(samples: int) -> None:
    graph = trace(nn.Linear(4, 2), torch.zeros(samples, 4))
    assert graph.type_of("input").shape == (2, 4)


def test_the_batch_axis_can_be_another() -> None:
    graph = trace(LIF(), torch.zeros(6, 1, 4), batch_axis=1)
    assert graph.type_of("input").shape == (6, 2, 4)


def test_what_a_model_prints_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    class Loud(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            print(x)  # noqa: T201
            warnings.warn("loud", stacklevel=2)
            return x + x

    trace(Loud(), torch.zeros(1, 4))
    assert capfd.readouterr() == ("", "")


def test_subclasses_of_torchs_layers_give_their_name_too() -> None:
    class Folded(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x.flatten(0, 1))
            return y.reshape(*x.shape[:2], *y.shape[1:])

    class Holder(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(self[0](x).flatten(0, 1), torch.ones(1, 2, 1, 1))

    graph = trace(Holder(Folded(1, 2, 1)), torch.zeros(3, 1, 1, 4, 4), batch_axis=1)
    assert [op.name for op in graph] == [
        "input", "0.reshape", "0", "0.reshape_1", "reshape", "conv", "output",
    ]  # fmt: skip
