"""Published networks at their full size on the chips of a target: cores, chips, time of a step.

    python benchmarks/mapping.py                      # the four of the table
    python benchmarks/mapping.py spikingformer-8-512  # some network of the zoo
    python benchmarks/mapping.py meta-spikeformer-8-384:unmerged  # chains of layers kept

Method. Each network gets a process of its own with one thread. It is built with random weights
whose layers of neurons fire at about 12 % (`networks.py`), brought into integers with its linear
chains merged, as `snncc compile` does (but for `:unmerged`), and run on one image of noise. Then
are timed, in seconds of processor time:

- map: cutting, merging and seating, with the measured spikes as traffic
- check: the independent checker, which has to find nothing
- machine: all steps of one sample, in a stream of samples one after the other

Step times follow from loads of cores and links by constants of the target, some of which are
derived or assumed (`snncc targets NAME`): they are estimates. Peak memory is that of the process.

Results are added to `benchmarks/mapping.json`, and the table is written to
`docs/mapping-full-size.md`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "mapping.json"
TABLE = HERE.parent / "docs" / "mapping-full-size.md"
NETWORKS = (
    "spikingformer-8-384", "spikingformer-8-512", "spikingformer-8-768", "meta-spikeformer-8-384",
    "meta-spikeformer-8-384:unmerged",
)  # fmt: skip

Row = dict[str, Any]


def main() -> None:
    """Measure what is asked for, one network after the other, and write the table."""
    options = _options()
    if options.one:
        sys.stdout.write(json.dumps(measure(options.one, options.target)))
        return
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in options.networks or NETWORKS:
        command = [sys.executable, str(Path(__file__)), "--one", name, "--target", options.target]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        known[name] = json.loads(done.stdout.splitlines()[-1])
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")
        TABLE.write_text(markdown(known))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", help="names of the zoo; the table's where none is")
    parser.add_argument("--target", default="loihi2")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(name: str, target_name: str) -> Row:
    """Place one network and run it, in this process."""
    import numpy as np  # noqa: PLC0415

    from snncc.ir.latency import Pipeline  # noqa: PLC0415
    from snncc.ir.sites import USUAL_SITES, on_host  # noqa: PLC0415
    from snncc.machine.activity import activity_of, streamed  # noqa: PLC0415
    from snncc.machine.run import run_machine  # noqa: PLC0415
    from snncc.mapping.check import require_placement  # noqa: PLC0415
    from snncc.mapping.place import place  # noqa: PLC0415
    from snncc.mapping.populations import net_of  # noqa: PLC0415
    from snncc.passes.balance_delays import on_cores  # noqa: PLC0415
    from snncc.targets.load import load_target  # noqa: PLC0415

    target = load_target(target_name)
    graph = on_cores(integers(name, target), target)
    shape = graph.type_of(graph.of_kind("input")[0].name).shape
    net = net_of(graph)
    start = time.process_time()
    activity = activity_of(net, np.random.default_rng(0).random(shape))
    traffic = {value: (sent != 0).mean(axis=0) for value, sent in activity.sent.items()}
    laps = [time.process_time()]
    placement = place(graph, target, traffic)
    laps.append(time.process_time())
    usage = require_placement(graph, placement, target)
    laps.append(time.process_time())
    run = run_machine(net, placement, streamed(net, activity), target)
    laps.append(time.process_time())
    seconds = [round(b - a, 1) for a, b in itertools.pairwise(laps)]
    return {
        "target": target_name, "neurons": sum(p.neurons for p in net.populations),
        "cores": len(placement.cores), "chips": placement.chips,
        "uses": _uses(usage, target), "axons_in": int(usage.axons_in.max()),
        "operations": run.operations, "binding": _most(run.times.binding),
        "busiest": run.times.where[int(run.times.step_ns.argmax())],
        "step_ms": float(run.times.step_ns.mean()) / 1e6,
        "sample_ms": float(run.times.step_ns.sum()) / 1e6,
        "latency_steps": Pipeline(graph, on_host(graph, USUAL_SITES)).latency,
        "seconds": dict(zip(("map", "check", "machine"), seconds, strict=True)),
        "executor_s": round(laps[0] - start, 1), "peak_gb": round(peak_gb(), 2),
    }  # fmt: skip


def integers(name: str, target: Any) -> Any:
    """Return a network of the zoo in the integers of a target, its layers firing."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from networks import lively  # noqa: PLC0415

    from snncc.frontends.torch_export import trace  # noqa: PLC0415
    from snncc.passes import FRONT  # noqa: PLC0415
    from snncc.passes.base import run_passes  # noqa: PLC0415
    from snncc.passes.canonicalise import Canonicalise  # noqa: PLC0415
    from snncc.passes.fold_batch_norm import FoldBatchNorm  # noqa: PLC0415
    from snncc.passes.fold_scales import FoldScales  # noqa: PLC0415
    from snncc.passes.merge_linear_chains import MergeLinearChains  # noqa: PLC0415
    from snncc.passes.quantize import Calibration, Quantize  # noqa: PLC0415

    torch.set_num_threads(1)
    network, _, form = name.partition(":")
    model = lively(network)
    graph = run_passes(trace(model.module, model.example_inputs), FRONT).graph
    if form != "unmerged":
        graph = MergeLinearChains().run(graph).graph
    fold = (FoldScales(), FoldBatchNorm(), FoldScales(), Canonicalise())
    folded = run_passes(graph, fold).graph
    sample = np.random.default_rng(0).random(tuple(model.example_inputs[0].shape))
    quantize = Quantize(target.arithmetic, target.features, Calibration(sample))
    return quantize.quantize(folded)[0]


