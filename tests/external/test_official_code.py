"""The official code of every family, unmodified: verdict and spikes.

Paths and sets of values depend on depth alone, so that the networks are narrow and the images
small. The verdict has to be that of our own network of the same sizes, and the published truth
where there is an entry; every spike has to be the one that the code itself gives, in float64.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.diagnostics.core import Diagnostic, Severity
from snncc.frontends.torch_export import trace
from snncc.ir import domain as dom
from snncc.ir.domain import Grid
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.models.zoo import FORMS
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.check_spikes import CheckSpikes
from snncc.passes.merge_linear_chains import MergeLinearChains

pytestmark = [pytest.mark.external, pytest.mark.filterwarnings("default")]

TRUTH = json.loads((Path(__file__).parents[1] / "golden" / "compliance.json").read_text())["models"]
NEURONS = ("MultiStepIFNode", "MultiStepLIFNode", "MultiStepParametricLIFNode",
           "mem_update", "MultiSpike", "Multispike")  # fmt: skip
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ATTENDING = re.compile(r"\b[qkvp]_(conv|bn)|[qkv]_linear")
"""Layers whose spikes are multiplied: they have to fire more often."""
MIXED = "SNN158"
"""The note on code that takes samples for time steps where there are several."""


@dataclass(frozen=True)
class Case:
    """A network: where its code is, how `code` builds it in our sizes, and what is true of it."""

    repository: str
    file: str
    form: str
    build: Callable[[Any, Any], nn.Module]
    truth: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    mixes_samples: bool = False


def sized(config: Any) -> dict[str, Any]:
    """The arguments that most official networks take."""
    patches = {"patch_size": getattr(config, "patch_size", 16)}
    return {
        **patches, "img_size_h": config.img_size, "img_size_w": config.img_size,
        "in_channels": config.in_channels, "num_classes": config.classes,
        "embed_dims": config.dim, "num_heads": config.heads, "mlp_ratios": config.mlp_ratio,
        "depths": config.depth, "sr_ratios": 1, "norm_layer": partial(nn.LayerNorm, eps=1e-6),
    }  # fmt: skip


def spikformer(code: Any, config: Any) -> nn.Module:
    return code.Spikformer(**sized(config))


def timed(name: str) -> Callable[[Any, Any], nn.Module]:
    return lambda code, config: getattr(code, name)(**sized(config), T=config.T)


def sdt(code: Any, config: Any) -> nn.Module:
    pools = "".join(str(int(stage in config.pool_stages)) for stage in (1, 2, 3, 4))
    events = config.variant in ("dvs", "gesture")
    return code.SpikeDrivenTransformer(
        **sized(config), T=config.T, pooling_stat=pools, dvs_mode=config.variant == "dvs" and events
    )


def sew_resnet(code: Any, config: Any) -> nn.Module:
    block = code.Bottleneck if config.bottleneck else code.BasicBlock
    return code.SEWResNet(
        block, list(config.blocks), num_classes=config.classes, T=config.T, connect_f=config.connect
    )


def ms_resnet(code: Any, config: Any) -> nn.Module:
    network = code.ResNet_104 if config.deep else code.ResNet_origin_18
    block = code.BasicBlock_104 if config.deep else code.BasicBlock_18
    return network(block, list(config.blocks), num_classes=config.classes)


def pyramid(name: str, **fixed: Any) -> Callable[[Any, Any], nn.Module]:
    def build(code: Any, config: Any) -> nn.Module:
        given = {**sized(config), "embed_dim": list(config.dims), **fixed}
        network: nn.Module = getattr(code, name)(
            **{k: v for k, v in given.items() if k != "embed_dims"}
        )
        if hasattr(network, "T"):
            network.T = config.T
        return network

    return build


SMALL: dict[str, Any] = {"dim": 32, "heads": 4, "classes": 5}
IMAGES = {**SMALL, "img_size": 32}
EVENTS = {**SMALL, "img_size": 128, "T": 5, "dim": 32}
STAGES = {**SMALL, "img_size": 64, "depth": 5, "T": 3}
PYRAMID = {"dims": (8, 16, 32, 40), "heads": 4, "classes": 5, "img_size": 64}
RESNET = {"img_size": 32, "classes": 5}
RESNET34 = {**RESNET, "blocks": (3, 4, 6, 3)}
QK = {"dim": 64, "heads": 8, "classes": 5, "T": 3}
SEW = "Spike-Element-Wise-ResNet", "imagenet/sew_resnet.py", "sew-resnet", sew_resnet
MS = "MS-ResNet", "models/MS_ResNet.py", "ms-resnet", ms_resnet
V2, V3 = "Spike-Driven-Transformer-V2", "Spike-Driven-Transformer-V3"
CML = "Spikingformer-CML"
WRITTEN = "metaspikformer-v2-* before re-parameterisation"

CASES = {
    "spikformer": Case(
        "spikformer", "imagenet/model.py", "spikformer", spikformer,
        "spikformer-imagenet-8-*", IMAGES,
    ),
    "spikformer-cifar": Case(
        "spikformer", "cifar10/model.py", "spikformer-cifar", timed("Spikformer"),
        "spikformer-cifar-2-384", {**SMALL, "depth": 2},
    ),
    "spikformer-dvs": Case(
        "spikformer", "cifar10dvs/model.py", "spikformer-dvs", spikformer,
        "spikformer-cifar10dvs-2-256", EVENTS,
    ),
    "spikingformer": Case(
        "Spikingformer", "imagenet/model.py", "spikingformer", timed("vit_snn"),
        "spikingformer-imagenet-*", {**IMAGES, "depth": 3},
    ),
    "spikingformer-cifar": Case(
        "Spikingformer", "cifar10/model.py", "spikingformer-cifar", timed("vit_snn"),
        "spikingformer-cifar-*", SMALL,
    ),
    "spikingformer-dvs": Case(
        "Spikingformer", "cifar10-dvs/model.py", "spikingformer-dvs", timed("vit_snn"),
        "spikingformer-dvs-2-256", EVENTS,
    ),
    "spikingformer-gesture": Case(
        "Spikingformer", "dvs128-gesture/model.py", "spikingformer-dvs", timed("vit_snn"),
        "spikingformer-dvs-2-256", EVENTS,
    ),
    "spikingformer-cml": Case(
        CML, "imagenet/model.py", "spikingformer-cml", timed("vit_snn"),
        "spikingformer-cml-*", {**IMAGES, "depth": 3},
    ),
    "spikingformer-cml-cifar": Case(
        CML, "cifar10/model.py", "spikingformer-cml-cifar", timed("vit_snn"),
        "spikingformer-cml-*", SMALL,
    ),
    "spikingformer-cml-dvs": Case(
        CML, "cifar10-dvs/model.py", "spikingformer-cml-dvs", timed("vit_snn"),
        "spikingformer-cml-*", EVENTS,
    ),
    "spikformer-cml-cifar": Case(
        CML, "cifar10/CML_Spikformer.py", "spikformer-cml-cifar", timed("Spikformer"),
        "", {**SMALL, "depth": 2},
    ),
    "sew-resnet18-add": Case(*SEW, "sew_resnet18-ADD", RESNET),
    "sew-resnet34-add": Case(*SEW, "sew_resnet34-ADD", RESNET34),
    "sew-resnet50-add": Case(*SEW, "sew_resnet50-ADD", {**RESNET34, "bottleneck": True}),
    "sew-resnet18-and": Case(*SEW, "sew_resnet*-AND|IAND", {**RESNET, "connect": "AND"}),
    "sew-resnet18-iand": Case(*SEW, "sew_resnet*-AND|IAND", {**RESNET, "connect": "IAND"}),
    "ms-resnet18": Case(*MS, "ms_resnet18", RESNET),
    "ms-resnet34": Case(*MS, "ms_resnet34", RESNET34),
    "ms-resnet104": Case(*MS, "", {**RESNET, "blocks": (3, 8, 32, 8), "deep": True}),
    "sdt": Case(
        "Spike-Driven-Transformer", "model/spikeformer.py", "sdt", sdt, "sdt-v1-*",
        {**IMAGES, "depth": 3},
    ),
    "sdt-dvs": Case(
        "Spike-Driven-Transformer", "model/spikeformer.py", "sdt-dvs", sdt, "sdt-v1-*",
        {**EVENTS, "img_size": 32},
    ),
    "meta-spikeformer": Case(
        V2, "classification/models.py", "meta-spikeformer", pyramid("Spiking_vit_MetaFormer"),
        WRITTEN, {**PYRAMID, "T": 2},
    ),
    "e-spikeformer-base": Case(
        V3, "SDT_V3/Classification/Model_Base/models.py", "e-spikeformer-base",
        pyramid("Spiking_vit_MetaFormer_Spike_SepConv"), "v3-base-*", PYRAMID,
    ),
    "e-spikeformer-large": Case(
        V3, "SDT_V3/Classification/Model_Large/spikformer.py", "e-spikeformer-large",
        pyramid("Spikformer", choice="large"), "",
        {**PYRAMID, "dims": (8, 16, 32), "depths": (3,), "T": 2, "classes": 1000},
    ),
    "qkformer": Case(
        "QKFormer", "imagenet/qkformer.py", "qkformer",
        timed("hierarchical_spiking_transformer"), "", STAGES, mixes_samples=True,
    ),
    "qkformer-cifar": Case(
        "QKFormer", "cifar10/model.py", "qkformer-cifar", timed("spiking_transformer"),
        "", QK, mixes_samples=True,
    ),
    "msvit": Case(
        "MSViT", "imagenet/msformer.py", "msvit", timed("hierarchical_spiking_transformer"),
        "", STAGES, mixes_samples=True,
    ),
    "msvit-cifar": Case(
        "MSViT", "cifar10/model.py", "msvit-cifar", timed("spiking_transformer"),
        "", QK, mixes_samples=True,
    ),
}  # fmt: skip
SLOW = ("ms-resnet104", "sew-resnet50-add", "spikingformer-dvs", "spikingformer-gesture")


def drawn(network: nn.Module) -> nn.Module:
    """The network with batch norms under which layers fire; its own are silent."""
    generator = torch.Generator().manual_seed(0)
    bounds = {"weight": (0.8, 1.8), "bias": (0.0, 1.0), "running_mean": (-0.1, 0.1),
              "running_var": (0.05, 0.5)}  # fmt: skip
    for path, each in network.named_modules():
        for name, (low, high) in bounds.items() if isinstance(each, NORMS) else ():
            more = (
                0.8 if name == "bias" and re.search(r"\b[qkvp]_(conv|bn)|[qkv]_linear", path) else 0
            )
            getattr(each, name).data.uniform_(low + more, high + more, generator=generator)
    return network.eval()


def example(case: Case) -> Tensor:
    shape = FORMS[case.form].configure(**case.options).input_shape
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(1))


def built(case: Case, official: Callable[[str, str], Any]) -> nn.Module:
    torch.manual_seed(0)
    config = FORMS[case.form].configure(**case.options).config
    return drawn(case.build(official(case.repository, case.file), config))


def findings(graph: Graph) -> dict[tuple[str, str], tuple[str, str | None, str]]:
    """All findings, apart from their wording."""
    return {
        (d.source.module, d.op): (d.rule.code, d.allowed_by, str(d.domain))
        for d in CheckSpikes().run(graph).diagnostics
    }


def agrees(finding: Diagnostic, values: str) -> bool:
    """Whether a finding says what the truth says of the values that a layer reads."""
    if exact := re.fullmatch(r"\{0\.\.(\d+)\}", values):
        return (finding.domain, finding.allowed_by) == (dom.integers(0, int(exact[1])), None)
    if mean := re.search(r"mean .*\{0(?:\.\.|,)(\d+)\}", values):
        grid = finding.domain
        widest = isinstance(grid, Grid) and grid.lo == 0 and float(grid.maximum)
        return widest == pytest.approx(int(mean[1])) and finding.allowed_by == "policy: head"
    roles = {"pixels": "policy: encoder", "mean": "policy: head"}
    role = next((role for word, role in roles.items() if word in values), None)
    return (finding.domain, finding.allowed_by) == (dom.REAL, role)


def held_to_the_truth(graph: Graph, entry: str) -> None:
    """Compare paths and sets of all findings but the counts of integer-firing neurons."""
    truth = {f["path"]: f["set"] for f in TRUTH[entry]["flagged"]}
    all_found = CheckSpikes().run(graph).diagnostics
    found = {d.source.module: d for d in all_found if d.rule.code != "SNN209"}
    assert found.keys() == truth.keys()
    wrong = {p: (str(d.domain), truth[p]) for p, d in found.items() if not agrees(d, truth[p])}
    assert not wrong


def own_spikes(network: nn.Module, x: Tensor) -> tuple[dict[str, Any], Any]:
    """What the network's own neurons fire, by module path, and its answer; in float64."""
    spikes: dict[str, Any] = {}

    def watch(path: str) -> Any:
        return lambda module, inputs, out: spikes.update({path: out.numpy().copy()})

    for path, each in network.named_modules():
        if type(each).__name__ in NEURONS:
            each.register_forward_hook(watch(path))
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            answer = network.double()(x.double())
    finally:
        torch.set_default_dtype(torch.float32)
    answer = answer[0] if isinstance(answer, tuple) else answer
    return spikes, answer.numpy()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES]
)
def test_verdict_and_spikes(name: str, official: Callable[[str, str], Any]) -> None:
    case = CASES[name]
    network, x = built(case, official), example(case)
    result = run_passes(trace(network, x), FRONT)
    graph = result.graph
    assert {d.rule.code for d in result.diagnostics} == ({MIXED} if case.mixes_samples else set())
    assert all(d.severity < Severity.ERROR for d in result.diagnostics)
    if case.truth:
        held_to_the_truth(graph, case.truth)
    ours = FORMS[case.form].configure(**case.options).build().eval()
    assert findings(graph) == findings(run_passes(trace(ours, x), FRONT).graph)
    spikes, answer = own_spikes(network, x)
    given = x.numpy()
    found = interpret(graph, given.swapaxes(0, 1) if given.ndim == 5 else given)
    names = {op.source.module: op.name for op in graph.of_kind("neuron")}
    assert names.keys() == spikes.keys()
    silent = [path for path, wanted in spikes.items() if len(np.unique(wanted)) == 1]
    assert len(silent) <= len(spikes) // 10, silent
    for path, wanted in spikes.items():
        assert np.array_equal(found[names[path]].reshape(wanted.shape), wanted), path
    np.testing.assert_allclose(found["output"], answer, atol=1e-9)


