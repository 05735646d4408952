"""The verdict against the ground truth of the papers' own networks: no misses, no false alarms.

The truth lists every convolution and linear layer whose input can hold a value outside {0, 1}, by
module path, with the set of values. Paths and sets depend on depth alone, so that the quick tests
take narrow networks and small images.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from snncc.diagnostics.core import Diagnostic
from snncc.frontends.torch_export import trace
from snncc.ir import domain as dom
from snncc.ir.domain import Grid
from snncc.ir.graph import Graph
from snncc.models.zoo import ARCHITECTURES
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.check_spikes import CheckSpikes, verdicts
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales

TRUTH = json.loads((Path(__file__).parents[1] / "golden" / "compliance.json").read_text())["models"]

ENTRIES = {
    r"spikformer-8-\d+": "spikformer-imagenet-8-*",
    "spikformer-cifar-2-384": "spikformer-cifar-2-384",
    "spikformer-dvs-2-256": "spikformer-cifar10dvs-2-256",
    r"spikingformer-\d-\d+": "spikingformer-imagenet-*",
    r"spikingformer-(dvs|gesture)-.*": "spikingformer-dvs-2-256",
    r"spikingformer-cifar.*": "spikingformer-cifar-*",
    r"spikingformer-cml-.*": "spikingformer-cml-*",
    r"sew-resnet(18|34|50)-add": "sew_resnet{}-ADD",
    r"sew-resnet\d+-i?and": "sew_resnet*-AND|IAND",
    r"ms-resnet(18|34)": "ms_resnet{}",
    r"sdt-.*": "sdt-v1-*",
    r"meta-spikeformer-.*": "metaspikformer-v2-* before re-parameterisation",
    r"e-spikeformer-base-.*": "v3-base-*",
}

NARROW: dict[str, dict[str, Any]] = {
    "spikformer-8-512": {"dim": 32, "heads": 4, "img_size": 32},
    "spikformer-cifar-2-384": {"dim": 32, "heads": 4},
    "spikformer-dvs-2-256": {"dim": 32, "heads": 4, "img_size": 32},
    "spikingformer-8-512": {"dim": 32, "heads": 4, "img_size": 32},
    "spikingformer-dvs-2-256": {"dim": 32, "heads": 4, "img_size": 32},
    "spikingformer-cifar-4-384": {"dim": 48},
}

BY_COUNTS = "policy: multi-level, D=4 binary sub-steps"


def entry(name: str) -> str | None:
    """The entry of the truth that is about a network."""
    found = ((re.fullmatch(pattern, name), key) for pattern, key in ENTRIES.items())
    return next((key.format(*match.groups()) for match, key in found if match), None)


def step_graph(name: str, **overrides: Any) -> Graph:
    """The step graph of a network without weights."""
    architecture = ARCHITECTURES[name].configure(**overrides)
    with torch.device("meta"):
        network = architecture.build().eval()
        example = torch.empty(1, *architecture.input_shape)
    tensor = trace(network, example)
    return run_passes(tensor, FRONT).graph


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


def held_to_the_truth(name: str, graph: Graph) -> None:
    """Compare paths and sets of all findings."""
    truth = {f["path"]: f["set"] for f in TRUTH[entry(name) or ""]["flagged"]}
    found = CheckSpikes().run(graph).diagnostics
    findings = {d.source.module: d for d in found if d.allowed_by != BY_COUNTS}
    assert findings.keys() == truth.keys()
    wrong = {p: (str(d.domain), truth[p]) for p, d in findings.items() if not agrees(d, truth[p])}
    assert not wrong


@pytest.mark.parametrize("name", NARROW)
def test_narrow_networks(name: str) -> None:
    graph = step_graph(name, **NARROW[name])
    held_to_the_truth(name, graph)
    products = [v for v in verdicts(graph) if v.kind in ("matmul", "mask")]
    assert products
    assert all(v.is_spike_driven for v in products)


def counted(graph: Graph) -> dict[str, list[Diagnostic]]:
    """Findings about counts of integer-firing neurons, by module path."""
    found: dict[str, list[Diagnostic]] = {}
    for each in CheckSpikes().run(graph).diagnostics:
        if each.rule.code == "SNN209":
            assert each.allowed_by == BY_COUNTS
            found.setdefault(each.source.module, []).append(each)
    return found


def test_every_product_of_v3_base_but_the_stem_reads_counts() -> None:
    graph = step_graph("e-spikeformer-base-t", dims=(8, 16, 32, 32), depths=(1, 1), img_size=32)
    held_to_the_truth("e-spikeformer-base-t", graph)
    found = counted(graph)
    products = {v.path for v in verdicts(graph)}
    assert products - found.keys() == {"downsample1_1.encode_conv"}
    for path, findings in found.items():
        by_name = "head" if path == "head" else "attn" if path.endswith(".attn") else ""
        sets = [str(d.domain) for d in findings]
        assert len(sets) == (2 if by_name == "attn" else 1)
        assert sets[0] == ("int[0..4]" if by_name == "head" else "grid(1/4, 0..4)")
    assert len(found) == 45


def test_v3_large_reads_floats_between_stacked_convolutions_and_at_its_first_head() -> None:
    graph = step_graph(
        "e-spikeformer-large-12-512", dims=(8, 16, 32), depths=(1,), heads=4, img_size=32
    )
    found = CheckSpikes().run(graph).diagnostics
    floats = {d.source.module: d.allowed_by for d in found if d.rule.code == "SNN202"}
    parts = ("rep_conv", "attn.q_conv.0", "attn.k_conv.0", "attn.v_conv.0", "attn.proj_conv.0")
    assert floats == {
        "downsample1_1.encode_conv": "policy: encoder",
        **{f"block3.0.{part}.conv2.0": None for part in parts},
        "head": "policy: head",
    }
    others = {v.path for v in verdicts(graph)} - floats.keys()
    assert counted(graph).keys() == others
    assert "head_kd" in others


def test_spikeyolo_reads_counts_but_inside_its_stacked_convolutions() -> None:
    graph = step_graph("spikeyolo-n", width=8, img_size=32)
    found = counted(graph)
    floats = {v.path for v in verdicts(graph)} - found.keys() - {"model.1.encode_conv"}
    inside = r"model\.\d+(\.\d)?\.(Conv\.pwconv3\.body\.1\.[01]|conv[12]\.body\.2\.[01])"
    assert floats
    assert [path for path in floats if not re.fullmatch(inside, path)] == []
    assert {str(d.domain) for each in found.values() for d in each} == {"int[0..4]"}


def test_folding_leaves_neither_factors_nor_batch_norms() -> None:
    graph = step_graph("spikingformer-cifar-2-384", dim=32, heads=4)
    folded = run_passes(graph, [FoldScales(), FoldBatchNorm(), Canonicalise()])
    assert folded.diagnostics == ()
    assert not folded.graph.of_kind("scale", "batch_norm", "avg_pool", "foreign", "constant")


def test_the_verdict_does_not_depend_on_folding() -> None:
    graph = step_graph("spikformer-cifar-2-384", dim=32, heads=4)
    folded = run_passes(graph, [FoldScales(), FoldBatchNorm(), Canonicalise()]).graph

    def flagged(each: Graph) -> list[tuple[str, str]]:
        found = CheckSpikes().run(each).diagnostics
        return [(d.source.module, str(d.domain)) for d in found if not d.allowed_by]

    assert flagged(folded) == flagged(graph)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if entry(name)])
def test_published_networks(name: str) -> None:
    graph = step_graph(name)
    held_to_the_truth(name, graph)
    start = time.perf_counter()
    folded = run_passes(graph, [CheckSpikes(), FoldScales(), FoldBatchNorm(), Canonicalise()])
    assert time.perf_counter() - start < 10
    assert not folded.graph.of_kind("batch_norm")
    assert {abs(getattr(op, "factor", 0)) for op in folded.graph.of_kind("scale")} <= {1}
