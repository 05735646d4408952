"""Spread over samples: by hand, and the same however the samples are split."""

from __future__ import annotations

import statistics as plain
from typing import Any

import numpy as np
import pytest

from snncc.energy.detail import layer_details
from snncc.energy.price import counted
from snncc.energy.statistics import spread, statistics
from snncc.execute.counts import count
from snncc.ir.graph import Array


def samples(nets: Any) -> Array:
    rng = np.random.default_rng(5)
    share = np.array([0.0, 0.3, 0.6, 0.9, 0.1])[:, None, None, None]
    return (rng.random((5, nets.STEPS, 3, 4)) < share).astype(float)


def test_the_spread_of_figures_is_that_of_the_textbook() -> None:
    values = [3, 1, 4, 1, 5, 9, 2, 6]
    found = spread(np.array(values))
    assert found["mean"] == plain.mean(values)
    assert found["deviation"] == pytest.approx(plain.pstdev(values))
    assert (found["least"], found["most"]) == (1, 9)
    assert found["quantiles"]["0.5"] == plain.median(values)
    assert 1 <= found["quantiles"]["0.05"] <= found["quantiles"]["0.95"] <= 9


def test_the_mean_is_what_is_priced(nets: Any) -> None:
    graph = nets.attention(values_first=True)
    x = samples(nets)
    counts = count(graph, x)
    found = statistics(counts)
    assert found["ac"]["mean"] == pytest.approx(sum(load.ac for load in counted(counts)))
    for load in counted(counts):
        assert found["layers"][load.name]["mean"] == pytest.approx(load.ac)
    alone = [sum(load.ac for load in counted(count(graph, x[i : i + 1]))) for i in range(len(x))]
    assert found["ac"] == spread(np.array(alone))
    assert found["ac"]["deviation"] > 0


def test_batches_and_parts_change_nothing(nets: Any) -> None:
    graph = nets.attention(values_first=False)
    x = samples(nets)
    whole = statistics(count(graph, x))
    assert statistics(count(graph, x, batch=2)) == whole
    assert statistics(count(graph, x[:2]) + count(graph, x[2:])) == whole


@pytest.mark.parametrize("values_first", [True, False])
def test_heads_add_up_to_the_product(nets: Any, values_first: bool) -> None:
    graph = nets.attention(values_first=values_first)
    found = layer_details(graph, count(graph, samples(nets)))
    for name in ("first", "second"):
        attention = found[name]["attention"]
        assert len(attention["adds_by_head"]) == attention["heads"] == 1
        assert sum(attention["adds_by_head"]) == pytest.approx(attention["adds"])
