"""Which line of the model a node points at, and how its file is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import snncc
from snncc.frontends.source import innermost, module_path, portable, source_of
from snncc.ir.graph import Source

TORCH = str(Path(torch.__file__).parent / "nn/modules/conv.py")
OURS = Path(snncc.__file__).parent
MODEL = str(OURS / "models/spikingformer.py")
CONTAINER = str(OURS / "models/stepwise.py")
TRACER = str(OURS / "frontends/prepare.py")
JELLY = "/opt/env/lib/python3.11/site-packages/spikingjelly/clock_driven/layer.py"


@pytest.mark.parametrize(
    ("frames", "wanted"),
    [
        ([], ("", 0)),
        ([(TORCH, 3)], ("", 0)),
        ([(MODEL, 9), (TORCH, 3)], ("snncc/models/spikingformer.py", 9)),
        ([(MODEL, 9), (TRACER, 4), (TORCH, 3)], ("snncc/models/spikingformer.py", 9)),
        ([("/home/me/net.py", 5), (JELLY, 8), (TORCH, 3)], ("net.py", 5)),
        ([(MODEL, 9), (CONTAINER, 20), (TORCH, 3)], ("snncc/models/spikingformer.py", 9)),
        ([(JELLY, 8), (TORCH, 3)], ("spikingjelly/clock_driven/layer.py", 8)),
        ([("/home/me/net.py", 5), (MODEL, 9)], ("snncc/models/spikingformer.py", 9)),
    ],
)
def test_the_innermost_line_of_the_model(
    frames: list[tuple[str, int]], wanted: tuple[str, int]
) -> None:
    assert innermost(frames) == wanted


def test_files_are_named_alike_on_every_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "work/mine/nets"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    assert portable(str(package / "net.py")) == "mine/nets/net.py"
    assert portable(str(tmp_path / "net.py")) == "net.py"
    assert portable("<stdin>") == "<stdin>"
    monkeypatch.chdir(tmp_path)
    assert portable(str(package / "net.py")) == "work/mine/nets/net.py"
    monkeypatch.chdir(OURS.parent)
    assert portable(MODEL) == "snncc/models/spikingformer.py"


def test_a_nodes_place() -> None:
    trace = f'  File "{MODEL}", line 12, in forward\n    x\n  File "{TORCH}", line 3, in f'
    meta = {
        "stack_trace": trace,
        "nn_module_stack": {"a": ("", "Net"), "b": ("block.0@1.conv", "Conv")},
    }
    assert source_of(meta) == Source("block.0.conv", "snncc/models/spikingformer.py", 12)
    assert module_path({}) == ""
    assert source_of({}) == Source()
