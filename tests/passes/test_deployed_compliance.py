"""The verdict once linear chains are merged, against the truth; what merging costs in parameters.

Published figures for Meta-SpikeFormer 8-384: 31.33 M parameters, 68.83 M with its RepConv layers
merged, 76.96 M with its SepConv layers as dense 7x7 convolutions as well; 8-512: 55.35, 122.08 and
136.56 M.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from snncc.frontends.torch_export import trace
from snncc.ir.domain import REAL
from snncc.ir.graph import Graph
from snncc.models.zoo import ARCHITECTURES
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.check_spikes import CheckSpikes
from snncc.passes.merge_linear_chains import MergeLinearChains
from snncc.passes.to_steps import ToSteps

TRUTH = json.loads((Path(__file__).parents[1] / "golden" / "compliance.json").read_text())["models"]

REP_CONV_ONLY = 8.0
"""A limit on growth under which RepConv merges (4.5 times) and SepConv (19 to 49) does not."""


@cache
def step_graph(name: str, **overrides: Any) -> Graph:
    """The step graph of a network without weights."""
    architecture = ARCHITECTURES[name].configure(**overrides)
    with torch.device("meta"):
        network = architecture.build().eval()
        example = torch.empty(1, *architecture.input_shape)
    tensor = trace(network, example)
    return run_passes(tensor, [Canonicalise(), ToSteps(), Canonicalise()]).graph


def flagged(graph: Graph) -> list[str]:
    """The module paths of all findings, each of which is about real numbers."""
    findings = CheckSpikes().run(graph).diagnostics
    assert all(d.domain == REAL for d in findings)
    return [d.source.module for d in findings]


def truth(form: str) -> set[str]:
    return {f["path"] for f in TRUTH[f"metaspikformer-v2-* {form}"]["flagged"]}


def holds(graph: Graph) -> None:
    """Hold both forms to the truth, path for path."""
    written = flagged(graph)
    assert (len(written), set(written)) == (69, truth("before re-parameterisation"))
    deployed = flagged(MergeLinearChains().run(graph).graph)
    assert (len(deployed), set(deployed)) == (1, truth("after merging linear chains"))


def test_only_the_stem_is_left() -> None:
    graph = step_graph("meta-spikeformer-8-384")
    holds(graph)
    merged = MergeLinearChains().run(graph)
    assert not merged.graph.of_kind("pad")
    assert sorted({c.kernel for c in merged.chains}) == [(3, 3), (7, 7)]
    assert [len([c for c in merged.chains if c.kernel == k]) for k in ((3, 3), (7, 7))] == [32, 4]


@pytest.mark.parametrize(
    ("limit", "merged", "millions"), [(REP_CONV_ONLY, 68_826_088, 68.83), (64.0, 76_957_624, 76.96)]
)
def test_parameters_of_8_384(limit: float, merged: int, millions: float) -> None:
    result = MergeLinearChains(max_growth=limit).run(step_graph("meta-spikeformer-8-384"))
    assert (result.parameters, result.merged_parameters) == (31_333_864, merged)
    assert round(merged / 1e6, 2) == millions
    assert f"31,333,864 parameters became {merged:,}" in result.diagnostics[-1].message


@pytest.mark.slow
def test_parameters_of_8_512() -> None:
    graph = step_graph("meta-spikeformer-8-512")
    holds(graph)
    only = MergeLinearChains(max_growth=REP_CONV_ONLY).run(graph)
    both = MergeLinearChains().run(graph)
    millions = (both.parameters, only.merged_parameters, both.merged_parameters)
    assert [round(n / 1e6, 2) for n in millions] == [55.35, 122.08, 136.56]


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in ARCHITECTURES if n.startswith("meta-spikeformer")])
def test_published_networks(name: str) -> None:
    holds(step_graph(name))


def test_stacked_pointwise_layers_shrink() -> None:
    """Two 1x1 layers through 1.5 times the channels are one, with a third of the parameters."""
    graph = step_graph("e-spikeformer-large-12-768", depths=(1,), img_size=32)
    merged = MergeLinearChains().run(graph)
    rep = [c for c in merged.chains if ".q_conv." in c.name]
    assert [(c.kernel, c.merged_parameters) for c in rep] == [((1,), 768 * 768 + 768)]
    assert merged.merged_parameters < merged.parameters
    paths = flagged_real(merged.graph)
    assert paths == ["downsample1_1.encode_conv", "head"]


def flagged_real(graph: Graph) -> list[str]:
    findings = CheckSpikes().run(graph).diagnostics
    return [d.source.module for d in findings if d.domain == REAL]
