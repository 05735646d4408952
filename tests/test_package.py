"""What is installed: one import name, its data, nothing heavy at start-up."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import snncc

ROOT = Path(__file__).parent.parent
LINKS = ("backends", "frontends", "passes")
HEAVY = ("torch", "lava", "onnx", "numba", "scipy")

needs_cli = pytest.mark.skipif(
    importlib.util.find_spec("snncc.cli") is None, reason="the command line is not written yet"
)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of what it is built from."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "snncc", source / "snncc", ignore=shutil.ignore_patterns("__pycache__"))
    for link in LINKS:
        (source / link).symlink_to(Path("snncc") / link)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "tests", source / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_installs_snncc_alone(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"snncc", f"snncc-{snncc.__version__}.dist-info"}


def test_the_wheel_holds_the_data_files(wheel: zipfile.ZipFile) -> None:
    tracked = [*(ROOT / "snncc").rglob("*.toml"), ROOT / "snncc" / "py.typed"]
    wanted = {path.relative_to(ROOT).as_posix() for path in tracked}
    assert "snncc/targets/loihi2.toml" in wanted
    assert "snncc/energy/models/paper-45nm.toml" in wanted
    assert wanted <= set(wheel.namelist())


def test_the_wheel_holds_every_module(wheel: zipfile.ZipFile) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "snncc").rglob("*.py")}
    assert modules == {name for name in wheel.namelist() if name.endswith(".py")}


@pytest.mark.parametrize("link", LINKS)
def test_the_links_are_tracked_and_relative(link: str) -> None:
    command = ["git", "ls-files", "--stage", "--", link]
    staged = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    mode, blob = staged.split()[:2]
    assert mode == "120000"
    held = subprocess.run(
        ["git", "cat-file", "blob", blob], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert held == f"snncc/{link}"


def loaded_after(code: str) -> set[str]:
    """Which heavy packages a fresh interpreter holds after running this."""
    program = f"{code}\nimport sys\nprint('held:', *sys.modules)"
    command = [sys.executable, "-c", program]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(HEAVY) & set(out.splitlines()[-1].split())


def test_importing_snncc_is_light() -> None:
    assert loaded_after("import snncc") == set()


def test_reading_targets_and_energy_models_is_light() -> None:
    assert loaded_after("import snncc.targets.load, snncc.energy.load") == set()


@needs_cli
@pytest.mark.parametrize("arguments", [["--help"], ["explain", "SNN201"], ["targets"]])
def test_the_quick_commands_are_light(arguments: list[str]) -> None:
    code = (
        f"import sys\nsys.argv = ['snncc', *{arguments!r}]\nfrom snncc.cli import main\n"
        "try:\n    code = main()\nexcept SystemExit as leave:\n    code = leave.code\n"
        "assert not code, code"
    )
    assert loaded_after(code) == set()
