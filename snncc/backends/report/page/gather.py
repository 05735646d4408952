"""From an artefact to what a page shows of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snncc.artefact import DAMAGED_ARTEFACT, Artefact, read_artefact
from snncc.backends.report.build import SCHEMA as REPORT
from snncc.backends.report.page.agree import require_fit, require_numbers
from snncc.backends.report.page.graph import nodes_of
from snncc.backends.report.page.network import (
    Chip,
    Constant,
    Energy,
    Finding,
    Layer,
    Machine,
    Network,
    Product,
    Seated,
    Step,
    Timing,
    Use,
)
from snncc.backends.report.profile import PROFILE
from snncc.backends.report.profile import SCHEMA as PROFILED
from snncc.diagnostics.catalogue import all_rules
from snncc.diagnostics.core import SnnccError
from snncc.energy.compare import kind_of
from snncc.ir.graph import Graph, Source
from snncc.mapping.placement import from_document
from snncc.passes.check_spikes import verdicts
from snncc.passes.spike_causes import shown

Document = Mapping[str, Any]

_MISREAD = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError)
"""What comes of documents of another form than expected."""


def read_network(path: Path) -> Network:
    """Return what a page shows of an artefact. Raises ``SnnccError`` where it cannot be used."""
    artefact = read_artefact(path)
    try:
        return network_of(artefact)
    except _MISREAD as fault:
        reason = f"the key {fault} is missing" if isinstance(fault, KeyError) else str(fault)
        message = f"`{path}` holds documents that this version does not read: {reason}"
        hint = "compile the model again"
        raise SnnccError(DAMAGED_ARTEFACT.at(Source(file=str(path)), message, hint=hint)) from fault


def network_of(artefact: Artefact) -> Network:
    """Return what a page shows of an artefact; ``KeyError`` and such where a document lacks it."""
    network = _network(artefact)
    require_fit(network)
    return network


def _network(artefact: Artefact) -> Network:
    report = _of_schema(artefact, "report.json", REPORT) or {}
    profile = _of_schema(artefact, PROFILE, PROFILED) or {}
    written = artefact.floating or artefact.integer
    quality, timing = report["quantization"], report["timing"]
    products = tuple(_products(written, report))
    layers = tuple(_layers(artefact.integer, quality, profile))
    findings = tuple(_finding(d) for d in artefact.documents["diagnostics.json"])
    bins = profile.get("bins", {"per_threshold": 10, "lowest": -2, "highest": 3})
    return Network(
        name=str(report["model"]),
        target=str(report["target"]),
        time_steps=int(report["time_steps"]),
        samples=int(report.get("samples", 0)),
        calibrated=bool(report["calibrated"]),
        weight_bits=int(quality["weight_bits"]),
        sqnr_db=_number(quality["output_sqnr_db"]),
        same_answer=float(quality["same_answer"]),
        accuracy={k: float(v) for k, v in report.get("accuracy", {}).items() if v is not None},
        findings=findings,
        products=products,
        layers=layers,
        energies=tuple(_energies(report, profile, products)),
        timing=_timing(timing),
        chip=_chip(artefact, report, profile),
        nodes=nodes_of(written, artefact.integer, products, layers, findings),
        labels=tuple(int(n) for n in profile.get("labels") or ()),
        answers=tuple(int(n) for n in profile.get("answers") or ()),
        bins=(int(bins["per_threshold"]), int(bins["lowest"]), int(bins["highest"])),
        assumed_features=tuple(str(d["what"]) for d in report["demands"] if d["assumed"]),
        made_of=tuple(_made_of(artefact.manifest)),
    )


def _of_schema(artefact: Artefact, name: str, schema: str) -> Document | None:
    document = artefact.documents.get(name)
    require_numbers(document)
    if document is not None and document["schema"] != schema:
        raise ValueError(f"{name} has schema {document['schema']!r}, wanted {schema!r}")
    return document


def _timing(timing: Document) -> Timing:
    return Timing(
        latency=int(timing["latency"]),
        interval=int(timing["interval"]),
        substeps=int(timing["substeps"]),
        encoder=str(timing["encoder"]),
        head=str(timing["head"]),
        delay_memory_bits=int(timing["delay_memory_bits"]),
    )


def _finding(document: Document) -> Finding:
    declared = all_rules().get(document["code"])
    source = document["source"]
    return Finding(
        code=str(document["code"]),
        name=str(document["name"]),
        severity=str(document["severity"]),
        path=str(document["path"]),
        message=str(document["message"]),
        because=tuple(str(line) for line in document["because"]),
        hint=str(document["hint"]),
        file=str(source["file"]),
        line=int(source["line"]),
        allowed_by=str(document["allowed_by"] or ""),
        explanation=declared.explanation if declared else "",
    )


def _products(written: Graph, report: Document) -> Iterator[Product]:
    measured = {row["name"]: row for row in report.get("products", ())}
    for each in verdicts(written):
        row = measured.get(each.name)
        yield Product(
            name=each.name,
            path=each.path or each.name,
            op=each.kind,
            role=each.role,
            reads=", ".join(dict.fromkeys(shown(d) for d in each.domains)),
            verdict=each.verdict,
            shape=tuple(written.type_of(each.name).shape),
            rate=None if row is None else float(row["rate"]),
            synaptic_ops=None if row is None else float(row["synaptic_ops"]),
            energy_mj=None if row is None else {k: float(v) for k, v in row["energy_mj"].items()},
        )


def _layers(integer: Graph, quality: Document, profile: Document) -> Iterator[Layer]:
    lost = {row["name"]: row for row in quality["layers"]}
    did = {row["name"]: row for row in profile.get("layers", ())}
    for op in integer.of_kind("integer_neuron"):
        known, ran = lost.get(op.name, {}), did.get(op.name, {})
        shape = tuple(integer.type_of(op.name).shape)
        rate = known.get("rate_integer")
        highest = known.get("highest_potential")
        yield Layer(
            name=op.name,
            path=op.source.module or op.name,
            shape=shape,
            neurons=math.prod(shape),
            rate=_number(rate),
            exact=bool(known.get("exact")),
            equal_spikes=_number(known.get("equal_spikes")),
            highest_potential=None if highest is None else int(highest),
            rates=_floats(ran.get("rates")),
            float_rates=_floats(ran.get("float_rates")),
            shown=_ints(ran.get("shown")),
            spikes=_rasters(ran.get("spikes")),
            float_spikes=_rasters(ran.get("float_spikes")),
            potentials=_ints(ran.get("potentials")),
            float_potentials=_ints(ran.get("float_potentials")),
        )


def _energies(
    report: Document, profile: Document, products: tuple[Product, ...]
) -> Iterator[Energy]:
    said = {p.name: {"role": p.role, "reads": p.reads} for p in products}
    known = {e["energy_model"]: e for e in report.get("energy", ())}
    known |= {e["energy_model"]: e for e in profile.get("energies", ())}
    for name, document in sorted(known.items()):
        layers = [{"role": "", "reads": "", **layer} for layer in document["layers"]]
        layers = [{**layer, **said.get(layer["name"], {})} for layer in layers]
        whole = {"published": None, **document, "layers": layers}
        operations = str(document["operations"])
        yield Energy(
            model=str(name),
            precision=str(document["precision"]),
            operations=operations,
            totals_mj={
                str(p): float(t["energy_mj"]) for p, t in document["totals_by_precision"].items()
            },
            layers=tuple(
                (str(x["path"] or x["name"]), kind_of(x, operations), float(x["energy_mj"]))
                for x in layers
            ),
            constants=_constants(document["constants"]),
            assumptions=tuple(str(line) for line in document["assumptions"]),
            leaves_out=tuple(str(line) for line in document["leaves_out"]),
            document=whole,
        )


def _constants(facts: Document) -> tuple[Constant, ...]:
    return tuple(_constant(str(key), fact) for key, fact in facts.items())


def _constant(key: str, fact: Document) -> Constant:
    value = fact["value"]
    value = value if isinstance(value, (int, float)) else str(value)
    evidence, source = str(fact["evidence"]), str(fact["source"])
    assumed = evidence == "assumed" or source.startswith("assumed:")
    return Constant(key, value, str(fact["unit"]), evidence, source, assumed)


def _chip(artefact: Artefact, report: Document, profile: Document) -> Chip | None:
    stands = report.get("placement")
    if stands is None or "placement.json" not in artefact.documents:
        return None
    placement = from_document(artefact.documents["placement.json"])
    cores = tuple(
        Seated(
            core.seat.chip, core.seat.x, core.seat.y, core.seat.slot,
            tuple((part.population, part.neurons) for part in core.parts),
        )
        for core in placement.cores
    )  # fmt: skip
    uses = tuple(
        Use(
            str(u["limit"]), None if u["most"] is None else int(u["most"]),
            float(u["mean"]), int(u["fullest"]), int(u["core"]),
        )
        for u in stands["uses"]
    )  # fmt: skip
    ran, loads = stands["machine"], profile.get("machine")
    machine = None if ran is None or loads is None else _machine(ran, loads)
    return Chip(cores, placement.chips, placement.chip_columns, uses, machine)


def _machine(ran: Document, loads: Document) -> Machine:
    terms = {str(k): _floats(v) for k, v in loads["terms"].items()}
    found = {str(k): tuple(v) for k, v in loads["cores"].items()}
    return Machine(
        steps=tuple(
            Step(
                float(step["time_ns"]), str(step["binding"]), str(step["where"]),
                {name: values[number] for name, values in terms.items()},
            )
            for number, step in enumerate(ran["steps"])
        ),
        mesh={c.key: c for c in _constants(loads["mesh"])},
        limits={c.key: c for c in _constants(loads["limits"])},
        speeds=_constants(loads["speed"]),
        prices=_constants(loads["energy"]),
        loads=found,
        links=tuple((str(d), int(x), int(y), _ints(n)) for d, x, y, n in loads["links"]),
        energy_of=str(ran["energy_of"]),
        energy_pj={str(k): float(v) for k, v in ran["energy_pj"].items() if k != "total"},
        total_pj=float(ran["energy_pj"]["total"]),
        operations=int(ran["operations"]),
        packets=int(ran["packets"]),
        hops=int(ran["hops"]),
        crossings=int(ran["chip_crossings"]),
        omitted=tuple(str(term) for term in ran["omitted_terms"]),
    )  # fmt: skip


def _made_of(manifest: Document) -> Iterator[tuple[str, str]]:
    """Yield what the artefact was made of, by name."""
    for name, version in manifest["versions"].items():
        yield f"version of {name}", str(version)
    for key, value in manifest.get("options", {}).items():
        if key == "settings" and isinstance(value, Mapping):
            yield from ((f"setting {name}", str(v)) for name, v in value.items())
        elif isinstance(value, Mapping):
            yield key, ", ".join(f"{k} {v}" for k, v in value.items())
        else:
            yield key, str(value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in values or ())


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in values or ())


def _rasters(values: Any) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(str(step) for step in sample) for sample in values or ())
