"""How time and memory grow: executor and compiler against depth, width, resolution, steps, batch.

    python benchmarks/scaling.py

Method. Spikingformer of the CIFAR form with random weights whose layers fire (`networks.py`), one
dimension changed at a time from 4 blocks, 192 channels, 32x32, 4 steps, 1 image; each point in a
process of its own with one thread. `run` is the executor, the faster of three runs; `peak` the
most memory that the process held. `front ms` are the passes from the traced graph to the integers,
without calibration, and `us a node` the same divided by the ops of the traced graph: flat where no
pass is quadratic.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

from timing import Row, machine, save

BASE = {"depth": 4, "width": 192, "size": 32, "steps": 4, "batch": 1}
POINTS: dict[str, tuple[int, ...]] = {
    "depth": (2, 4, 8, 16, 32, 64),
    "width": (96, 192, 384, 768),
    "size": (32, 64, 128),
    "steps": (1, 2, 4, 8, 16),
    "batch": (1, 4, 16),
}


def main() -> None:
    """Measure, print and save; with an argument, one point as JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(measured(**json.loads(sys.argv[1]))))  # noqa: T201
        return
    rows = []
    for what, values in POINTS.items():
        for value in values:
            point = json.dumps({**BASE, what: value})
            command = [sys.executable, __file__, point]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            rows.append({"changed": what, "to": value, **row})
            print(rows[-1], flush=True)  # noqa: T201
    save("scaling", rows, machine(1))


def measured(depth: int, width: int, size: int, steps: int, batch: int) -> Row:
    """Return one point."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from networks import tuned  # noqa: PLC0415

    from snncc.execute.executor import Executor  # noqa: PLC0415
    from snncc.frontends.torch_export import trace  # noqa: PLC0415
    from snncc.models.config import TransformerConfig  # noqa: PLC0415
    from snncc.models.spikingformer import Spikingformer  # noqa: PLC0415

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = TransformerConfig(
        variant="cifar", dim=width, depth=depth, heads=width // 32, img_size=size, classes=10,
        in_channels=3, pool_stages=(3, 4), T=steps,
    )  # fmt: skip
    model = tuned(Spikingformer(config).eval(), torch.rand(1, 3, size, size))
    tensor = trace(model.module, model.example_inputs)
    started = time.perf_counter()
    integer = _integers(tensor)
    front = time.perf_counter() - started
    x = np.random.default_rng(0).random((batch, 3, size, size))
    executor, seconds = Executor(integer), []
    executor.run(x)
    for _ in range(3):
        started = time.perf_counter()
        executor.run(x)
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "ops": len(tensor.ops), "front ms": 1000 * front,
        "us a node": 1e6 * front / len(tensor.ops), "run ms": 1000 * min(seconds),
        "peak GB": peak,
    }  # fmt: skip


def _integers(tensor: Any) -> Any:
    import numpy as np  # noqa: PLC0415

    from snncc.passes import FRONT  # noqa: PLC0415
    from snncc.passes.base import run_passes  # noqa: PLC0415
    from snncc.passes.canonicalise import Canonicalise  # noqa: PLC0415
    from snncc.passes.check_spikes import CheckSpikes  # noqa: PLC0415
    from snncc.passes.fold_batch_norm import FoldBatchNorm  # noqa: PLC0415
    from snncc.passes.fold_scales import FoldScales  # noqa: PLC0415
    from snncc.passes.merge_linear_chains import MergeLinearChains  # noqa: PLC0415
    from snncc.passes.quantize import Calibration, Quantize  # noqa: PLC0415
    from snncc.targets.load import load_target  # noqa: PLC0415

    target = load_target("loihi2")
    steps = run_passes(tensor, FRONT).graph
    CheckSpikes().run(steps)
    middle = (MergeLinearChains(), FoldScales(), FoldBatchNorm(), FoldScales(), Canonicalise())
    folded = run_passes(steps, middle).graph
    shape = folded.type_of(folded.of_kind("input")[0].name).shape
    sample = Calibration(np.random.default_rng(0).random((1, *shape)))
    return Quantize(target.arithmetic, target.features, sample).quantize(folded)[0]


if __name__ == "__main__":
    main()
