"""A network whose currents last, from the step graph to every output: all of them equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snncc.artefact import read_artefact, write_artefact
from snncc.backends.deploy import deploy
from snncc.backends.report.inspect import inspect_text
from snncc.backends.report.page.gather import read_network
from snncc.backends.report.page.write import content_of
from snncc.backends.simulate import conform, simulate
from snncc.backends.writers import Network, write_exchanged
from snncc.compiler import Compiled, check_model, compile_model
from snncc.diagnostics.core import SnnccError
from snncc.execute.dataset import Dataset
from snncc.execute.executor import Executor
from snncc.frontends.model import Model, read_model
from snncc.ir.graph import Array, Graph
from snncc.ir.interpret import interpret
from snncc.ir.text import parse
from snncc.targets.load import load_target

Networks = Callable[..., Graph]
Events = Callable[..., Array]


def model_of(graph: Graph) -> Model:
    return read_model(graph, "lasting", "the step graph")


def compiled(graph: Graph, data: Array, target: str = "loihi2") -> Compiled:
    return compile_model(model_of(graph), target=load_target(target), calibration=data)


@pytest.fixture(scope="module")
def folder(
    lasting_network: Networks, events: Events, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The artefact of a network with a sum of a current that lasts and one that does not."""
    found = compiled(lasting_network(residual=True), events())
    place = tmp_path_factory.mktemp("lasting") / "out"
    labels = np.arange(6) % 3
    write_artefact(place, deploy(found, Dataset(events(), labels), {}).artefact)
    return place


def test_the_floats_are_the_models_and_the_integers_near(
    lasting_network: Networks, events: Events
) -> None:
    found = compiled(lasting_network(), events())
    assert found.agreement.equal
    assert found.agreement.spikes_compared > 0
    assert min(layer.equal_spikes for layer in found.quality.layers.values()) > 0.95
    assert [d.rule.code for d in found.diagnostics if d.severity > 0 and not d.allowed_by] == []


