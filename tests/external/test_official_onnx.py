"""The official code of every family, unmodified, by torch's exporters: two of ONNX, and ``.pt2``.

Verdict, neurons and spikes have to be those of the road that takes the module itself, which
``test_official_code`` holds to the code's own. Numbers have few bits, so that exporters, which fold
batch norms in float32, round nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import Checked, check_model
from snncc.execute.executor import Executor
from snncc.frontends.load import from_module, load_model
from snncc.ir.graph import Array
from snncc.ir.io import input_varies
from snncc.models.zoo import FORMS

pytestmark = [pytest.mark.external, pytest.mark.filterwarnings("default")]


def _cases() -> Any:
    """The networks of the test beside this one, and how each is built."""
    name = "test_official_code"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


code: Any = _cases()
WAYS = ("torchscript", "dynamo", "pt2")
REFUSED = ("ms-resnet18", "ms-resnet34", "ms-resnet104")
"""ONNX of programs has no function for the adaptive pool over time and places of these."""
QUICK = ("spikformer-cifar", "spikingformer-cifar", "sew-resnet18-add", "sdt")


def with_short_numbers(network: nn.Module) -> nn.Module:
    """The network with numbers of few bits, under which layers fire."""
    dice = torch.Generator().manual_seed(0)

    def drawn(like: Tensor, low: int, high: int) -> Tensor:
        return torch.randint(low, high, like.shape, generator=dice)

    with torch.no_grad():
        for path, each in network.named_modules():
            if isinstance(each, code.NORMS):
                more = 0.75 if code.ATTENDING.search(path) else 0.0
                each.eps = 0.0
                each.weight.copy_(2.0 ** drawn(each.weight, 0, 2))
                each.bias.copy_(drawn(each.bias, 0, 9) / 8 + more)
                each.running_mean.copy_(drawn(each.bias, -2, 3) / 16)
                each.running_var.fill_(0.25)
            elif isinstance(each, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                for parameter in each.parameters():
                    parameter.copy_((parameter * 256).round() / 256)
    return network.eval()


def exported(network: nn.Module, x: Tensor, path: Path, way: str) -> Path:
    how: Any = {"verbose": False} if way == "dynamo" else {}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if way == "pt2":
            torch.export.save(torch.export.export(network, (x,)), path)
        else:
            torch.onnx.export(network, (x,), str(path), dynamo=way == "dynamo", **how)
    return path


def built(case: Any, official: Callable[[str, str], Any]) -> nn.Module:
    """The network of code that has just been loaded: some counts what it sees, in globals."""
    torch.manual_seed(0)
    config = FORMS[case.form].configure(**case.options).config
    return with_short_numbers(case.build(official(case.repository, case.file), config))


def findings(checked: Checked) -> dict[tuple[str, str], tuple[str, str | None, str]]:
    return {
        (d.source.module, d.op): (d.rule.code, d.allowed_by, str(d.domain))
        for d in checked.diagnostics
        if d.rule.code.startswith("SNN2")
    }


def codes(checked: Checked) -> set[str]:
    return {d.rule.code for d in checked.diagnostics}


def neurons(checked: Checked) -> dict[str, dict[str, Any]]:
    found = {op.source.module: op.attributes() for op in checked.graph.of_kind("neuron")}
    for fields in found.values():
        fields["tau"] = fields["tau"] and pytest.approx(fields["tau"], rel=1e-6)
        if fields["tau"] is None or fields["tau"] == 1:
            fields["decay_input"] = False
        if fields["levels"] == 1:
            fields["rounding"] = "half_even"
    return found


def spikes(checked: Checked, x: Array) -> dict[str, Array]:
    """What each layer fires, and the answer."""
    found: dict[str, Array] = {}

    def keep(op: Any, block: Any) -> None:
        if op.kind == "neuron":
            found[op.source.module] = np.asarray(block.result)

    moved = x.swapaxes(0, 1) if input_varies(checked.graph) else x
    answer = Executor(checked.graph).run(moved, observe=keep).output
    return {**found, "": answer}


@pytest.mark.parametrize(
    "way", [w if w == WAYS[0] else pytest.param(w, marks=pytest.mark.slow) for w in WAYS]
)
@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in code.CASES]
)
def test_the_file_is_the_module(
    name: str, way: str, official: Callable[[str, str], Any], tmp_path: Path
) -> None:
    case = code.CASES[name]
    x = (code.example(case) * 8).round() / 8
    network, path = built(case, official), tmp_path / ("net.pt2" if way == "pt2" else "net.onnx")
    if way == "dynamo" and name in REFUSED:
        with pytest.raises(torch.onnx.errors.OnnxExporterError, match="_adaptive_avg_pool3d"):
            exported(network, x, path, way)
        return
    theirs = check_model(load_model(str(exported(network, x, path, way)), trust_pickle=True))
    ours = check_model(from_module(built(case, official), x))
    assert theirs.graph.level == "step", [d.message for d in theirs.diagnostics]
    assert findings(theirs) == findings(ours)
    assert neurons(theirs) == neurons(ours)
    wanted, found = spikes(ours, x.double().numpy()), spikes(theirs, x.double().numpy())
    for layer, fired in found.items():
        if layer:
            assert np.array_equal(fired.reshape(wanted[layer].shape), wanted[layer]), layer
    np.testing.assert_allclose(found[""].reshape(-1), wanted[""].reshape(-1), atol=1e-5)
    mixed = [c.model.name for c in (ours, theirs) if code.MIXED in codes(c)]
    assert len(mixed) == 2 * case.mixes_samples
    silent = [layer for layer in found if len(np.unique(found[layer])) == 1]
    assert len(silent) <= len(found) // 5, silent
    record = theirs.model.origin.record(x.double().numpy())
    np.testing.assert_allclose(record.output.reshape(-1), found[""].reshape(-1), atol=1e-5)
