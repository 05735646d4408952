"""Parameters and dense multiplications of the published sizes are those of the papers' networks."""

from __future__ import annotations

import pytest

from snncc.compiler import check_model
from snncc.energy.products import products
from snncc.frontends.load import load_model

SIZES: dict[str, tuple[int, float, dict[str, str]]] = {
    "spikformer-8-384": (16_828_312, 18.64, {}),
    "spikformer-8-512": (29_705_768, 33.03, {}),
    "spikformer-8-768": (66_363_208, 74.05, {}),
    "spikingformer-8-384": (16_828_312, 18.64, {}),
    "spikingformer-8-512": (29_705_768, 33.03, {}),
    "spikingformer-8-768": (66_363_208, 74.05, {}),
    "spikingformer-cifar-4-256": (4_156_202, 1.64, {}),
    "spikingformer-cifar-2-384": (5_765_818, 2.78, {}),
    "spikingformer-cifar-4-384": (9_326_266, 3.69, {}),
    "spikingformer-dvs-2-256": (2_568_714, 5.99, {"T": "16"}),
    "spikingformer-gesture-2-256": (2_568_971, 5.99, {"T": "16"}),
    "sdt-8-384": (16_816_536, 18.64, {}),
    "sdt-8-512": (29_689_896, 33.03, {}),
    "sdt-8-768": (66_339_144, 74.05, {}),
    "meta-spikeformer-8-384": (31_333_864, 55.80, {"T": "4"}),
    "meta-spikeformer-8-512": (55_350_248, 98.80, {"T": "4"}),
    "e-spikeformer-base-s": (5_105_608, 1.88, {}),
    "e-spikeformer-base-m": (10_023_112, 3.94, {}),
    "e-spikeformer-base-l": (18_987_504, 7.20, {}),
    "qkformer-10-384": (16_473_688, 23.32, {}),
    "qkformer-10-512": (29_079_336, 41.35, {}),
    "qkformer-10-768": (64_962_760, 92.77, {}),
    "msvit-10-384": (17_686_216, 41.16, {}),
    "sew-resnet18-add": (11_689_512, 6.90, {}),
    "sew-resnet34-add": (21_797_672, 14.30, {}),
    "sew-resnet50-add": (25_557_032, 16.00, {}),
    "sew-resnet152-add": (60_192_808, 45.69, {}),
    "ms-resnet18": (11_693_736, 10.96, {}),
    "ms-resnet34": (21_801_896, 22.06, {}),
    "ms-resnet104": (77_350_504, 75.58, {}),
}
"""Parameters, 10⁹ multiplications of conv and linear layers over all time steps, settings."""

QUICK = ("spikingformer-cifar-4-256",)


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SIZES]
)
def test_parameters_and_dense_operations(name: str) -> None:
    parameters, giga, settings = SIZES[name]
    model = load_model(f"arch:{name}", settings=settings)
    assert sum(p.numel() for p in model.module.parameters()) == parameters
    found = products(check_model(model).graph)
    dense = sum(p.runs * p.dense_ops for p in found if not p.is_attention)
    assert dense / 1e9 == pytest.approx(giga, abs=0.0051)
