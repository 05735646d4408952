"""Parameters and dense multiplications of the published sizes are those of the papers' networks."""

from __future__ import annotations

import pytest

from snncc.compiler import check_model
from snncc.energy.products import products
from snncc.frontends.load import load_model

SIZES = {
    "spikformer-8-384": (16_828_312, 18.64),
    "spikformer-8-512": (29_705_768, 33.03),
    "spikformer-8-768": (66_363_208, 74.05),
    "spikingformer-8-384": (16_828_312, 18.64),
    "spikingformer-8-512": (29_705_768, 33.03),
    "spikingformer-8-768": (66_363_208, 74.05),
    "spikingformer-cifar-4-256": (4_156_202, 1.64),
    "spikingformer-cifar-2-384": (5_765_818, 2.78),
    "spikingformer-cifar-4-384": (9_326_266, 3.69),
    "sdt-8-384": (16_816_536, 18.64),
    "sdt-8-512": (29_689_896, 33.03),
}
"""Parameters, and 10⁹ multiplications of conv and linear layers over all time steps."""

QUICK = ("spikingformer-cifar-4-256",)


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SIZES]
)
def test_parameters_and_dense_operations(name: str) -> None:
    parameters, giga = SIZES[name]
    model = load_model(f"arch:{name}")
    assert sum(p.numel() for p in model.module.parameters()) == parameters
    found = products(check_model(model).graph)
    dense = sum(p.runs * p.dense_ops for p in found if not p.is_attention)
    assert dense / 1e9 == pytest.approx(giga, abs=0.0051)
