"""Production lane: Lava's processes against the interpreter, and runs that end badly."""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.backends.lava import run as run_module
from snncc.backends.lava.compat import LavaRunError
from snncc.backends.lava.engine import Engine
from snncc.backends.lava.partition import Granularity
from snncc.backends.lava.run import LavaRun, Mismatch, run_lava, verify
from snncc.diagnostics.core import SnnccError
from snncc.ir import ops
from snncc.ir.graph import Array, Graph
from snncc.ir.interpret import interpret

BOTH = pytest.mark.parametrize("granularity", ["stage", "operator"])


def equal(run: LavaRun, graph: Graph, x: Array) -> None:
    """Every spike and every output, and none left out."""
    reference = interpret(graph, x)
    neurons = graph.of_kind("integer_neuron")
    assert list(run.spikes) == [op.name for op in neurons]
    found = verify(run, reference)
    assert found.exact, found
    assert found.spikes_compared == sum(reference[op.name].size for op in neurons)
    for op in graph.of_kind("output"):
        assert np.array_equal(run.outputs[op.name], reference[op.name])


@BOTH
def test_a_spikingformer_equals_the_interpreter(
    networks: Any, lava_run: None, granularity: Granularity
) -> None:
    graph = networks.spikingformer(blocks=1)
    x = networks.input(graph, 5)
    run = run_lava(graph, x, granularity=granularity, batch=2)
    equal(run, graph, x)
    assert run.processes == {"stage": 5, "operator": 24}[granularity]
    assert 0 < run.seconds < 60


@pytest.mark.parametrize("seed", range(4))
def test_random_networks_equal_the_interpreter(networks: Any, lava_run: None, seed: int) -> None:
    graph = networks.random(seed)
    x = networks.input(graph, 3, seed)
    for granularity in ("stage", "operator"):
        equal(run_lava(graph, x, granularity=granularity, batch=2), graph, x)


def test_one_sample_of_one_time_step(networks: Any, lava_run: None) -> None:
    net = networks.net(steps=1)
    graph = net.head(net.neuron(net.linear(net.spikes(6), 4)))
    x = np.ones((1, 1, 6))
    equal(run_lava(graph, x), graph, x)


def test_an_answer_at_every_time_step(networks: Any, lava_run: None) -> None:
    net = networks.net(steps=3)
    s = net.neuron(net.conv(net.spikes(2, 4, 4), 3))
    net.add(ops.Output, s)
    net.add(ops.Output, net.add(ops.Readout, s, steps=3))
    graph = net.graph()
    x = networks.input(graph, 4)
    run = run_lava(graph, x, batch=3)
    equal(run, graph, x)
    assert [y.shape for y in run.outputs.values()] == [(3, 4, 3, 4, 4), (4, 3, 4, 4)]


def test_without_probes_there_are_outputs_and_no_spikes(networks: Any, lava_run: None) -> None:
    graph = networks.spikingformer(blocks=1)
    x = networks.input(graph, 2)
    run = run_lava(graph, x, probes=False)
    assert run.spikes == {}
    assert verify(run, interpret(graph, x)).exact


