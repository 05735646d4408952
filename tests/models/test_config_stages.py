"""What configurations in stages say of their networks, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snncc.models.config_stages import (
    ESpikeFormerConfig,
    HierarchicalConfig,
    MetaSpikeFormerConfig,
    PyramidConfig,
    StagedConfig,
)

PYRAMID = MetaSpikeFormerConfig(
    variant="imagenet",
    dims=(8, 16, 32, 40),
    depths=(2, 1),
    heads=4,
    img_size=32,
    classes=3,
    in_channels=1,
)
STAGES = HierarchicalConfig(
    variant="imagenet", dim=64, depth=5, heads=4, img_size=32, classes=3, in_channels=1
)


def test_a_pyramid_is_named_after_its_third_width() -> None:
    assert (PYRAMID.dim, PYRAMID.depth, PYRAMID.attention_widths) == (32, 3, (32, 40))
    assert PYRAMID.input_shape == (1, 32, 32)


def test_stages_share_the_blocks_out() -> None:
    assert STAGES.depths == (1, 2, 2)
    assert replace(STAGES, variant="cifar").depths == (1, 1, 3)
    assert STAGES.attention_widths == (16, 32, 64)


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (PYRAMID, {"heads": 16}, "40 channels do not split into 16 heads"),
        (PYRAMID, {"dims": (8, 16, 32)}, "dims must be two more than depths, got 3 and 2"),
        (PYRAMID, {"dims": (7, 16, 32, 40)}, "the first of dims must be even, got 7"),
        (PYRAMID, {"T": 0}, "T must be at least 1, got 0"),
        (STAGES, {"dim": 60}, "dim must be a multiple of 8, got 60"),
        (STAGES, {"depth": 2}, "depth must be at least 3, got 2"),
        (STAGES, {"heads": 3}, "16 channels do not split into 3 heads"),
    ],
)
def test_what_cannot_be_built_is_refused(
    config: StagedConfig, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(config, **change)


def test_integer_networks_have_one_time_step_of_four_levels() -> None:
    shared = {n: getattr(PYRAMID, n) for n in PyramidConfig.__dataclass_fields__ if n != "T"}
    config = ESpikeFormerConfig(**shared)
    assert (config.T, config.levels, config.token_conv) == (1, 4, False)
