"""The checker alone re-reads a placement, and refuses each one that was tampered with."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Graph, Op, reading
from snncc.ir.latency import bits_of
from snncc.ir.ops import IntegerNeuron
from snncc.mapping.check import check_placement, require_placement
from snncc.mapping.deliveries import deliveries
from snncc.mapping.place import place
from snncc.mapping.placement import from_document, read_placement, to_document
from snncc.mapping.populations import net_of
from snncc.mapping.views import NOWHERE
from snncc.mapping.waits import waits_of
from snncc.passes.balance_delays import on_cores
from snncc.targets.facts import Fact
from snncc.targets.load import Target

Chip = Callable[..., Target]
LIMITS = {"neurons_per_core": 50, "axons_in_per_core": 200, "axons_out_per_core": 900}


@pytest.fixture(scope="module")
def document(attention: Graph, chip: Chip) -> dict[str, Any]:
    return to_document(place(attention, chip(**LIMITS)))


def test_the_file_alone_is_enough(
    attention: Graph, chip: Chip, document: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "placement.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    usage = require_placement(attention, read_placement(path), chip(**LIMITS))
    assert int(usage.neurons.max()) <= 50
    assert int(usage.axons_in.max()) <= 200


def test_marks_and_sites_count_the_same_axons(attention: Graph, document: dict[str, Any]) -> None:
    """Two ways to find who reads whom, with nothing in common, agree core by core."""
    placement = from_document(document)
    net = net_of(attention)
    reads, sends = np.zeros((2, len(placement.cores)), np.int64)
    for delivery in deliveries(net, placement.labels(net)):
        sizes = delivery.sizes[delivery.bins]
        np.add.at(reads, delivery.receivers, sizes)
        senders = delivery.senders[delivery.bins]
        np.add.at(sends, senders[senders != NOWHERE], sizes[senders != NOWHERE])
    checked = check_placement(attention, placement, chip_of(document))
    assert checked.usage is not None
    assert checked.usage.axons_in.tolist() == reads.tolist()
    assert checked.usage.axons_out.tolist() == sends.tolist()


def chip_of(document: dict[str, Any]) -> Target:
    from snncc.targets.load import load_target

    return replace(load_target("loihi2"), name=document["target"])


def drop_part(cores: list[Any]) -> None:
    cores[0]["parts"].pop()


def repeat_part(cores: list[Any]) -> None:
    cores[1]["parts"].append(cores[0]["parts"][0])


def shrink_part(cores: list[Any]) -> None:
    box = next(p["box"] for p in cores[0]["parts"] if p["box"][0][1] > 1)
    box[0][1] -= 1


def widen_part(cores: list[Any]) -> None:
    cores[0]["parts"][0]["box"][0][1] += 1000


def rename_part(cores: list[Any]) -> None:
    cores[0]["parts"][0]["population"] = "nobody"


def flatten_part(cores: list[Any]) -> None:
    cores[0]["parts"][0]["box"].pop()


def share_seat(cores: list[Any]) -> None:
    cores[1].update({key: cores[0][key] for key in ("chip", "tile", "slot")})


def leave_mesh(cores: list[Any]) -> None:
    cores[2]["tile"] = [8, 0]


def crowd_core(cores: list[Any]) -> None:
    cores[0]["parts"] += cores[1]["parts"]
    cores[1]["parts"] = []


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (drop_part, "are on no core"),
        (repeat_part, "are on several cores"),
        (shrink_part, "are on no core"),
        (widen_part, "which is not there"),
        (rename_part, "of `nobody`, which is not there"),
        (flatten_part, "which is not there"),
        (share_seat, "cores 0 and 1 sit on the same seat"),
        (leave_mesh, "core 2 sits at (8, 0,"),
        (crowd_core, "break neurons_per_core: core 0 needs"),
    ],
)
def test_a_corrupted_placement_is_refused(
    attention: Graph,
    chip: Chip,
    document: dict[str, Any],
    tamper: Callable[[list[Any]], None],
    words: str,
) -> None:
    changed = copy.deepcopy(document)
    tamper(changed["cores"])
    with pytest.raises(SnnccError) as error:
        require_placement(attention, from_document(changed), chip(**LIMITS))
    assert {d.rule.code for d in error.value.diagnostics} == {"SNN422"}
    assert words in str(error.value)


def test_limits_that_shrink_are_noticed(
    attention: Graph, chip: Chip, document: dict[str, Any]
) -> None:
    tight = chip(
        neurons_per_core=10, synaptic_memory_bytes_per_core=8, axons_in_per_core=5,
        axons_out_per_core=5, memory_bytes_per_core=9, neurons_per_chip=100, synapses_per_chip=7,
    )  # fmt: skip
    found = check_placement(attention, from_document(document), tight).diagnostics
    for name in tight.limits:
        words = {"neurons_per_chip": "neurons, wanted at most 100", "synapses_per_chip": "stored"}
        assert name == "cores" or any(words.get(name, name) in d.message for d in found), name
    assert all("it holds" in " ".join(d.because) for d in found if "per_core" in d.message)


def test_what_waits_is_charged_to_the_core_that_reads_it(attention: Graph, chip: Chip) -> None:
    """`as` fires two steps after `c1` is made; the sum with it keeps its bits so long, less one."""
    net = net_of(attention)
    placement = place(attention, chip(neurons_per_core=64))
    usage = require_placement(attention, placement, chip(neurons_per_core=64))
    stream = net.owner["ms"]
    late = net.late[stream.name] - 1 - net.late["c1"]
    width = bits_of(attention.type_of("c1").domain)
    mine = [
        number for number, core in enumerate(placement.cores)
        if any(part.population == stream.name for part in core.parts)
    ]  # fmt: skip
    assert late >= 1
    held = sum(
        part.neurons for n in mine for part in placement.cores[n].parts
        if part.population == stream.name
    )  # fmt: skip
    assert held == stream.neurons
    assert int(usage.delay_bits[mine].sum()) >= late * width * stream.neurons
    needs = sum(
        part.neurons * wait.bits
        for core in placement.cores for part in core.parts
        for wait in waits_of(net, net.by_name[part.population]) if wait.operand is None
    )  # fmt: skip
    assert int(usage.delay_bits.sum()) >= needs > 0
    more = usage.of_cores("memory_bytes") - usage.of_cores("synapse_bytes")
    assert (more[usage.delay_bits > 8] > 0).all()


def test_memory_may_not_hold_what_waits(attention: Graph, chip: Chip) -> None:
    roomy = place(attention, chip(neurons_per_core=64))
    usage = require_placement(attention, roomy, chip(neurons_per_core=64))
    kept = usage.synapse_bits + usage.counter_bits
    fits_without = int((-(-kept // 8)).max())
    tight = chip(neurons_per_core=64, memory_bytes_per_core=fits_without)
    found = check_placement(attention, roomy, tight).diagnostics
    assert bool(found) == bool(int(usage.of_cores("memory_bytes").max()) > fits_without)
    small = place(attention, tight)
    assert check_placement(attention, small, tight).diagnostics == ()


def test_a_graph_without_its_delays_is_refused(
    attention: Graph, chip: Chip, document: dict[str, Any]
) -> None:
    found = check_placement(
        attention.replace(_without_delays(attention)), from_document(document), chip(**LIMITS)
    )
    assert found.usage is None
    assert any("no delays, or not all of them" in d.message for d in found.diagnostics)


def test_nothing_waits_longer_than_synapses_can(attention: Graph, chip: Chip) -> None:
    """Where a chip's synapses delay by one step, relays send on what waits longer."""
    tight = chip(neurons_per_core=64, delay_steps=1)
    placement = place(attention, tight)
    found = check_placement(attention, placement, tight).diagnostics
    assert any("wanted at most 1, or a relay between" in d.message for d in found)
    relayed = on_cores(attention.replace(_without_delays(attention)), tight)
    placement = place(relayed, tight)
    assert check_placement(relayed, placement, tight).diagnostics == ()
    names = {part.population for core in placement.cores for part in core.parts}
    assert any(".later" in name for name in names)


