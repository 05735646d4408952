"""What can be wrong with a run over a cluster."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

NO_DASK = rule(
    "SNN930",
    "no-cluster-package",
    Severity.ERROR,
    """
    `--workers` and `--scheduler` run shards on Dask, which is not installed.

    It is an extra, as a run in one process needs none of it.

    Fails, where Dask is not installed:

    ```sh
    snncc energy build/model --data test.npz --workers 4
    ```

    Mended:

    ```sh
    pip install 'snncc[cluster]'
    snncc energy build/model --data test.npz --workers 4
    ```
    """,
)
UNFIT_SCALE = rule(
    "SNN931",
    "unfit-scale-option",
    Severity.ERROR,
    """
    `--workers` and `--scheduler` do not fit each other, or there is nothing for workers to run.

    `--workers N` starts N workers here, `--scheduler ADDRESS` uses those of a cluster: one of the
    two. Shards are of samples, so energy from `--rates` has none; and Lava, and a pipeline, run all
    samples as one.

    Fails:

    ```sh
    snncc simulate build/model --input test.npz --workers 4 --scheduler tcp://node7:8786
    ```

    Mended:

    ```sh
    snncc simulate build/model --input test.npz --scheduler tcp://node7:8786
    ```
    """,
)
NO_SCHEDULER = rule(
    "SNN932",
    "unreachable-scheduler",
    Severity.ERROR,
    """
    No scheduler of Dask answers at the address, or it has no workers.

    The address is what `dask scheduler` prints when it starts. Workers join it by
    `dask worker ADDRESS`; a firewall between the machines stops both.

    Fails, for that is the page that people look at:

    ```sh
    snncc energy build/model --data test.npz --scheduler http://node7:8787/status
    ```

    Mended:

    ```sh
    snncc energy build/model --data test.npz --scheduler tcp://node7:8786
    ```
    """,
)
UNFIT_WORKER = rule(
    "SNN933",
    "unfit-worker",
    Severity.ERROR,
    """
    A worker or the scheduler has no snncc, or another version of it than the command.

    Results are merged to the bit, so all parts have to compute alike. Install the same version on
    every machine, and start scheduler and workers again.

    Fails, where a worker has no snncc:

    ```sh
    snncc energy build/model --data test.npz --scheduler tcp://node7:8786
    ```

    Mended, after `pip install 'snncc[cluster]'` on that machine, and with workers started anew:

    ```sh
    snncc energy build/model --data test.npz --scheduler tcp://node8:8786
    ```
    """,
)
FAILING_SHARD = rule(
    "SNN934",
    "failing-shard",
    Severity.ERROR,
    """
    A shard failed on the workers again and again, and the run was given up.

    A worker that dies is mostly out of memory: start fewer on a machine. Finished shards are kept,
    and the same command goes on from there; without workers it runs in one process, where the same
    fault shows itself.

    Fails, where 64 workers do not fit into memory:

    ```sh
    snncc energy build/model --data test.npz --workers 64
    ```

    Mended:

    ```sh
    snncc energy build/model --data test.npz --workers 4
    ```
    """,
)
LOST_CLUSTER = rule(
    "SNN935",
    "lost-cluster",
    Severity.ERROR,
    """
    The scheduler went away in the middle of a run, or all of its workers did.

    Workers that come back, or are replaced, cost nothing but time; this is said where nobody came
    back. Finished shards are kept, and the same command goes on from there.

    Fails, where the job of the scheduler ends before the run:

    ```sh
    snncc energy build/model --data test.npz --scheduler tcp://node7:8786
    ```

    Mended:

    ```sh
    snncc energy build/model --data test.npz --workers 4
    ```
    """,
)
