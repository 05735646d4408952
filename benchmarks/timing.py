"""Time measured side by side: contenders take turns in one process, under one load."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
FOLDER = Path(__file__).parent / "results"


def in_turns(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each contender; each runs once unmeasured before."""
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(measured) for name, measured in seconds.items()}


def machine(threads: int) -> dict[str, str]:
    """Return what the numbers depend on."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in said.items()}
    flags = facts.get("flags", "").split()
    units = [u for u in ("avx2", "avx512f", "avx512_vnni", "amx_int8") if u in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{facts.get('model name', platform.machine())}, {os.cpu_count()} cores, "
        f"{' '.join(units)}; {memory:.0f} GB",
        "threads": str(threads),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "not set"),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("snncc", "torch", "numpy", "numba")},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def save(name: str, rows: list[Row], facts: Mapping[str, str]) -> None:
    """Write the rows to ``results/NAME.json`` and print them as a table."""
    FOLDER.mkdir(exist_ok=True)
    document = {"machine": dict(facts), "rows": rows}
    (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    print(table(rows))  # noqa: T201
    print(", ".join(f"{key} {value}" for key, value in facts.items()))  # noqa: T201


def table(rows: list[Row]) -> str:
    """Return rows of equal keys as a Markdown table."""
    heads = list(rows[0])
    body = [[_cell(row[head]) for head in heads] for row in rows]
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
