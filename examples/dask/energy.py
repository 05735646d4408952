"""The energy of a network over a data set, on a Dask cluster: here one of this machine."""

import json
import subprocess
import sys
from pathlib import Path

from distributed import LocalCluster

DIGITS = Path(__file__).parents[1] / "digits"
SNNCC = [sys.executable, "-m", "snncc"]


def energy(address):
    """Energy of the test set as `snncc energy` writes it, computed by a cluster."""
    command = [*SNNCC, "energy", str(DIGITS / "spikingformer.pth.tar")]
    options = ["--data", str(DIGITS / "test.npz"), "--format", "json", "--scheduler", address]
    done = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        found = energy(cluster.scheduler_address)
    print(f"{found['model']}: {found['totals']['energy_mj']:.6g} mJ a sample")
