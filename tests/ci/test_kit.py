"""The CI kit, run as far as it goes without the service: its shell steps, in a checkout.

The steps find a Python that has what snncc needs but not snncc, which they install themselves from
a package index without a network.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"
WORKFLOW = ROOT / "examples" / "ci" / "snncc.yml"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the service would check out of snncc itself."""
    source = tmp_path_factory.mktemp("action")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "snncc", source / "snncc", ignore=ignored)
    for name in ("pyproject.toml", "LICENSE", "README.md", "action.yml"):
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, source: Path) -> dict[str, str]:
    """The environment of a runner: a Python of its own, and snncc in its package index."""
    place = tmp_path_factory.mktemp("runner")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "py"], check=True)
    paths = sysconfig.get_paths(vars={"base": str(place / "py"), "platbase": str(place / "py")})
    (Path(paths["purelib"]) / "shared.pth").write_text(sysconfig.get_path("purelib"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    subprocess.run([*build, place / "index"], cwd=source, check=True, capture_output=True)
    return {
        "PATH": f"{place / 'py' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_FIND_LINKS": str(place / "index"),
        "PIP_FORCE_REINSTALL": "1",
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a network that is driven by spikes and one that is not."""
    for name in ("spikingformer", "spikformer"):
        shutil.copy(DIGITS / f"{name}.pth.tar", tmp_path)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Networks"]):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        assert run(["git", *who, *command], tmp_path).returncode == 0
    return tmp_path


@dataclass(frozen=True)
class Job:
    """How a list of steps ended: code and output of the last, and what it set."""

    code: int
    out: str
    outputs: Mapping[str, str]


def steps(
    given: list[dict[str, Any]], values: Mapping[str, str], folder: Path, machine: dict[str, str]
) -> Job:
    """Run the shell steps as the runner does, up to the first that fails."""
    output = folder / ".git" / "output"
    output.write_text("")
    done = None
    for step in (s for s in given if "run" in s):
        assert "${{" not in step["run"], "values go in by the environment, not into the script"
        variables = {k: values[str(v)] for k, v in step.get("env", {}).items()}
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = run(shell, folder, **machine, **variables, GITHUB_OUTPUT=str(output))
        if done.returncode:
            break
    assert done is not None
    pairs = (line.partition("=") for line in output.read_text().splitlines())
    return Job(done.returncode, done.stdout + done.stderr, {k: v for k, _, v in pairs})


def action(
    folder: Path, source: Path, machine: dict[str, str], model: str, arguments: str = ""
) -> Job:
    """Use the action."""
    document = read(ROOT / "action.yml")
    given = {"model": model, "arguments": arguments}
    values = {"${{ github.action_path }}": str(source)}
    for name, declared in document["inputs"].items():
        assert declared["description"]
        values[f"${{{{ inputs.{name} }}}}"] = given.get(name, declared.get("default", ""))
    assert document["runs"]["using"] == "composite"
    assert all(step["shell"] == "bash" for step in document["runs"]["steps"])
    job = steps(document["runs"]["steps"], values, folder, machine)
    named = {re.fullmatch(r"\$\{\{ steps\.check\.outputs\.(\w+) \}\}", o["value"])
             for o in document["outputs"].values()}  # fmt: skip
    assert set(job.outputs) <= {match[1] for match in named if match}
    return job


def levels(file: Path) -> set[str]:
    return {r["level"] for r in json.loads(file.read_text())["runs"][0]["results"]}


@pytest.mark.slow
def test_the_action(checkout: Path, source: Path, machine: dict[str, str]) -> None:
    passed = action(checkout, source, machine, "spikingformer.pth.tar")
    assert (passed.code, passed.outputs) == (0, {"sarif": "snncc.sarif"}), passed.out
    assert levels(checkout / "snncc.sarif") == {"note"}

    failed = action(checkout, source, machine, "spikformer.pth.tar")
    assert (failed.code, failed.outputs) == (1, {"sarif": "snncc.sarif"}), failed.out
    assert failed.out.count("::error file=") == 8
    assert levels(checkout / "snncc.sarif") == {"note", "error"}

    allowed = "--allow\nSNN201:block.0.*\n\n--allow\nSNN201:block.1.*\n"
    assert action(checkout, source, machine, "spikformer.pth.tar", allowed).code == 0


@pytest.mark.slow
def test_the_action_on_what_is_no_model(
    checkout: Path, source: Path, machine: dict[str, str]
) -> None:
    for model in ("missing.pth.tar", "--help", "$(touch planted).pth", "`touch planted`"):
        job = action(checkout, source, machine, model)
        assert (job.code, job.outputs) == (2, {}), job.out
    assert not (checkout / "planted").exists()


@pytest.mark.slow
def test_the_workflow(checkout: Path, machine: dict[str, str]) -> None:
    document = read(WORKFLOW)
    assert document["permissions"] == {"contents": "read", "security-events": "write"}
    (job,) = document["jobs"].values()
    upload = job["steps"][-1]
    assert upload["uses"].startswith("github/codeql-action/upload-sarif@")
    assert upload["if"].startswith("always()")
    name = upload["with"]["sarif_file"].split()[1].rpartition(".")[2]

    passed = steps(job["steps"], {}, checkout, {**machine, "MODEL": "spikingformer.pth.tar"})
    assert passed.code == 0, passed.out
    assert levels(checkout / passed.outputs[name]) == {"note"}
    failed = steps(job["steps"], {}, checkout, {**machine, "MODEL": "spikformer.pth.tar"})
    assert failed.code == 1, failed.out
    assert levels(checkout / failed.outputs[name]) == {"note", "error"}
    (annotate,) = (s for s in job["steps"] if str(s.get("if", "")).startswith("failure()"))
    said = steps([annotate], {}, checkout, {**machine, "MODEL": "spikformer.pth.tar"})
    assert said.out.count("::error file=") == 8
    missing = steps(job["steps"], {}, checkout, {**machine, "MODEL": "missing.pth.tar"})
    assert (missing.code, missing.outputs) == (2, {})


def hook() -> dict[str, Any]:
    (found,) = read(ROOT / ".pre-commit-hooks.yaml")
    return dict(found)


def test_the_hook(checkout: Path) -> None:
    found = hook()
    assert (found["language"], found["pass_filenames"]) == ("system", False)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for model, code in (("spikingformer.pth.tar", 0), ("spikformer.pth.tar", 1)):
        done = run([*shlex.split(found["entry"]), model], checkout, PATH=path)
        assert done.returncode == code, done.stderr


@pytest.mark.external
@pytest.mark.parametrize(
    ("model", "code", "said"),
    [("spikingformer.pth.tar", 0, "Passed"), ("spikformer.pth.tar", 1, "error[SNN201]")],
)
def test_the_hook_in_pre_commit(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, model: str, code: int, said: str
) -> None:
    if not shutil.which("pre-commit"):
        pytest.skip("pre-commit is not installed")
    hooks = tmp_path_factory.mktemp("hooks")
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Hooks"]):
        assert run(["git", *who, *command], hooks).returncode == 0
    revision = run(["git", "rev-parse", "HEAD"], hooks).stdout.strip()
    used = {"id": hook()["id"], "args": [model]}
    repos = {"repos": [{"repo": f"file://{hooks}", "rev": revision, "hooks": [used]}]}
    (checkout / ".pre-commit-config.yaml").write_text(yaml.safe_dump(repos))
    home = str(tmp_path_factory.mktemp("home"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["pre-commit", "run", "--all-files"]
    done = run(command, checkout, PRE_COMMIT_HOME=home, PATH=path)
    assert done.returncode == code, done.stdout
    assert said in done.stdout
