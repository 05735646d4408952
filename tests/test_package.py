"""What is installed: one import name, its data, nothing heavy at start-up."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
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
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the source distribution that it is made of, built from a copy."""
    source = tmp_path_factory.mktemp("source")
    for name in ("snncc", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for link in LINKS:
        (source / link).symlink_to(Path("snncc") / link)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return source / "dist"


@pytest.fixture(scope="session")
def wheel(built: Path) -> zipfile.ZipFile:
    (file,) = built.glob("*.whl")
    return zipfile.ZipFile(file)


def test_twine_finds_no_fault(built: Path) -> None:
    pytest.importorskip("twine", reason="needs twine")
    files = sorted(str(file) for file in built.iterdir())
    assert [Path(file).suffix for file in files] == [".whl", ".gz"]
    command = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_source_distribution_builds_the_same(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    held = {path.relative_to(ROOT).as_posix() for path in data_files()}
    assert {"pyproject.toml", "README.md", "LICENSE", *held} <= names


def data_files() -> list[Path]:
    """What the package reads beside its modules."""
    found = (p for p in (ROOT / "snncc").rglob("*") if p.is_file() and p.suffix != ".py")
    return [path for path in found if "__pycache__" not in path.parts]


def test_the_wheel_installs_snncc_alone(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"snncc", f"snncc-{snncc.__version__}.dist-info"}


def test_the_wheel_holds_the_data_files(wheel: zipfile.ZipFile) -> None:
    wanted = {path.relative_to(ROOT).as_posix() for path in data_files()}
    assert "snncc/targets/loihi2.toml" in wanted
    assert "snncc/energy/models/paper-45nm.toml" in wanted
    assert "snncc/py.typed" in wanted
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