def _without_delays(graph: Graph) -> list[Op]:
    reads = {op.name: op.inputs[0] for op in graph.of_kind("delay")}

    def behind(name: str) -> str:
        return behind(reads[name]) if name in reads else name

    return [
        reading(op, {name: behind(name) for name in op.inputs})
        for op in graph.ops if op.name not in reads
    ]  # fmt: skip


def test_cores_have_few_threshold_registers(attention: Graph, chip: Chip) -> None:
    """Layers of one channel each would share a core, were their thresholds not different."""
    layers = [op for op in attention.ops if isinstance(op, IntegerNeuron)]
    rising: dict[str, Op] = {op.name: replace(op, threshold=f"{op.name}.t") for op in layers}
    own = {f"{name}.t": np.array(30 + n) for n, name in enumerate(rising)}
    graph = attention.replace([rising.get(op.name, op) for op in attention.ops], own)
    most = {}
    for registers in (1, 2, 50):
        target = chip(neurons_per_core=512, thresholds_per_core=registers)
        placement = place(graph, target)
        usage = require_placement(graph, placement, target)
        most[registers] = int(usage.thresholds.max())
        cores = len(placement.cores)
        assert cores >= len(own) / registers
    assert most[1] == 1
    assert most[50] > 2
    crowded = replace(target, limits={**target.limits, "thresholds_per_core": Fact(2, source="t")})
    found = check_placement(graph, placement, crowded).diagnostics
    assert any("break thresholds_per_core" in d.message for d in found)
    channels = {"s1.t": np.arange(8).reshape(8, 1, 1) + 30}
    many = graph.replace(graph.ops, {**own, **channels})
    with pytest.raises(SnnccError, match="SNN420"):
        place(many, chip(neurons_per_core=512, thresholds_per_core=0))


