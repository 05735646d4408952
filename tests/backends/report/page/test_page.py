"""The page as a document: self-contained, the same each time, and nobody's markup but ours."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from snncc.backends.report.page import charts, energy_charts
from snncc.backends.report.page.draw import library, svg_of
from snncc.backends.report.page.figures import figure_of, figures_of
from snncc.backends.report.page.gather import read_network
from snncc.backends.report.page.headline import evidence_of, headline, warnings
from snncc.backends.report.page.network import Finding, Network
from snncc.backends.report.page.render import page
from snncc.backends.report.page.summary import summary
from snncc.backends.report.page.words import bits, duration, mj, percent_of
from snncc.diagnostics.core import SnnccError

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="session")
def shown(network: Network) -> str:
    return page([network])


def evil(network: Network) -> Network:
    """The same network, every name in it hostile."""
    layers = tuple(dataclasses.replace(each, path=EVIL) for each in network.layers)
    products = tuple(dataclasses.replace(each, path=EVIL) for each in network.products)
    nodes = tuple(
        dataclasses.replace(
            each, label=EVIL, group=f"{EVIL}{each.group}", facts=(("module", EVIL),)
        )
        for each in network.nodes
    )
    finding = Finding(EVIL, EVIL, "note", EVIL, EVIL, (EVIL,), EVIL, EVIL, 3, EVIL, EVIL)
    return dataclasses.replace(
        network, name=EVIL, layers=layers, products=products, nodes=nodes, findings=(finding,)
    )


def without_library(document: str) -> str:
    return document.replace(library().replace("</script", "<\\/script"), "")


def test_the_same_artefact_gives_the_same_page(plain: Path, shown: str) -> None:
    assert page([read_network(plain)]) == shown


def test_nothing_is_fetched(shown: str) -> None:
    rest = without_library(shown)
    assert not re.search(r"<(link|img|iframe|object|embed|audio|video|base)\b", rest)
    assert not re.search(r"\ssrc=|@import|url\((?!#)", rest)
    assert "content=\"default-src 'none';" in rest


def test_it_is_small(shown: str) -> None:
    assert len(shown.encode()) < 2_000_000


def test_names_of_a_model_are_text(network: Network) -> None:
    hostile = without_library(page([evil(network)]))
    assert EVIL not in hostile
    assert hostile.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 10
    assert hostile.count("<script") == hostile.count("</script>") == 3


def test_tables_stand_in_the_document(network: Network, shown: str) -> None:
    captions = (
        "Products of", "Layers of neurons of", "Energy of one sample under each model",
        "Steps of the chip", "How full the cores are", "Constants of the chip",
    )  # fmt: skip
    for caption in captions:
        assert f"<caption>{caption}" in shown
    for product in network.products:
        assert f">{product.path}</td>" in shown


def test_charts_are_drawn_before_any_script_runs(shown: str) -> None:
    assert shown.count('class="marks"') == 6


def test_ids_are_given_once(network: Network, twin: Network) -> None:
    ids = re.findall(r'\sid="([^"]+)"', without_library(page([network, twin])))
    assert len(ids) == len(set(ids))


def test_links_of_the_page_lead_somewhere(network: Network, twin: Network) -> None:
    document = without_library(page([network, twin]))
    places = set(re.findall(r'\sid="([^"]+)"', document))
    assert set(re.findall(r'href="#([^"]+)"', document)) <= places


def test_the_headline_says_what_counts(network: Network, twin: Network) -> None:
    facts = {fact.name: fact for fact in headline(network)}
    assert facts["Verdict"].value == "spike-driven"
    assert headline(twin)[0].value == "not spike-driven"
    assert facts["Latency"].assumed
    assert facts["Throughput"].assumed
    assert "loihi1" in facts["Energy per inference, chip"].notes[0]
    assert "1 assumed" in facts["Latency"].notes[1]


def test_throughput_and_latency_follow_from_the_steps(network: Network) -> None:
    assert network.chip is not None
    assert network.chip.machine is not None
    ns = network.chip.machine.time_ns
    facts = {fact.name: fact.value for fact in headline(network)}
    assert facts["Throughput"] == f"{1e9 / ns:,.0f} samples/s"
    whole = ns * network.timing.latency / network.timing.interval
    assert facts["Latency"] == duration(whole)


def test_what_is_assumed_is_said(network: Network, bare: Path) -> None:
    told = " ".join(warnings(network))
    assert "The floor plan: assumed columns = 8" in told
    assert "No energy of loihi2 is published" in told
    assert "link packet" in told
    without = " ".join(warnings(read_network(bare)))
    assert "The input is assumed" in without
    assert "compile with --data" in without


def test_a_page_without_data_says_so(bare: Path) -> None:
    document = page([read_network(bare)])
    assert "Nothing was recorded: compile with --data." in document
    assert "Nothing was priced" in document


def test_evidence_counts_what_is_assumed(network: Network) -> None:
    assert network.chip is not None
    assert network.chip.machine is not None
    assert evidence_of(network.chip.machine.speeds) == "analytic, vendor, 1 assumed"
    assert evidence_of(()) == "none given"


def test_two_networks_stand_side_by_side(network: Network, twin: Network) -> None:
    document = page([network, twin])
    assert "costs less" in document
    assert "weights on counts" in document
    assert document.count('class="side"') == 12


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_every_figure_is_drawn(twin: Network, kind: str) -> None:
    known = figures_of([twin])
    chosen = ["energy", "energy-mj", "layers:paper-45nm", "rates", "raster:lif", "potentials:lif",
              "network:block.0", "timeline", "floor"]  # fmt: skip
    assert set(chosen) <= set(known)
    for name in chosen:
        drawn = figure_of([twin], kind, name)
        starts = b"\x89PNG" if kind == "png" else b"<svg"
        assert drawn.startswith(starts), name
        assert len(drawn) > 500


def test_figures_of_the_second_network_end_in_b(network: Network, twin: Network) -> None:
    known = figures_of([network, twin])
    assert {"rates", "rates-b", "floor-b", "energy"} <= set(known)


@pytest.mark.parametrize(
    ("name", "told"), [(None, "--figure NAME"), ("rate", "did you mean `rates`")]
)
def test_an_unknown_figure_lists_all(network: Network, name: str | None, told: str) -> None:
    with pytest.raises(SnnccError, match="SNN940") as caught:
        figure_of([network], "png", name)
    (found,) = caught.value.diagnostics
    assert told in found.message
    assert "timeline" in found.hint
    paths = [layer.path for layer in network.layers]
    assert f"raster: or potentials: with {', '.join(paths)}" in found.hint
    assert found.hint.count(paths[-1]) == 1


def test_figures_of_hostile_names_are_text(network: Network) -> None:
    hostile = evil(network)
    drawn = figure_of([hostile], "svg", "rates").decode()
    assert EVIL not in drawn
    assert "&lt;script&gt;" in drawn


def test_the_raster_tells_which_network_fired(network: Network) -> None:
    layer = network.layers[0]
    fired = {
        (v["step"], v["at"]) for v in charts.raster_values(layer, 1) if v["fired"] != "float only"
    }
    assert fired == {
        (step, at)
        for step, row in enumerate(layer.spikes[1]) for at, c in enumerate(row) if c != "0"
    }  # fmt: skip


def test_the_histograms_are_shares_of_all(network: Network) -> None:
    values = charts.potential_values(network, network.layers[1])
    for kind in ("float", "integer"):
        assert sum(v["share"] for v in values if v["network"] == kind) == pytest.approx(100)


def test_no_text_of_a_model_stands_in_an_expression(network: Network) -> None:
    hostile = evil(network)
    for spec in (charts.rates_chart(hostile), charts.raster_chart(hostile),
                 energy_charts.energy_chart([hostile, hostile])):  # fmt: skip
        rest = {k: v for k, v in spec.items() if k != "data"}
        written = json.dumps(rest)
        assert "expr" not in written
        assert svg_of(spec)


def test_the_summary_is_short_and_says_the_same(network: Network) -> None:
    told = summary([network])
    assert told.startswith("## Residual")
    assert "**spike\\-driven**" in told or "**spike-driven**" in told
    assert "| kind of layer | layers | MAC | AC |" in told
    assert "(assumed)" in told
    assert len(told) < 6000


def test_the_summary_of_two_explains(network: Network, twin: Network) -> None:
    told = summary([network, twin])
    assert "## A: " in told
    assert "## B: " in told
    assert "## Difference" in told
    assert "costs less" in told


def test_names_in_a_summary_are_no_markdown(network: Network) -> None:
    told = summary([evil(network)])
    assert EVIL not in told
    assert "\\<script\\>alert\\(1\\)\\</script\\>" in told


def test_numbers_read_well() -> None:
    assert [duration(ns) for ns in (0.5, 200, 5041000, 2.1e9)] == [
        "0.5 ns",
        "200 ns",
        "5.04 ms",
        "2.1 s",
    ]
    assert [percent_of(x) for x in (0, 0.0002, 0.5)] == ["0.0 %", "0.02 %", "50.0 %"]
    assert [bits(n) for n in (7, 95232, 2_000_000)] == ["7 bit", "95.2 kbit", "2 Mbit"]
    assert [mj(x) for x in (0, 0.00285)] == ["0", "2.850 µJ"]