def _uses(usage: Any, target: Any) -> dict[str, list[float]]:
    """Return, for each limit of a core, the share that the mean and the fullest core use."""
    from snncc.mapping.check import CORE_LIMITS  # noqa: PLC0415

    shares = {}
    for key, (column, _) in CORE_LIMITS.items():
        if key in target.limits:
            used = usage.of_cores(column) / target.limits[key].value
            shares[key] = [round(float(used.mean()), 3), round(float(used.max()), 3)]
    return shares


def _most(words: tuple[str, ...]) -> str:
    return max(sorted(set(words)), key=words.count)


def peak_gb() -> float:
    """Return the most memory that this process has held."""
    from full_size import peak_gb as peak  # noqa: PLC0415

    return float(peak())


def markdown(rows: dict[str, Row]) -> str:
    """Return the page of the table."""
    method = (__doc__ or "").partition("Method. ")[2]
    head = (
        "network", "neurons", "cores", "chips", "neurons, mean", "weights, mean / fullest",
        "all memory, mean / fullest", "input axons, fullest", "operations", "bound by", "step ms",
        "sample ms", "samples/s", "latency steps", "latency ms", "map s", "check s", "machine s",
        "peak GB",
    )  # fmt: skip
    lines = [
        "# Published networks on chips\n",
        "Made by `python benchmarks/mapping.py`. What the words mean: [mapping.md](mapping.md).\n",
        method.strip() + "\n",
        "| " + " | ".join(head) + " |",
        "| --- |" + " ---: |" * 8 + " --- |" + " ---: |" * 9,
    ]
    return "\n".join([*lines, *(_row(name, row) for name, row in rows.items())]) + "\n"


def _row(name: str, row: Row) -> str:
    uses, seconds = row["uses"], row["seconds"]
    weights, memory = (uses[f"{name}_bytes_per_core"] for name in ("synaptic_memory", "memory"))
    cells = (
        name, f"{row['neurons']:,}", f"{row['cores']:,}", str(row["chips"]),
        f"{100 * uses['neurons_per_core'][0]:.0f} %",
        f"{100 * weights[0]:.0f} / {100 * weights[1]:.0f} %",
        f"{100 * memory[0]:.0f} / {100 * memory[1]:.0f} %", f"{row['axons_in']:,}",
        f"{row['operations'] / 1e9:.2f} G", f"{row['binding']}, {row['busiest']}",
        f"{row['step_ms']:.2f}", f"{row['sample_ms']:.2f}", f"{1000 / row['sample_ms']:.0f}",
        str(row["latency_steps"]), f"{row['latency_steps'] * row['step_ms']:.0f}",
        str(seconds["map"]), str(seconds["check"]), str(seconds["machine"]), str(row["peak_gb"]),
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
