"""The trained digits networks in onnxruntime: the executor's answers to every test image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.compiler import MultiLevel, check_model, compile_checked
from snncc.frontends.load import load_model
from snncc.ir.graph import Array, Graph
from snncc.targets.load import load_target

DIGITS = Path(__file__).parents[3] / "examples" / "digits"
Held = Callable[[Graph, Array], None]


def images(name: str) -> Any:
    with np.load(DIGITS / f"{name}.npz") as found:
        return found["x"]


def integers(network: str, multi_level: MultiLevel = "auto") -> Graph:
    allow = ("SNN201",) if network == "spikformer" else ()
    checked = check_model(load_model(str(DIGITS / f"{network}.pth.tar")), allow=allow)
    return compile_checked(
        checked, target=load_target("loihi2"), calibration=images("calibration"),
        multi_level=multi_level,
    ).integer  # fmt: skip


def test_every_test_image(held: Held) -> None:
    held(integers("spikingformer"), images("test"))


@pytest.mark.slow
@pytest.mark.parametrize("multi_level", ["graded", "substeps"])
def test_every_test_image_of_its_twin(held: Held, multi_level: MultiLevel) -> None:
    """Spikes added to spikes: counts as payloads, and in binary sub-steps."""
    held(integers("spikformer", multi_level), images("test"))