@pytest.fixture(scope="module")
def alpha(events: Events, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefact of neurons that two lasting currents of one product rise and fall by."""
    steps = parse(ALPHA.strip(), {"w": np.random.default_rng(1).normal(0.1, 0.6, (5, 32))})
    found = compiled(steps, events())
    place = tmp_path_factory.mktemp("alpha") / "out"
    write_artefact(place, deploy(found, Dataset(events()), {}).artefact)
    return place


ALPHA = """
graph step T6 {
  %x = input(shape=(2, 4, 4), varies=True) : <2x4x4; real>
  %flat = reshape(%x, shape=(32,)) : <32; real>
  %a = linear(%flat, weight='w') : <5; real>
  %slow = synaptic_current(%a, keep=0.8) : <5; real>
  %fast = synaptic_current(%a, keep=0.7) : <5; real>
  %less = scale(%fast, factor=-1.0) : <5; real>
  %sum = add(%slow, %less) : <5; real>
  %s = neuron(%sum, tau=2.0, decay_input=False, v_threshold=0.2, v_reset=0.0) : <5; spike>
  %total = readout(%s, steps=6) : <5; int[0..6]>
  %y = output(%total) : <5; int[0..6]>
}
"""


@pytest.mark.parametrize("clocked", [False, True])
@pytest.mark.parametrize("backend", ["executor", "lava"])
def test_two_currents_of_one_product(
    alpha: Path, events: Events, backend: str, clocked: bool
) -> None:
    """What several read is sent as a number: it takes a step to what is kept of it."""
    if backend == "lava":
        pytest.importorskip("lava.magma")
    done = simulate(
        read_artefact(alpha), Dataset(events(4)), check=True, clocked=clocked,
        backend=backend,  # type: ignore[arg-type]
    )  # fmt: skip
    assert done.verified
    assert read_artefact(alpha).integer["s"].kind == "integer_neuron"


def test_what_is_read_back_from_disk_computes_the_same(folder: Path, events: Events) -> None:
    integer = read_artefact(folder).integer
    x = events(4).swapaxes(0, 1)
    wanted = interpret(integer, x)
    run = Executor(integer).run(x, keep=[op.name for op in integer.ops])
    assert all(np.array_equal(value, wanted[name]) for name, value in run.values.items())


@pytest.mark.parametrize("granularity", ["stage", "operator"])
def test_lava_fires_the_same_spikes(folder: Path, events: Events, granularity: str) -> None:
    pytest.importorskip("lava.magma")
    done = simulate(
        read_artefact(folder), Dataset(events(4)), backend="lava", check=True,
        granularity=granularity,  # type: ignore[arg-type]
    )  # fmt: skip
    assert done.verified
    assert done.spikes_compared == 6 * 6 * (64 + 64 + 6)


@pytest.mark.parametrize("backend", ["executor", "lava"])
def test_the_pipeline_fires_the_same_spikes(folder: Path, events: Events, backend: str) -> None:
    if backend == "lava":
        pytest.importorskip("lava.magma")
    done = simulate(
        read_artefact(folder), Dataset(events(4)), check=True, clocked=True,
        backend=backend,  # type: ignore[arg-type]
    )  # fmt: skip
    assert done.verified


def test_stock_neurons_keep_the_same_currents(
    lasting_network: Networks, events: Events, tmp_path: Path
) -> None:
    pytest.importorskip("lava.magma")
    found = compiled(lasting_network(), events())
    write_artefact(tmp_path / "out", deploy(found, Dataset(events()), {}).artefact)
    cases = conform(read_artefact(tmp_path / "out"), Dataset(events(5)), samples=4)
    assert [(c.mismatches, c.skipped_reason, c.slice) for c in cases] == [(0, None, "all")] * 3
    assert [c.ops[-1] for c in cases] == [
        "LIFReset du 1023", "LIFReset du 2047", "LIFReset du 409",
    ]  # fmt: skip


def test_onnxruntime_gives_the_same_answers(folder: Path, events: Events, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    integer = read_artefact(folder).integer
    x = events(4).swapaxes(0, 1)
    wanted = Executor(integer).run(x).output
    for unroll in (False, True):
        file = tmp_path / f"{unroll}.onnx"
        write_exchanged(Network("lasting", integer=integer), file, unroll=unroll)
        session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        (answers,) = session.run(None, {"x": x})
        assert np.array_equal(answers, wanted)


def test_lava_dl_fires_the_same_spikes(
    lasting_network: Networks, events: Events, tmp_path: Path
) -> None:
    pytest.importorskip("lava.lib.dl")
    from snncc.backends.lava.netx import run_netx

    integer = compiled(lasting_network(biases=False), events().clip(0, 1), "loihi1").integer
    write_exchanged(Network("lasting", integer=integer), tmp_path / "out.net")
    x = events(4).clip(0, 1).swapaxes(0, 1)
    values = interpret(integer, x)
    spikes = run_netx(tmp_path / "out.net", values["x"], integer.steps, timeout=60)
    assert np.array_equal(spikes.reshape(values["s3"].shape), values["s3"])


def test_a_bias_that_lasts_has_no_stock_form(lasting_network: Networks, events: Events) -> None:
    with pytest.raises(SnnccError) as caught:
        compiled(lasting_network(), events().clip(0, 1), "loihi1")
    assert {d.rule.code for d in caught.value.diagnostics} == {"SNN415"}
    assert "`i1` keeps the bias of `a` from step to step" in caught.value.diagnostics[0].message


def test_a_report_shows_the_currents(folder: Path) -> None:
    html = content_of([read_network(folder)], "html").decode()
    assert "synaptic_current" in html
    assert "1024 of 4096 in a step" in html


def test_inspect_counts_them(lasting_network: Networks) -> None:
    text = inspect_text(check_model(model_of(lasting_network())))
    assert "3 synaptic_current" in text
