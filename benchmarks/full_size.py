"""Every published network at its full size through the compiler: seconds and peak memory.

    python benchmarks/full_size.py                      # all networks of the zoo, smallest first
    python benchmarks/full_size.py spikingformer-8-512  # some of them
    python benchmarks/full_size.py --missing            # those that have no row yet
    python benchmarks/full_size.py --weights meta       # by shapes alone, without quantize

Method. Each network gets a process of its own with one thread, which builds it with random
weights (or, on the meta device, without any) at the published resolution and times the stages of
`snncc compile` up to the integers:

- trace: `torch.export` (which first loads itself, some 3 s) and the import of its graph
- to_steps: the front passes, which take time and batch off and raise neurons
- check: the spike-driven verdict on the network as written
- merge: linear chains become one op, as they are deployed
- fold: scales and batch norms into weights and thresholds
- quantize: floats to the integers of `--target`, scales from one image of noise; and its limits

Peak memory is `resource.getrusage(RUSAGE_SELF).ru_maxrss` after the stage: the most that the
process has held so far, imports (some 0.4 GB) and the network itself included. Not timed is what
depends on the data: calibration, and the comparison with the module's own run. With `--weights
auto` a network gets weights where a rough bound, 40 bytes a parameter, fits `--memory-gb`.

Results are added to `benchmarks/full-size.json`, a network measured again replaces its row, and
the table is written to `docs/full-size.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).parent
RESULTS = HERE / "full-size.json"
TABLE = HERE.parent / "docs" / "full-size.md"
STAGES = ("trace", "to_steps", "check", "merge", "fold", "quantize")
BYTES_A_PARAMETER = 40

T = TypeVar("T")
Row = dict[str, Any]


def main() -> None:
    """Measure what is asked for, one network after the other, and write the table."""
    options = _options()
    if options.one:
        sys.stdout.write(json.dumps(measure(options.one, options.weights, options.target)))
        return
    known = json.loads(RESULTS.read_text())["networks"] if RESULTS.exists() else {}
    for name in options.networks or by_size():
        if options.missing and "stages" in known.get(name, {}):
            continue
        row = in_process(name, options)
        sys.stderr.write(f"{name}: {_told(row)}\n")
        document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"networks": {}}
        document["machine"], document["networks"][name] = machine(), row
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
        TABLE.write_text(markdown(document))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", help="names of the zoo; all where none is given")
    parser.add_argument("--missing", action="store_true", help="only what has no row yet")
    parser.add_argument("--weights", choices=("auto", "random", "meta"), default="auto")
    parser.add_argument("--target", default="loihi2")
    parser.add_argument("--memory-gb", type=float, default=24.0)
    parser.add_argument("--timeout-s", type=float, default=3600.0)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def by_size() -> list[str]:
    """Return all networks, smallest first."""
    from snncc.models.zoo import ARCHITECTURES  # noqa: PLC0415

    return sorted(ARCHITECTURES, key=parameters)


def parameters(name: str) -> int:
    """Return how many parameters a network has."""
    import torch  # noqa: PLC0415

    from snncc.models.zoo import ARCHITECTURES  # noqa: PLC0415

    with torch.device("meta"):
        return sum(p.numel() for p in ARCHITECTURES[name].build().parameters())


def in_process(name: str, options: argparse.Namespace) -> Row:
    """Measure one network in a process of its own; a row that says why where it fails."""
    weights = options.weights
    if weights == "auto":
        fits = parameters(name) * BYTES_A_PARAMETER < options.memory_gb * 2**30
        weights = "random" if fits else "meta"
    command = [sys.executable, str(Path(__file__)), "--one", name, "--weights", weights]
    command += ["--target", options.target]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=options.timeout_s,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"failed": f"not done in {options.timeout_s:g} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        refused = re.search(r"\[SNN\d+\] [^;]*", last)
        return {"failed": f"refused: {refused[0]}" if refused else last[:200]}
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


class Stages:
    """Seconds and peak memory of one stage after the other."""

    def __init__(self) -> None:
        self.measured: dict[str, dict[str, float]] = {}

    def run(self, name: str, work: Callable[[], T]) -> T:
        """Return what `work` returns, and note what it took."""
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
        self.measured[name] = {"seconds": round(seconds, 2), "peak_gb": round(peak_gb(), 2)}
        return result


def peak_gb() -> float:
    """Return the most memory that this process has held; macOS counts bytes, Linux kilobytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def measure(name: str, weights: str, target_name: str) -> Row:
    """Take one network through all stages, in this process."""
    import torch  # noqa: PLC0415

    from snncc.frontends.load import from_module  # noqa: PLC0415
    from snncc.models.zoo import ARCHITECTURES  # noqa: PLC0415
    from snncc.targets.load import load_target  # noqa: PLC0415

    torch.set_num_threads(1)
    torch.manual_seed(0)
    architecture, target = ARCHITECTURES[name], load_target(target_name)
    with torch.device("meta" if weights == "meta" else "cpu"):
        module, example = architecture.build(), torch.zeros(1, *architecture.input_shape)
    stages = Stages()
    folded, counts = _to_floats(stages, from_module(module, example))
    row = {
        "input": list(architecture.input_shape), "weights": weights,
        "parameters": sum(p.numel() for p in module.parameters()), **counts,
    }  # fmt: skip
    if weights != "meta":
        row["target"], row["findings"] = target_name, _to_integers(stages, folded, target, example)
    return {**row, "stages": stages.measured}


