"""What a configuration says of its network, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snncc.models.config import TransformerConfig

TINY = TransformerConfig(
    variant="cifar",
    dim=32,
    depth=1,
    heads=2,
    img_size=8,
    classes=3,
    in_channels=1,
    pool_stages=(3, 4),
)


def test_an_image_has_no_time_axis_and_events_have_one() -> None:
    assert TINY.input_shape == (1, 8, 8)
    assert replace(TINY, variant="dvs", T=7).input_shape == (7, 1, 8, 8)


def test_derived_sizes() -> None:
    assert TINY.patch_size == 4
    assert TINY.hidden_dim == 128
    assert replace(TINY, mlp_ratio=1.5).hidden_dim == 48


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "dim must be a multiple of heads, got 32 and 3"),
        ({"dim": 36}, "dim must be a multiple of 8, got 36"),
        ({"T": 0}, "T must be at least 1, got 0"),
        ({"tau": 1.0}, "tau must be above 1, got 1.0"),
        ({"pool_stages": (0, 1)}, r"pool_stages must be from 1 to 4, got \(0, 1\)"),
    ],
)
def test_what_cannot_be_built_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)