ANALOG: dict[str, Any] = {
    "depth": 1, "heads": 2, "img_size": 32, "classes": 5, "T": 3,
    "widths": (4, 4, 8, 8, 16, 16, 32, 32),
}  # fmt: skip
EVENT_WIDTHS = (8, 8, 16, 16, 32, 32)


@pytest.mark.parametrize(
    ("form", "file", "options"),
    [
        ("spikeformer", "imagenet/spikeformer.py", ANALOG),
        (
            "spikeformer-dvs",
            "dvscifar10/spikeformer.py",
            {**ANALOG, "widths": (8, 8, 16, 16, 32, 32)},
        ),
    ],
)
def test_spikeformer_is_judged(
    form: str, file: str, options: dict[str, Any], official: Callable[[str, str], Any]
) -> None:
    """The negative test: floats out of neurons, softmax and LayerNorm; no integers for it."""
    pytest.importorskip("einops", reason="its code calls einops")
    code, arch = official("Spikeformer", file), FORMS[form].configure(**options)
    c = arch.config
    neurons = code.MultiStepParametricLIAFNode if c.analog else code.MultiStepParametricLIFNode
    network = code.Spikeformer(
        kernel_size=c.kernel, stride=list(c.strides), padding=c.kernel // 2,
        n_conv_layers=len(c.widths), n_input_channels=c.in_channels, img_size=c.img_size,
        num_classes=c.classes, num_frames=c.T, mlp_ratio=c.mlp_ratio, embed_dim=c.dim,
        depth=c.depth, num_heads=c.heads, act_layer=neurons,
    )  # fmt: skip
    frames = torch.zeros(1, c.T, c.in_channels, c.img_size, c.img_size)
    theirs = judged(network, frames)
    assert theirs == judged(arch.build(), torch.zeros(1, *arch.input_shape))
    foreign = {path for path, (code, *_) in theirs.items() if code == "SNN205"}
    assert len(foreign) >= (c.analog and 15) + 3


def judged(network: nn.Module, x: Tensor) -> dict[str, tuple[str, str | None, str]]:
    """All errors of the check on the network as it was imported, apart from their wording."""
    checked = snncc.check(network, x)
    assert not checked.clean
    return {
        f"{d.source.module} {d.op} {i}": (d.rule.code, d.allowed_by, str(d.domain))
        for i, d in enumerate(checked.diagnostics)
        if d.rule.code.startswith("SNN2")
    }


def test_merged_meta_spikeformer(official: Callable[[str, str], Any]) -> None:
    case = CASES["meta-spikeformer"]
    graph = run_passes(trace(built(case, official), example(case)), FRONT).graph
    merged = MergeLinearChains().run(graph).graph
    held_to_the_truth(merged, "metaspikformer-v2-* after merging linear chains")