def test_a_run_leaves_no_process_no_memory_and_no_log_handler(
    networks: Any, lava_run: None
) -> None:
    graph = networks.spikingformer(blocks=1)
    x = networks.input(graph, 1)
    run_lava(graph, x)
    handlers, open_files = len(logging.getLogger().handlers), _open_files()
    run_lava(graph, x)
    assert multiprocessing.active_children() == []
    assert len(logging.getLogger().handlers) == handlers
    assert _open_files() <= open_files + 1


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_process_that_raises_ends_the_run_with_its_traceback(
    networks: Any, lava_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = networks.spikingformer(blocks=1)
    step = Engine.step

    def failing(self: Engine, t: int, received: Any) -> Any:
        if t == 2:
            raise ZeroDivisionError("planted in step 2")
        return step(self, t, received)

    monkeypatch.setattr(Engine, "step", failing)
    started = time.monotonic()
    with pytest.raises(LavaRunError, match="planted in step 2") as error:
        run_lava(graph, networks.input(graph, 1))
    assert "in failing" in str(error.value)
    assert time.monotonic() - started < 20
    assert multiprocessing.active_children() == []


def test_a_process_that_cannot_be_built_ends_the_run(
    networks: Any, lava_run: None, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    from snncc.backends.lava.processes import library

    def failing(self: Any, proc_params: Any) -> None:
        raise ZeroDivisionError("planted in the constructor")

    monkeypatch.setattr(library.StageModel, "__init__", failing)
    graph = networks.spikingformer(blocks=1)
    with pytest.raises(LavaRunError, match="planted in the constructor"):
        run_lava(graph, networks.input(graph, 1))
    assert multiprocessing.active_children() == []
    assert capfd.readouterr().out == ""


def test_a_process_that_is_killed_ends_the_run(
    networks: Any, lava_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(self: Engine, t: int, received: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(Engine, "step", dying)
    graph = networks.spikingformer(blocks=1)
    with pytest.raises(LavaRunError, match="exit code -9"):
        run_lava(graph, networks.input(graph, 1))
    assert multiprocessing.active_children() == []


def test_a_run_that_takes_too_long_is_ended(
    networks: Any, lava_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleeping(self: Engine, t: int, received: Any) -> Any:
        time.sleep(60)

    monkeypatch.setattr(Engine, "step", sleeping)
    graph = networks.spikingformer(blocks=1)
    with pytest.raises(SnnccError, match="SNN913"):
        run_lava(graph, networks.input(graph, 1), timeout=2)
    assert multiprocessing.active_children() == []


ORPHANS = """
import sys, time
import numpy as np
from snncc.backends.lava.engine import Engine
from snncc.backends.lava.run import run_lava
from snncc.ir.text import parse
def sleeping(self, t, received):
    print("inside", flush=True)
    time.sleep(60)
Engine.step = sleeping
text = '''graph step T1 {
  %x = input(shape=(1,), domain='spike', varies=True, scale=1.0) : <1; spike>
  %s = integer_neuron(%x, threshold='t', decay=2048, shift=0) : <1; spike>
  %y = readout(%s, steps=1) : <1; spike>
  %o = output(%y) : <1; spike>
}
'''
run_lava(parse(text, {"t": np.array(1)}), np.ones((1, 1, 1)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
def test_a_killed_program_leaves_no_orphans(lava_run: None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, start_new_session=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"inside\n"
        group = os.getpgid(program.pid)
        program.kill()
        program.wait()
    deadline = time.monotonic() + 10
    while _alive_in(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _alive_in(group) == []


def _alive_in(group: int) -> list[str]:
    """The processes of a group that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def test_a_float_graph_is_refused(networks: Any) -> None:
    net = networks.net()
    net.add(ops.Neuron, net.spikes(3))
    with pytest.raises(SnnccError, match=r"SNN915.*neuron `neuron1` in floating point"):
        run_lava(net.graph(), np.zeros((4, 1, 3)))
    tensor = Graph((), {}, "tensor")
    with pytest.raises(SnnccError, match=r"SNN915.*whole time axes"):
        run_lava(tensor, np.zeros((4, 1, 3)))


def test_the_default_batch_is_no_larger_than_the_input() -> None:
    assert run_module.DEFAULT_BATCH > 1
    padded = run_module._padded(np.arange(5), 3, 0)
    assert padded.tolist() == [0, 1, 2, 3, 4, 4, 4, 4]


def small_run() -> LavaRun:
    spikes = {"a": np.zeros((2, 3, 4), np.uint8), "b": np.ones((2, 3, 5), np.uint8)}
    return LavaRun({"y": np.arange(3.0)}, spikes, processes=2, seconds=0.1)


def test_verify_counts_every_spike_and_every_output() -> None:
    run = small_run()
    found = verify(run, {**run.spikes, **run.outputs})
    assert (found.spikes_compared, found.mismatches, found.first_mismatch) == (54, 0, None)
    assert (found.outputs_compared, found.output_mismatches) == (3, 0)
    assert found.exact


def test_verify_names_the_first_mismatch_in_network_order() -> None:
    run = small_run()
    reference = {**run.outputs, "a": run.spikes["a"].copy(), "b": run.spikes["b"].copy()}
    reference["b"][0, 0, 0] = 0
    reference["a"][1, 2, 3] = 1
    found = verify(run, reference)
    assert found.mismatches == 2
    assert found.first_mismatch == Mismatch("a", 1, 2, (3,))
    assert not found.exact


def test_verify_sees_an_output_that_differs_in_its_last_bit() -> None:
    run = small_run()
    nearly = np.nextafter(run.outputs["y"], np.inf)
    found = verify(run, {**run.spikes, "y": nearly})
    assert (found.mismatches, found.output_mismatches) == (0, 3)
    assert not found.exact


def test_what_cannot_be_compared_never_counts_as_equal() -> None:
    run = small_run()
    with pytest.raises(ValueError, match="no value `b`"):
        verify(run, {"a": run.spikes["a"], **run.outputs})
    with pytest.raises(ValueError, match=r"`a` is \(2, 3, 4\)"):
        verify(run, {**run.spikes, **run.outputs, "a": run.spikes["a"][:, :1]})


def test_runs_are_plain_data() -> None:
    assert [f.name for f in dataclasses.fields(LavaRun)] == [
        "outputs",
        "spikes",
        "processes",
        "seconds",
    ]
