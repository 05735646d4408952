"""What happens where Lava is missing, of another release, or cannot start."""

from __future__ import annotations

import ctypes
import importlib.metadata
import multiprocessing
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snncc.backends.lava import compat
from snncc.backends.lava.rules import VERSION
from snncc.diagnostics.core import SnnccError


def test_lava_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(SnnccError) as error:
        compat.enable()
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.rule.code == "SNN910"
    assert "pip install --no-deps --ignore-requires-python lava-nc==0.10.0" in diagnostic.hint


def test_lava_is_of_another_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "installed_version", lambda: "0.9.0")
    with pytest.raises(SnnccError, match=r"SNN911.*0\.9\.0 is installed, wanted 0\.10\.0") as error:
        compat.enable()
    assert "lava-nc==0.10.0" in error.value.diagnostics[0].hint


def test_a_package_that_lava_needs_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ImportError("No module named 'asteval'")

    monkeypatch.setattr(compat, "installed_version", lambda: VERSION)
    monkeypatch.setattr(compat, "_import_patched", broken)
    with pytest.raises(SnnccError, match=r"SNN910.*asteval") as error:
        compat.enable()
    assert "numpy, scipy, networkx and asteval" in error.value.diagnostics[0].hint


def test_another_start_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[tuple[str, bool]] = []
    tolerant = compat._tolerant_start_method(lambda m, force: chosen.append((m, force)))
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: "spawn")
    with pytest.raises(SnnccError, match=r"SNN912.*'spawn'"):
        tolerant("fork")
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: "fork")
    tolerant("fork")
    assert chosen == []
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: None)
    tolerant("fork")
    assert chosen == [("fork", False)]


def test_the_descriptor_limit_is_raised_and_never_lowered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[Any] = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda which, pair: limits.append(pair))
    compat.require_descriptors(10)
    compat.require_descriptors(130)
    compat.require_descriptors(10)
    assert limits == [(1024, 4096), (2336, 4096)]
    with pytest.raises(SnnccError, match=r"SNN914.*500 Lava processes.*limit is 4096"):
        compat.require_descriptors(500)
    limits.append((1024, resource.RLIM_INFINITY))
    compat.require_descriptors(500)
    assert limits[-1] == (8256, resource.RLIM_INFINITY)


@pytest.mark.parametrize(
    "before",
    ["", "import multiprocessing; multiprocessing.set_start_method('fork')"],
)
def test_lava_imports_in_a_fresh_program(before: str, lava_run: None) -> None:
    program = (
        f"{before}\nfrom snncc.backends.lava import compat\ncompat.enable()\ncompat.enable()\n"
        "import lava.magma.core.process.process\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_backend_imports_without_lava() -> None:
    """Rules, partition and API are there for `snncc explain` where Lava is not."""
    program = (
        "import sys\n"
        "sys.modules['lava'] = None\n"
        "sys.modules['torch'] = None\n"
        "import snncc.backends.lava.rules, snncc.backends.lava.run\n"
        "import snncc.backends.lava.conformance\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_blas_is_left_alone_where_it_cannot_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_file(*args: Any, **kwargs: Any) -> Any:
        raise FileNotFoundError

    def no_library(path: str) -> Any:
        raise AssertionError(path)

    monkeypatch.setattr(Path, "read_text", no_file)
    monkeypatch.setattr(ctypes, "CDLL", no_library)
    compat._compute_alone()
