"""Exported programs: only trusted files are opened, and neurons are found in either form."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.artefact import read_artefact
from snncc.cli.guard import guarded
from snncc.compiler import Checked, Compiled, check_model, compile_checked
from snncc.diagnostics.core import SnnccError
from snncc.execute.executor import Executor
from snncc.frontends import exported
from snncc.frontends.build import Builder
from snncc.frontends.load import from_module, load_model
from snncc.frontends.prepare import prepared
from snncc.ir.graph import Array
from snncc.models.neuron import LIF
from snncc.targets.load import load_target


class Net(nn.Module):
    """Two layers of neurons, four steps of one image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1, self.fc2 = nn.Linear(8, 16), LIF(), nn.Linear(16, 12)
        self.lif2, self.head = LIF(v_reset=None), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lif1(self.fc1(x * 4).unsqueeze(0).repeat(4, 1, 1))
        y: Tensor = self.head(self.lif2(self.fc2(x))).mean(0)
        return y


@pytest.fixture
def net() -> nn.Module:
    return Net().eval()


def saved(net: nn.Module, path: Path, samples: int, *, dynamic: bool = False) -> str:
    sizes = ({0: torch.export.Dim("batch")},) if dynamic else None
    example = (torch.zeros(samples, 8),)
    program = torch.export.export(net, example, dynamic_shapes=sizes, strict=False)
    torch.export.save(program, path)
    return str(path)


def judged(spec: str) -> Checked:
    return check_model(load_model(spec, trust_pickle=True))


def assert_is(checked: Checked, net: nn.Module) -> None:
    assert checked.clean
    assert (checked.graph.level, checked.graph.steps) == ("step", 4)
    assert [v.path for v in checked.verdicts] == ["fc1", "fc2", "head"]
    assert len(checked.graph.of_kind("neuron")) == 2
    x = np.random.default_rng(0).random((4, 8))
    compiled = compile_checked(checked, target=load_target("loihi2"), calibration=x)
    assert compiled.agreement.equal
    with torch.no_grad():
        answer = net.double()(torch.from_numpy(x)).numpy()
    assert np.abs(compiled.real.outputs.reshape(answer.shape) - answer).max() < 1e-9


@pytest.mark.parametrize(
    ("samples", "dynamic"),
    [(1, False), (2, False), pytest.param(3, True, marks=pytest.mark.slow)],
)
def test_unrolled_neurons_come_back(
    samples: int, dynamic: bool, net: nn.Module, tmp_path: Path
) -> None:
    assert_is(judged(saved(net, tmp_path / "net.pt2", samples, dynamic=dynamic)), net)


@pytest.mark.parametrize(
    ("samples", "dynamic"), [(1, False), (2, False), pytest.param(3, True, marks=pytest.mark.slow)]
)
def test_our_own_operator_is_read(
    samples: int, dynamic: bool, net: nn.Module, tmp_path: Path
) -> None:
    with prepared(net):
        path = saved(net, tmp_path / "net.pt2", samples, dynamic=dynamic)
    assert_is(judged(path), net)


def integers(compiled: Compiled) -> list[tuple[str, bytes]]:
    """Every stored number of the integers, op by op."""
    graph = compiled.integer
    return [
        (op.kind, np.asarray(graph.weights[name]).tobytes())
        for op in graph.ops
        for name in op.weight_names
    ]


def spikes(compiled: Compiled, x: Array) -> list[bytes]:
    """Every spike of every layer."""
    neurons = [op.name for op in compiled.integer.of_kind("integer_neuron")]
    done = Executor(compiled.integer).run(x, keep=neurons)
    assert any(done.values[name].any() for name in neurons)
    return [done.values[name].tobytes() for name in neurons]


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("own", [True, False], ids=["operator", "unrolled"])
def test_verdict_integers_and_spikes_are_the_modules(
    own: bool, samples: int, net: nn.Module, tmp_path: Path
) -> None:
    with prepared(net) if own else nullcontext():
        path = saved(net, tmp_path / "net.pt2", samples)
    x = np.random.default_rng(0).random((16, 8))
    theirs = judged(path)
    ours = check_model(from_module(net, torch.zeros(2, 8)))
    assert [(v.path, v.kind, v.verdict, v.domains) for v in theirs.verdicts] == [
        (v.path, v.kind, v.verdict, v.domains) for v in ours.verdicts
    ]
    made = [
        compile_checked(each, target=load_target("loihi2"), calibration=x)
        for each in (ours, theirs)
    ]
    assert integers(made[0]) == integers(made[1])
    assert spikes(made[0], x) == spikes(made[1], x)
    answers = [Executor(each.integer).run(x).output for each in made]
    assert answers[0].shape == (16, 3)
    assert np.array_equal(answers[0], answers[1])


@pytest.mark.slow
def test_a_process_that_knows_nothing_of_the_operator_reads_it(
    net: nn.Module, tmp_path: Path
) -> None:
    with prepared(net):
        path = saved(net, tmp_path / "net.pt2", 1)
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).random((16, 8)))
    commands = (
        ["check", path, "--trust-pickle"],
        ["compile", path, "--trust-pickle", "--target", "loihi2", "--data",
         str(tmp_path / "data.npz"), "-o", str(tmp_path / "build")],
    )  # fmt: skip
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "snncc", *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    graph = read_artefact(tmp_path / "build").integer
    x = np.random.default_rng(0).random((16, 8))
    ours = compile_checked(
        check_model(from_module(net, torch.zeros(2, 8))), target=load_target("loihi2"),
        calibration=x,
    )  # fmt: skip
    assert np.array_equal(Executor(graph).run(x).output, Executor(ours.integer).run(x).output)


