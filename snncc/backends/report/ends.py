"""What encoder and head cost on the host and on the chip, whichever was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from snncc.backends.report.build import Report
from snncc.backends.report.table import energy, paragraph, si
from snncc.diagnostics.render import printable
from snncc.energy.price import MJ_PER_PJ
from snncc.ir.sites import Sites
from snncc.targets.load import Target, load_target

HOST_PRICES = "counted-45nm"
"""The energy model that a host's multiplications are priced by: 32-bit floats in 45 nm."""


def ends_document(report: Report, target: Target, sites: Sites) -> list[dict[str, Any]]:
    """Return the ``ends`` of a report: each weighted layer of encoder and head, priced both ways.

    On the chip a layer costs its synaptic operations at the price of the target, or of the target
    whose energies stand in; None where neither has one.
    """
    priced = target if target.energy or not target.energy_of else load_target(target.energy_of)
    price = priced.energy.get("synaptic_op")
    return [
        {
            "end": row.role,
            "path": row.path,
            "runs_on": getattr(sites, row.role),
            "synaptic_ops": row.synaptic_ops,
            "host_energy_mj": row.energy_mj.get(HOST_PRICES),
            "host_prices": HOST_PRICES,
            "chip_energy_mj": price and row.synaptic_ops * price.value * MJ_PER_PJ,
            "chip_prices": priced.name,
        }
        for row in report.products
        if row.role
    ]


def ends_text(document: list[dict[str, Any]]) -> str:
    """Return each end in a sentence."""
    return "".join(paragraph(_sentence(end), "  ") for end in document)


def _sentence(end: dict[str, Any]) -> str:
    return (
        f"{end['end']} {printable(end['path'])}, on the {end['runs_on']}: "
        f"{si(end['synaptic_ops'])} operations a sample; {', '.join(_prices(end))}"
    )


def _prices(end: dict[str, Any]) -> Iterator[str]:
    if end["host_energy_mj"] is not None:
        cost = energy(end["host_energy_mj"])
        yield f"on the host {cost} ({end['host_prices']}, multiplications of 32-bit floats)"
    if end["chip_energy_mj"] is not None:
        cost = energy(end["chip_energy_mj"])
        yield f"on the chip {cost} (synapses alone, at the price of {end['chip_prices']})"
