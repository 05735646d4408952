"""`check` and `compile`: exit codes, streams, documents, artefacts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snncc.artefact import read_artefact

Snncc = Callable[..., Any]


def test_a_compliant_model_is_clean_and_hides_neither_encoder_nor_head(
    snncc: Snncc, compliant: Path
) -> None:
    done = snncc("check", compliant)
    assert done.code == 0
    assert "real: policy: encoder" in done.out
    assert "real: policy: head" in done.out
    assert done.out.splitlines()[-1] == (
        "spikingformer-cifar-1-16: clean, 2 findings as written (2 notes)"
    )
    assert done.err.count("note[SNN202]") == 2
    assert "error" not in done.err
    assert max(len(line) for line in done.out.splitlines()) <= 100


def test_json_is_one_document_and_stderr_is_empty(snncc: Snncc, compliant: Path) -> None:
    done = snncc("check", compliant, "--format", "json")
    document = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert document["schema"] == "snncc.check/1"
    assert document["clean"] is True
    assert document["form"] == "as-written"
    assert {f["path"]: f["allowed_by"] for f in document["findings"]} == {
        "patch_embed.block0_conv": "policy: encoder",
        "head": "policy: head",
    }


def test_an_offending_model_is_told_each_layer_with_its_values_and_causes(
    snncc: Snncc, offending: Path
) -> None:
    done = snncc("check", offending, "--format", "json")
    document = json.loads(done.out)
    assert done.code == 1
    assert document["clean"] is False
    wrong = {
        f["path"]: (f["domain"]["lo"], f["domain"]["hi"])
        for f in document["findings"]
        if not f["allowed_by"]
    }
    assert wrong == {
        "block.0.attn.q_linear": (0, 2),
        "block.0.attn.k_linear": (0, 2),
        "block.0.attn.v_linear": (0, 2),
        "block.0.mlp.fc1_linear": (0, 3),
    }
    for finding in document["findings"]:
        assert finding["source"]["file"].endswith("spikformer.py")
        assert finding["source"]["line"] > 0
        assert finding["because"]


def test_text_puts_findings_on_stderr_and_the_verdict_on_stdout(
    snncc: Snncc, offending: Path
) -> None:
    done = snncc("check", offending)
    assert done.code == 1
    assert done.err.count("error[SNN201]") == 4
    assert "error[" not in done.out
    assert done.out.splitlines()[-1].endswith(
        ": not clean, 6 findings as written (4 errors, 2 notes)"
    )


def test_allowing_by_code_and_path(snncc: Snncc, offending: Path) -> None:
    assert snncc("check", offending, "--allow", "SNN201").code == 0
    some = snncc("check", offending, "--allow", "SNN201:block.0.attn.*", "--format", "json")
    assert some.code == 1
    left = [f["path"] for f in json.loads(some.out)["findings"] if not f["allowed_by"]]
    assert left == ["block.0.mlp.fc1_linear"]


def test_an_allowance_that_matches_nothing_is_a_warning(snncc: Snncc, compliant: Path) -> None:
    arguments = ("check", compliant, "--allow", "SNN201:nowhere.*")
    assert snncc(*arguments).code == 0
    failing = snncc(*arguments, "--fail-on", "warning")
    assert failing.code == 1
    assert "warning[SNN208]" in failing.err


def test_compile_writes_the_artefact_and_reports(
    snncc: Snncc, compliant: Path, samples: Path, tmp_path: Path
) -> None:
    done = snncc("compile", compliant, "--target", "loihi2", "--data", samples, "-o", "out")
    assert done.code == 0
    assert "paper-45nm, fp32" in done.out
    assert "counted-45nm, int8" in done.out
    assert "leaves out" in done.out
    assert done.out.splitlines()[-1].startswith("accuracy: float ")
    assert "wrote out" in done.err
    said = r"^float graph and PyTorch: [\d,]+ neuron values of \d+ samples, 0 differ "
    assert re.search(said, done.err, re.MULTILINE)
    assert max(len(line) for line in done.out.splitlines()) <= 100
    found = read_artefact(tmp_path / "out")
    assert found.manifest["target"] == "loihi2"
    assert found.documents["report.json"]["schema"] == "snncc.report/1"
    assert found.floating is not None
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_compile_in_json_is_one_document(
    snncc: Snncc, compliant: Path, samples: Path, tmp_path: Path
) -> None:
    arguments = ("--data", samples, "--format", "json", "-o", "a", "--weight-bits", 6)
    done = snncc("compile", compliant, "--target", "loihi2", *arguments)
    document = json.loads(done.out)
    assert done.code == 0
    assert document["quantization"]["weight_bits"] == 6
    assert document["accuracy"].keys() == {"float", "integer"}
    assert len(document["energy"]) == 2
    assert json.loads((tmp_path / "a" / "report.json").read_text()) == document


def test_without_data_the_range_is_assumed_and_said_so(
    snncc: Snncc, compliant: Path, tmp_path: Path
) -> None:
    done = snncc("compile", compliant, "--target", "loihi2")
    assert done.code == 0
    assert done.out == ""
    assert "warning[SNN303]" in done.err
    assert (tmp_path / "spikingformer-cifar-1-16-loihi2" / "manifest.json").exists()


def test_same_input_same_bytes_from_anywhere(
    snncc: Snncc, compliant: Path, samples: Path, artefact: Path, tmp_path: Path
) -> None:
    for source in (compliant, samples):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    arguments = ("--target", "loihi2", "--data", samples.name, "-o", "deep/er")
    assert snncc("compile", compliant.name, *arguments).code == 0
    for file in artefact.iterdir():
        assert (tmp_path / "deep" / "er" / file.name).read_bytes() == file.read_bytes(), file.name


def test_an_offending_model_is_not_compiled_and_leaves_nothing(
    snncc: Snncc, offending: Path, tmp_path: Path
) -> None:
    done = snncc("compile", offending, "--target", "loihi2", "-o", "out")
    assert done.code == 1
    assert done.out == ""
    assert done.err.count("error[SNN201]") == 4
    assert "error[SNN304]" in done.err
    assert not list(tmp_path.iterdir())


def test_what_a_target_cannot_do_is_all_said_at_once(
    snncc: Snncc, compliant: Path, tmp_path: Path
) -> None:
    done = snncc("compile", compliant, "--target", "loihi1", "-o", "out")
    assert (done.code, done.out) == (1, "")
    assert done.err.count("error[SNN414]") == 2
    assert not list(tmp_path.iterdir())


def test_an_allowed_model_compiles(snncc: Snncc, offending: Path, tmp_path: Path) -> None:
    arguments = ("--target", "loihi2", "--allow", "SNN201", "-o", "out")
    assert snncc("compile", offending, *arguments).code == 0
    assert read_artefact(tmp_path / "out").integer.of_kind("integer_neuron")


def files_of(tmp_path: Path, compliant: Path) -> dict[str, Path]:
    """Inputs that cannot be used, by what is wrong with them."""
    made = {name: tmp_path / f"{name}.pth.tar" for name in ("empty", "cut", "text", "alien")}
    made["empty"].write_bytes(b"")
    made["cut"].write_bytes(compliant.read_bytes()[:999])
    made["text"].write_text("not a checkpoint")
    torch.save({"state_dict": {"some.weight": torch.zeros(2)}}, made["alien"])
    made["missing"] = tmp_path / "missing.pth.tar"
    return made


@pytest.mark.parametrize("fault", ["empty", "cut", "text", "alien", "missing"])
@pytest.mark.parametrize("command", [("check",), ("compile", "--target", "loihi2", "-o", "out")])
def test_models_that_cannot_be_read(
    snncc: Snncc, compliant: Path, tmp_path: Path, fault: str, command: tuple[str, ...]
) -> None:
    path = files_of(tmp_path, compliant)[fault]
    done = snncc(command[0], path, *command[1:])
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[SNN1") == 1
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.path, "ran"))


def test_code_in_a_checkpoint_does_not_run(snncc: Snncc, tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "args": Planted(tmp_path / "ran")}, tmp_path / "evil.pth.tar")
    done = snncc("compile", "evil.pth.tar", "--target", "loihi2", "-o", "out")
    assert (done.code, done.out) == (2, "")
    assert "error[SNN104]" in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["evil.pth.tar"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--target", "loihi9"), "SNN401"),
        (("--target", "./mine.toml"), "SNN401"),
        (("--target", "loihi2", "--set", "heads=5"), "SNN108"),
        (("--target", "loihi2", "--set", "hads=2"), "SNN108"),
        (("--target", "loihi2", "--data", "none.npz"), "SNN130"),
        (("--target", "loihi2", "--data", "wrong.npz"), "SNN131"),
        (("--target", "loihi2", "--data", "nan.npz"), "SNN132"),
        (("--target", "loihi2", "--data", "empty.npz"), "SNN133"),
        (("--target", "loihi2", "--data", "labels.npz"), "SNN134"),
        (("--target", "loihi2", "-o", "wrong.npz"), "SNN902"),
        (("--target", "loihi2", "-o", "wrong.npz/below"), "SNN902"),
        (("--target", "loihi2", "-o", "theirs"), "SNN901"),
    ],
)
def test_every_bad_option_is_one_diagnostic(
    snncc: Snncc, compliant: Path, tmp_path: Path, arguments: tuple[str, ...], code: str
) -> None:
    x = np.zeros((2, 1, 8, 8), np.float32)
    np.savez("wrong.npz", x=x[:, 0])
    np.savez("nan.npz", x=x + np.nan)
    np.savez("empty.npz", x=x[:0])
    np.savez("labels.npz", x=x, y=[0, 3])
    Path("theirs").mkdir()
    Path("theirs/thesis.tex").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    output = () if "-o" in arguments else ("-o", "out")
    done = snncc("compile", compliant, *arguments, *output)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[") == 1, done.err
    assert f"error[{code}]" in done.err
    assert "Traceback" not in done.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("compile", "m.pth"),
        ("compile", "m.pth", "--target"),
        ("compile", "m.pth", "--target", "loihi2", "--weight-bits", "9"),
        ("check", "m.pth", "--set", "heads"),
        ("check", "m.pth", "--allow", "SNN999"),
        ("check", "m.pth", "--format", "xml"),
        ("check", "m.pth", "--fail-on", "never"),
        ("check", "m.pth", "--input-shape", "3,x"),
        ("check",),
        ("frobnicate",),
        ("--frobnicate",),
    ],
)
def test_bad_usage(snncc: Snncc, arguments: tuple[str, ...]) -> None:
    done = snncc(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("Error: ")


def test_a_network_without_weights_is_checked_but_not_compiled(
    snncc: Snncc, tmp_path: Path
) -> None:
    assert snncc("check", "arch:spikingformer-cifar-4-256").code == 0
    done = snncc("compile", "arch:spikingformer-cifar-4-256", "--target", "loihi2", "-o", "out")
    assert (done.code, done.out) == (2, "")
    assert "error[SNN137]" in done.err
    assert not list(tmp_path.iterdir())


NETWORK = """
import torch
from torch import nn
from snncc.models.neuron import LIF

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 8)
        self.lif = LIF()
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        s = self.lif(self.fc(x).expand(3, -1, -1))
        return self.head(s).mean(0)

def build():
    torch.manual_seed(0)
    return Net()
"""


def test_a_network_of_the_users_own(snncc: Snncc, tmp_path: Path) -> None:
    (tmp_path / "own_network_for_cli.py").write_text(NETWORK)
    done = snncc("check", "own_network_for_cli:build", "--input-shape", "4", "--format", "json")
    assert done.code == 0, done.err
    findings = json.loads(done.out)["findings"]
    assert [(f["path"], f["source"]["file"]) for f in findings] == [
        ("fc", "own_network_for_cli.py")
    ]


def test_a_network_that_does_not_say_its_input_is_told(snncc: Snncc, tmp_path: Path) -> None:
    name = "own_network_told_its_input"
    (tmp_path / f"{name}.py").write_text(NETWORK)
    commands = (("check",), ("inspect",), ("compile", "--target", "loihi2", "-o", "out"))
    for command, *options in commands:
        refused = snncc(command, f"{name}:build", *options)
        assert refused.code == 2, command
        assert "error[SNN112]" in refused.err
        assert "--input-shape" in refused.err
        done = snncc(command, f"{name}:build", "--input-shape", "4", *options)
        assert done.code == 0, done.err