def test_the_target_must_be_the_one_it_was_made_for(
    attention: Graph, document: dict[str, Any]
) -> None:
    from snncc.targets.load import load_target

    found = check_placement(attention, from_document(document), load_target("loihi2")).diagnostics
    assert "the placement is for 'mine', the target is 'loihi2'" in found[0].message


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("schema", "snncc.placement/9", "schema is 'snncc.placement/9'"),
        ("chip_columns", 0, "wrong type"),
        ("chip_columns", "two", "is no whole number"),
        ("target", None, "wrong type"),
        ("cores", [{"tile": [0, 0], "slot": 0, "parts": []}], "'chip' is missing"),
        ("cores", [{"chip": 0, "tile": [0], "slot": 0, "parts": []}], "is no placement"),
        ("cores", [{"chip": -1, "tile": [0, 0], "slot": 0, "parts": []}], "-1 is no whole number"),
        (
            "cores",
            [
                {
                    "chip": 0,
                    "tile": [0, 0],
                    "slot": 0,
                    "parts": [{"population": "s", "box": [[2, 2]]}],
                }
            ],
            "empty span",
        ),
        (
            "cores",
            [{"chip": 0, "tile": [0, 0], "slot": 0, "parts": [{"population": 3, "box": []}]}],
            "is no name",
        ),
    ],
)
def test_documents_that_are_none(
    document: dict[str, Any], key: str, value: Any, words: str
) -> None:
    with pytest.raises(SnnccError, match="SNN422") as error:
        from_document({**document, key: value})
    assert words in str(error.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "placement.json"
    for text in ("{", "[]", "\x00"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SnnccError, match="SNN422"):
            read_placement(path)
    with pytest.raises(SnnccError, match="does not exist"):
        read_placement(tmp_path / "none.json")
