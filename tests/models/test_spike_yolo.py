"""SpikeYOLO: its configuration, its maps, and the parts that torch has in another form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.models.config_yolo import SpikeYoloConfig
from snncc.models.neuron_multilevel import MultiLevel
from snncc.models.spike_yolo import BINS, ROWS, Enlarge, Pyramid
from snncc.models.zoo import FORMS

Lively = Callable[..., tuple[nn.Module, Tensor]]

TINY: dict[str, Any] = {"width": 8, "repeats": (1, 2, 1, 1), "img_size": 64, "classes": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"repeats": (1, 1, 1)}, r"repeats must be four numbers from 1, got \(1, 1, 1\)"),
        ({"repeats": (1, 0, 1, 1)}, r"repeats must be four numbers from 1, got \(1, 0, 1, 1\)"),
        ({"img_size": 100}, "img_size must be a multiple of 32, got 100"),
    ],
)
def test_what_cannot_be_built_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SpikeYoloConfig(**TINY), **change)


def test_stages_have_as_many_blocks_as_asked_for() -> None:
    names = FORMS["spikeyolo"].build(**TINY).state_dict().keys()
    assert "model.4.1.Conv.pwconv1.weight" in names
    assert "model.2.Conv.pwconv1.weight" in names
    assert {name.split(".")[1] for name in names} == {
        str(i) for i, row in enumerate(ROWS) if row.kind not in ("repeat", "enlarge", "concat")
    }


@torch.no_grad()
def test_anchors_are_the_places_of_three_maps(lively: Lively) -> None:
    model, x = lively("spikeyolo", **TINY, T=2)
    maps: list[Tensor] = []
    head = model.get_submodule("model.26")
    head.register_forward_pre_hook(lambda _module, args: maps.extend(args))
    scores = model(x)
    assert [tuple(m.shape) for m in maps] == [
        (2, 2, 16, 8, 8),
        (2, 2, 32, 4, 4),
        (2, 2, 64, 2, 2),
    ]
    assert scores.shape == (2, 4 * BINS + 3, 64 + 16 + 4)
    boxes = head.get_submodule("cv2.1")(maps[1]).mean(0).flatten(2)
    torch.testing.assert_close(scores[:, : 4 * BINS, 64:80], boxes)


def test_each_place_is_shown_four_times() -> None:
    x = torch.rand(2, 3, 4, 5, 6)
    expected = nn.functional.interpolate(x.flatten(0, 1), scale_factor=2.0)
    assert torch.equal(Enlarge()(x).flatten(0, 1), expected)


@torch.no_grad()
def test_maxima_of_maxima_are_those_of_wider_windows() -> None:
    layer = Pyramid(4, MultiLevel).eval()
    x = torch.randn(1, 2, 4, 9, 9)
    read: list[Tensor] = []
    layer.cv2.register_forward_pre_hook(lambda _module, args: read.extend(args))
    layer(x)
    first = layer.cv1(x)
    for i, window in enumerate((5, 9, 13), start=1):
        wide = nn.functional.max_pool2d(first[0], window, 1, window // 2)
        assert torch.equal(read[0][0, :, 2 * i : 2 * i + 2], wide)
