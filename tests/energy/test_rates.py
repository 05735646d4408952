"""Files of firing rates: the published logs from shapes alone, every convention, every refusal."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from snncc.compiler import check_model
from snncc.energy.conventions import SDT, SYOPS, Rates, estimates
from snncc.energy.load import load_energy_model
from snncc.energy.price import Energy, price
from snncc.energy.products import products
from snncc.energy.published import Published, published, reduction
from snncc.energy.rates import RateError, match, read_rates
from snncc.frontends.load import load_model
from snncc.ir.graph import Graph

GOLDEN = Path(__file__).parent.parent / "golden"
PAPER = load_energy_model("paper-45nm")
EXACT = 1e-12


@cache
def network(name: str) -> Graph:
    return check_model(load_model(f"arch:{name}")).graph


def log(size: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"spikingformer-{size}.json").read_text())
    return found


def logged(size: str) -> tuple[Graph, Rates]:
    graph = network(f"spikingformer-{size}")
    return graph, read_rates(GOLDEN / f"spikingformer-{size}.json", graph)


def priced(size: str, **options: Any) -> Energy:
    return price(estimates(*logged(size), **options), PAPER)


def test_the_published_log_of_8_512() -> None:
    energy = priced("8-512")
    assert energy.mac == 347_329_512
    assert energy.ac == pytest.approx(6.517540940762441e9, rel=EXACT)
    assert energy.energy_mj == pytest.approx(7.463502601886196, rel=EXACT)


@pytest.mark.slow
def test_the_published_log_of_8_768_is_of_12_heads_and_the_network_has_8() -> None:
    assert priced("8-768", counter_heads=12).energy_mj == pytest.approx(
        13.658864951845398, rel=EXACT
    )
    assert priced("8-768").energy_mj == pytest.approx(13.674657892214555, rel=EXACT)


@pytest.mark.parametrize("size", ["8-512", pytest.param("8-768", marks=pytest.mark.slow)])
def test_dense_operations_come_from_the_network(size: str) -> None:
    found = {p.path: p for p in products(network(f"spikingformer-{size}")) if not p.is_attention}
    layers = log(size)["layers"]
    assert len(layers) == len(found) == 54
    for layer in layers:
        product = found[layer["name"]]
        dense = product.runs * (product.dense_ops + product.bias_ops)
        assert dense == layer["dense_ops"], layer["name"]
        assert product.driven is (layer["kind"] == "AC")


def test_nothing_but_rates_is_read_from_a_file(tmp_path: Path) -> None:
    document = log("8-512")
    for layer in document["layers"]:
        layer.update(dense_ops=1, kind="MAC", ops=7.0, time_steps=9)
    file = tmp_path / "rates.json"
    file.write_text(json.dumps(document))
    assert read_rates(file, network("spikingformer-8-512")) == logged("8-512")[1]


def rows_of(size: str, key: str) -> list[tuple[str, object]]:
    document = log(size)
    rows = [(layer[key], layer["input_firing_rate"]) for layer in document["layers"]]
    rows += [
        (f"block.{b['block']}.attn.{x}_lif", b[x]) for b in document["attention"] for x in "qkv"
    ]
    return rows


@pytest.mark.parametrize("key", ["name", "log_name"])
def test_a_csv_with_todays_names_or_those_of_the_log(tmp_path: Path, key: str) -> None:
    file = tmp_path / "rates.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([("path", "rate"), *rows_of("8-512", key)])
    graph, rates = logged("8-512")
    assert read_rates(file, graph) == rates


def test_what_reads_no_spikes_needs_no_rate() -> None:
    graph, rates = logged("8-512")
    rows = [row for row in rows_of("8-512", "name") if row[0] not in ("head", FIRST)]
    assert match(rows, graph) == rates


FIRST = "patch_embed.proj_conv"
SECOND = "patch_embed.proj1_conv"


def changed(name: str, rate: object) -> list[tuple[str, object]]:
    return [(n, rate if n == name else r) for n, r in rows_of("8-512", "name")]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (changed(SECOND, 1.01), "the rate of `patch_embed.proj1_conv` is 1.01, wanted a number"),
        (changed(SECOND, -0.1), "is -0.1, wanted a number from 0 to 1"),
        (changed(SECOND, float("nan")), "is nan, wanted a number from 0 to 1"),
        (changed(SECOND, "much"), "is 'much', wanted a number"),
        (changed(SECOND, None), "is None, wanted a number"),
        (changed(SECOND, True), "is True, wanted a number"),
        (changed(SECOND, [])[:2], "is [], wanted a number"),
        (rows_of("8-512", "name")[2:], "there is no rate of `patch_embed.proj1_conv`"),
        (rows_of("8-512", "name")[:54], "no rate of `block.0.attn.k_lif`, `block.0.attn.v_lif`"),
        ([*rows_of("8-512", "name"), ("block.8.mlp.x", 0.1)], "no layer `block.8.mlp.x`"),
        ([*rows_of("8-512", "name"), (SECOND, 0.1)], "`patch_embed.proj1_conv` is given twice"),
    ],
)
def test_bad_rates_are_refused(rows: list[tuple[str, object]], reason: str) -> None:
    with pytest.raises(RateError) as refusal:
        match(rows, network("spikingformer-8-512"))
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("r.json", "{", "is neither JSON nor CSV of rates"),
        ("r.json", "[1]", "wanted an object with a list `layers`"),
        ("r.json", '{"layers": [1]}', "a layer is 1, wanted an object"),
        ("r.json", '{"layers": [{"rate": 1}]}', "a layer has no name"),
        ("r.json", '{"layers": []}', "holds no rates"),
        ("r.json", '{"layers": [], "attention": [{"q": 1}]}', "each of `attention` has to have"),
        ("r.csv", "", "wanted a heading with the columns `path` and `rate`"),
        ("r.csv", "a,b\n1,2\n", "wanted a heading with the columns `path` and `rate`"),
        ("r.csv", "path,rate\n", "holds no rates"),
        ("r.csv", 'path,rate\n"a,1\n', "is neither JSON nor CSV of rates"),
        ("none.csv", None, "does not exist"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, name: str, text: str | None, reason: str) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(RateError) as refusal:
        read_rates(file, network("spikingformer-8-512"))
    assert reason in str(refusal.value)


def test_syops_multiplies_in_batch_norms_and_does_not_see_attention() -> None:
    energy = priced("8-512", convention=SYOPS)
    assert energy.mac == log("8-512")["totals_logged"]["Nops_all_modules"]["mac"]
    assert energy.ac == pytest.approx(6.489715413005703e9, rel=EXACT)
    assert {layer.load.op for layer in energy.layers} == {"conv", "linear", "batch_norm"}


def test_sdt_prices_projections_by_what_they_make() -> None:
    graph, rates = logged("8-512")
    found = {(x.path, x.op, x.name): x for x in estimates(graph, rates, SDT)}
    first = log("8-512")["attention"][0]
    mean = (first["q"] + first["k"] + first["v"]) / 3
    for letter in "qkv":
        name = f"block.0.attn.{letter}_conv"
        layer = found[name, "conv", name]
        assert layer.rate == pytest.approx(mean, rel=EXACT)
        assert layer.ac == pytest.approx(4 * 196 * 512 * 512 * mean, rel=EXACT)
    attention = [x for x in found.values() if x.op == "matmul" and x.path == "block.0.attn"]
    wanted = 4 * 196 * 512 * (first["q"] + first["k"])
    assert sum(x.ac for x in attention) == pytest.approx(wanted, rel=EXACT)
    assert found["head", "linear", "head"].mac == 512 * 1000


def paper(name: str) -> Published:
    found = published(name)
    assert found is not None
    return found


@pytest.mark.parametrize(("size", "share"), [("8-512", 0.6036), ("8-768", 0.5734)])
def test_reductions_are_those_of_the_tables(size: str, share: float) -> None:
    less = reduction(paper(f"spikingformer-{size}"), paper(f"spikformer-{size}"))
    assert round(less, 4) == share


def test_not_every_network_has_a_published_figure() -> None:
    assert published("spikingformer-cifar-4-256") is None
