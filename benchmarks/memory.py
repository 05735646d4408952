"""How much memory a run of the executor takes, against the largest set of values alive at once."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

from snncc.execute.executor import Executor
from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph
from snncc.ir.timing import Timing

_VIEWS = ("repeat", "reshape", "permute", "expand", "slice", "output")
_MB = 2**20


def peak_of(executor: Executor, x: Array) -> float:
    """Return the MB that a second run of ``x`` adds to the process at its peak (Linux)."""
    executor.run(x)
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    executor.run(x)
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(key))


def largest_live_set(executor: Executor, samples: int) -> float:
    """Return the MB of the values that are alive at once, at the op where they are most.

    Counts up to 127 take a byte, other integers four, each at every time step that makes it.
    """
    graph, last = executor.graph, executor.network.last_use
    alive: dict[str, int] = {}
    most = 0
    for op in graph.ops:
        alive[op.name] = 0 if op.kind in _VIEWS else _bytes(graph, op.name, executor) * samples
        most = max(most, sum(alive.values()))
        for name in set(op.inputs):
            if last[name] == op.name:
                alive.pop(name, None)
    return most / _MB


def _bytes(graph: Graph, name: str, executor: Executor) -> int:
    kind = graph.type_of(name)
    steps = graph.steps if executor.timing[name] is Timing.STEP else 1
    domain = kind.domain
    small = isinstance(domain, Grid) and domain.lo >= 0 and domain.hi <= 127
    return math.prod(kind.shape) * steps * (1 if small else 4)
