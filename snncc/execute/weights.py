"""Whether a network has the weights without which it can be checked, but not run."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, SnnccError, rule
from snncc.ir.graph import Absent, Graph, Source

NO_WEIGHTS = rule(
    "SNN137",
    "network-without-weights",
    Severity.ERROR,
    """
    The network has no weights, so it can be checked and sized, but neither run nor compiled.

    `arch:NAME` is a network without weights. Give a checkpoint: its family and sizes are
    recognised, and the same network is built.

    Fails:

    ```sh
    snncc compile arch:spikingformer-8-512 --target loihi2
    ```

    Mended:

    ```sh
    snncc compile spikingformer-8-512.pth.tar --target loihi2
    ```
    """,
)


def require_weights(graph: Graph, name: str) -> None:
    """Raise ``SnnccError`` where only the shapes of weights are known."""
    absent = sum(isinstance(weight, Absent) for weight in graph.weights.values())
    if absent:
        message = f"`{name}` has no values in {absent} of its {len(graph.weights)} weights"
        raise SnnccError(NO_WEIGHTS.at(Source(), message, hint="give a checkpoint"))