def _to_floats(stages: Stages, model: Any) -> tuple[Any, Row]:
    from snncc.frontends.torch_export import trace  # noqa: PLC0415
    from snncc.passes import FRONT  # noqa: PLC0415
    from snncc.passes.base import run_passes  # noqa: PLC0415
    from snncc.passes.canonicalise import Canonicalise  # noqa: PLC0415
    from snncc.passes.check_spikes import CheckSpikes  # noqa: PLC0415
    from snncc.passes.fold_batch_norm import FoldBatchNorm  # noqa: PLC0415
    from snncc.passes.fold_scales import FoldScales  # noqa: PLC0415
    from snncc.passes.merge_linear_chains import MergeLinearChains  # noqa: PLC0415

    fold = (FoldScales(), FoldBatchNorm(), FoldScales(), Canonicalise())
    tensor = stages.run("trace", lambda: trace(model.module, model.example_inputs))
    steps = stages.run("to_steps", lambda: run_passes(tensor, FRONT).graph)
    found = stages.run("check", lambda: CheckSpikes().run(steps).diagnostics)
    merged = stages.run("merge", lambda: MergeLinearChains().run(steps).graph)
    folded = stages.run("fold", lambda: run_passes(merged, fold).graph)
    neurons = sum(math.prod(folded.type_of(op.name).shape) for op in folded.of_kind("neuron"))
    refused = sum(not d.allowed_by for d in found)
    counts = {"ops": len(steps.ops), "neurons": neurons, "not_spike_driven": refused}
    return folded, counts


def _to_integers(stages: Stages, folded: Any, target: Any, example: Any) -> list[str]:
    """Quantize and hold to the target's limits; return the codes of what was found."""
    import numpy as np  # noqa: PLC0415

    from snncc.passes.check_target import CheckTarget  # noqa: PLC0415
    from snncc.passes.quantize import Calibration, Quantize  # noqa: PLC0415

    sample = np.random.default_rng(0).random(tuple(example.shape))
    quantize = Quantize(target.arithmetic, target.features, Calibration(sample))

    def work() -> tuple[Any, ...]:
        integer, found, _ = quantize.quantize(folded)
        return (*found, *CheckTarget(target).run(integer).diagnostics)

    return sorted({each.rule.code for each in stages.run("quantize", work)})


def machine() -> dict[str, str]:
    """Return what the numbers depend on."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    import snncc  # noqa: PLC0415

    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = next((ln.partition(":")[2].strip() for ln in lines if ln.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{model or platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "snncc": snncc.__version__,
    }


def _told(row: Row) -> str:
    if "failed" in row:
        return str(row["failed"])
    stages = row["stages"].items()
    return ", ".join(f"{name} {s['seconds']} s / {s['peak_gb']} GB" for name, s in stages)


def markdown(document: Row) -> str:
    """Return the page: method, machine, one line a network, and what was not run."""
    from snncc.models.zoo import ARCHITECTURES  # noqa: PLC0415

    rows: dict[str, Row] = document["networks"]
    done = [name for name in ARCHITECTURES if name in rows]
    missing = [f"`{name}`" for name in ARCHITECTURES if name not in rows]
    facts = "\n".join(f"- {key}: {value}" for key, value in document["machine"].items())
    method = (__doc__ or "").partition("Method. ")[2].strip()
    heads = ("network", "input", "parameters", "neurons", *STAGES, "peak GB")
    lines = [_line(heads), _line(["---"] * 2 + ["---:"] * (len(heads) - 2))]
    lines += [_line(_cells(name, rows[name])) for name in done]
    left = f"Not run: {', '.join(missing)}.\n" if missing else "Every network of the zoo was run.\n"
    return (
        "# Full size\n\nWhat it takes to bring each published network into integers. Columns of "
        "stages hold seconds and,\nbehind the stroke, the peak memory so far in GB. Made by "
        f"`python benchmarks/full_size.py`.\n\n{method}\n\n{facts}\n\n"
        + "\n".join(lines)
        + f"\n\n{left}"
    )


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(name: str, row: Row) -> list[str]:
    if "failed" in row:
        return [name, str(row["failed"]).replace("|", "/"), *[""] * (len(STAGES) + 3)]
    stages = row["stages"]
    times = [
        f"{stages[s]['seconds']:.1f} / {stages[s]['peak_gb']:.1f}" if s in stages else "-"
        for s in STAGES
    ]
    peak = max(s["peak_gb"] for s in stages.values())
    shape = "x".join(map(str, row["input"]))
    return [
        name, shape, f"{row['parameters']:,}", f"{row['neurons']:,}", *times, f"{peak:.1f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
