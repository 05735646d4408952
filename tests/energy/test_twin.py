"""The ANN twin: one pass, every multiplication, vanilla attention of the right size."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from snncc.compiler import check_model
from snncc.energy.attention import attention_blocks, not_values_first
from snncc.energy.load import load_energy_model
from snncc.energy.price import price
from snncc.energy.products import products
from snncc.energy.twin import quantized_bits, twin_loads, vanilla_attention
from snncc.frontends.load import load_model
from snncc.ir.graph import Graph


@cache
def network(name: str) -> Graph:
    return check_model(load_model(f"arch:{name}")).graph


@pytest.mark.parametrize("values_first", [True, False])
def test_vanilla_attention_is_the_same_in_either_order(nets: Any, values_first: bool) -> None:
    graph = nets.attention(values_first=values_first, tokens=3, width=4)
    assert vanilla_attention(graph) == {"first": 9 * 4, "second": 9 * 4}
    (block,) = attention_blocks(graph)
    assert (block.tokens, block.width_k, block.width_v) == (3, 4, 4)
    assert block.values_first is values_first
    assert not_values_first(graph) == ("" if values_first else "attn")


@pytest.mark.parametrize("values_first", [True, False])
def test_the_order_is_known_where_a_head_is_as_wide_as_there_are_tokens(
    nets: Any, values_first: bool
) -> None:
    """Both orders multiply equally often, as in the digits networks: 16 tokens, heads of 16."""
    graph = nets.attention(values_first=values_first, tokens=4, width=4)
    (block,) = attention_blocks(graph)
    assert block.values_first is values_first
    assert not_values_first(graph) == ("" if values_first else "attn")


def test_each_layer_runs_once(nets: Any) -> None:
    graph = nets.attention(values_first=True, tokens=3, width=4)
    loads = {load.name: load for load in twin_loads(graph)}
    assert {name: loads[name].mac for name in "qkv"} == dict.fromkeys("qkv", 3 * 4 * 4)
    assert all(load.ac == 0 for load in loads.values())
    energy = price(twin_loads(graph), load_energy_model("ann-45nm"), "int8")
    assert energy.energy_mj == pytest.approx((3 * 48 + 2 * 36) * 0.23e-9)


def test_spike_driven_attention_is_compared_with_the_vanilla_form() -> None:
    """Masks of N x D, where vanilla attention multiplies 2 N² D: SDT's table 1."""
    graph = network("sdt-cifar-2-256")
    masks = [p for p in products(graph) if p.op == "mask"]
    assert len(masks) == 4
    found = vanilla_attention(graph)
    assert {name: found[name] for name in (m.name for m in masks)} == {
        m.name: 64**2 * 256 for m in masks
    }
    assert not_values_first(graph) == "block.0.attn"


@pytest.mark.slow
def test_values_wider_than_keys() -> None:
    """V is four times as wide as Q and K."""
    blocks = attention_blocks(network("e-spikeformer-base-t"))
    assert {block.width_v // block.width_k for block in blocks} == {4}
    assert all(block.tokens == 196 for block in blocks)
    assert all(block.values_first is False for block in blocks)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sew-resnet18-and", "qkformer-cifar-4-384"])
def test_gates_are_no_attention(name: str) -> None:
    graph = network(name)
    gates = [p for p in products(graph) if p.op == "mask"]
    assert gates
    assert not {gate.name for gate in gates} & vanilla_attention(graph).keys()
    loads = {load.name: load.mac for load in twin_loads(graph)}
    assert all(loads[gate.name] == gate.dense_ops for gate in gates)


@pytest.mark.parametrize(("steps", "bits"), [(1, 1), (3, 2), (4, 3), (5, 3), (7, 3), (8, 4)])
def test_bits_of_a_twin_that_tells_as_much_apart(steps: int, bits: int) -> None:
    assert quantized_bits(steps) == bits