class Mixing(nn.Module):
    """Its second neuron takes samples for time steps: it is sound with one sample at a time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1, self.fc2 = nn.Linear(8, 6), LIF(), nn.Linear(6, 5)
        self.lif2, self.head = LIF(v_reset=None), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.fc2(self.lif1(self.fc1(x).unsqueeze(0).repeat(3, 1, 1)))
        y: Tensor = self.head(self.lif2(spikes.flatten(0, 1)).unflatten(0, (3, -1))).mean(0)
        return y


def test_a_program_that_is_sound_for_one_sample_is_taken_for_one(tmp_path: Path) -> None:
    module = Mixing().eval()
    checked = judged(saved(module, tmp_path / "net.pt2", 1))
    assert (checked.graph.level, checked.graph.steps, checked.clean) == ("step", 3, True)
    (note,) = (d for d in checked.diagnostics if d.rule.code == "SNN158")
    assert note.message == "the file is taken as it is, for one sample at a time"
    (reason,) = note.because
    assert reason.startswith("the program was exported with one sample, and for more it means")
    assert reason.endswith("; if it should, export it with an example of 2 samples")
    x = torch.rand(4, 8)
    with torch.no_grad():
        answer = torch.cat([module(each[None]) for each in x]).numpy()
    mine = Executor(checked.graph).run(x.double().numpy()).output
    assert np.abs(mine.reshape(answer.shape) - answer).max() < 1e-5
    assert compile_checked(checked, target=load_target("loihi2")).agreement.equal


def test_one_sample_that_is_taken_for_an_axis(tmp_path: Path) -> None:
    """The mean over the batch is nothing of one sample, and mixes two."""

    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(0, keepdim=True)

    checked = judged(saved(Mean(), tmp_path / "net.pt2", 1))
    assert [(d.rule.code, d.message) for d in checked.diagnostics] == [
        ("SNN152", "the network has no spiking neuron")
    ]


def test_nothing_is_run_unless_the_user_says_so(
    net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(net, tmp_path / "net.pt2", 1)
    with pytest.raises(SnnccError, match="runs what stands in it") as caught:
        load_model(path)
    assert [d.rule.code for d in caught.value.diagnostics] == ["SNN104"]
    assert guarded(["check", path]) == 2
    assert "--trust-pickle" in capsys.readouterr().err
    assert guarded(["check", path, "--trust-pickle"]) == 0


@pytest.mark.parametrize("trust", [False, True])
def test_a_file_that_is_none(trust: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(b"text, no archive")
    with pytest.raises(SnnccError, match="is no exported program, or it ends too early"):
        load_model(str(path), trust_pickle=trust)


def test_an_archive_of_several_parts(net: nn.Module, tmp_path: Path) -> None:
    path = Path(saved(net, tmp_path / "net.pt2", 2))
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end - 20 : end] = b"PK\x06\x07" + (1).to_bytes(4, "little") + bytes(8) + b"\x09\0\0\0"
    path.write_bytes(data)
    assert guarded(["check", str(path)]) == 2


def test_a_program_whose_weights_have_another_shape(net: nn.Module, tmp_path: Path) -> None:
    """It is opened without complaint, and means nothing."""
    path, other = saved(net, tmp_path / "net.pt2", 2), tmp_path / "other.pt2"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as made:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith("models/model.json"):
                program = json.loads(data)
                meta = program["graph_module"]["graph"]["tensor_values"]
                meta["x"]["sizes"][1]["as_int"] = 2
                data = json.dumps(program).encode()
            made.writestr(name, data)
    with pytest.raises(SnnccError) as caught:
        load_model(str(other), trust_pickle=True)
    (found,) = caught.value.diagnostics
    assert (found.rule.code, "\n" in found.message) == ("SNN160", False)


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.save({"w": torch.zeros(2)}, path)
    with pytest.raises(SnnccError, match="cannot be read as an exported program") as caught:
        load_model(str(path), trust_pickle=True)
    assert [d.rule.code for d in caught.value.diagnostics] == ["SNN160"]


def test_a_bug_of_ours_is_no_fault_of_the_file(
    net: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(net, tmp_path / "net.pt2", 2)
    monkeypatch.delattr(Builder, "dynamic")
    with pytest.raises(AttributeError):
        load_model(path, trust_pickle=True)
    assert guarded(["check", path, "--trust-pickle"]) == 101


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("p_w"), "KeyError: 'p_w'"),
        (AssertionError(), "AssertionError"),
        (AttributeError("no such thing"), "no such thing"),
    ],
)
def test_what_others_raise_of_a_program_is_told(
    error: Exception, said: str, net: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    path = saved(net, tmp_path / "net.pt2", 2)
    monkeypatch.setattr(exported, "import_program", fail)
    with pytest.raises(SnnccError, match=f"as an exported program: {said}$") as caught:
        load_model(path, trust_pickle=True)
    assert [d.rule.code for d in caught.value.diagnostics] == ["SNN160"]


def test_a_network_takes_one_tensor(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    program = torch.export.export(Two(), (torch.zeros(2, 3), torch.zeros(2, 3)), strict=False)
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(SnnccError, match="the program takes 2 inputs"):
        load_model(str(tmp_path / "net.pt2"), trust_pickle=True)


def test_another_input_shape_than_the_programs_is_refused(net: nn.Module, tmp_path: Path) -> None:
    path = saved(net, tmp_path / "net.pt2", 2)
    with pytest.raises(SnnccError, match="--input-shape says 9, the program has 8") as caught:
        load_model(path, trust_pickle=True, example_shape=(9,))
    assert [d.rule.code for d in caught.value.diagnostics] == ["SNN112"]
    assert load_model(path, trust_pickle=True, example_shape=(8,)).input_shape == (8,)
