"""The last line says what to do next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snncc.cli.next_step import after_compile, after_energy

Snncc = Callable[..., Any]


def test_a_clean_model_is_compiled_next(snncc: Snncc) -> None:
    done = snncc("check", "arch:spikingformer-cifar-2-384")
    assert done.err.splitlines()[-1] == (
        "next: snncc energy arch:spikingformer-cifar-2-384 --rates FILE"
    )


def test_a_finding_is_explained_next(snncc: Snncc) -> None:
    done = snncc("check", "arch:sew-resnet18-add")
    assert done.code == 1
    assert done.err.splitlines()[-1] == "next: snncc explain SNN201"


def test_machine_formats_are_alone(snncc: Snncc) -> None:
    assert "next:" not in snncc("check", "arch:sew-resnet18-add", "--format", "json").err


def test_names_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    after_compile(Path("my net"), calibrated=True)
    assert capsys.readouterr().err == "next: snncc report 'my net'\n"


@pytest.mark.parametrize(
    ("prices", "compared", "wanted"),
    [("all", False, "--compare"), ("paper-45nm", False, "all"), ("paper-45nm", True, "--details")],
)
def test_energies(
    prices: str, compared: bool, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    after_energy(prices, compared)
    assert wanted in capsys.readouterr().err
