"""Where the official code of the papers lies, and what it imports that may not be installed.

None of it is shipped. Put checkouts of the repositories, under their names, into one folder::

    SNNCC_OFFICIAL_CODE=path/to/folder pytest -m external tests/external

Files are run as they are. `spikingjelly==0.0.0.0.14` and `timm` are used where they are installed;
without them, neurons with the published equation and the few helpers of timm stand in. All ask for
CuPy in every neuron, which no release falls back from: that one argument is changed on the way.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

WHERE = "SNNCC_OFFICIAL_CODE"
EAGER = ("MultiStepIFNode", "MultiStepLIFNode", "MultiStepParametricLIFNode")


class _Neurons(nn.Module):
    """What SpikingJelly computes, at rest before every call; a subclass says how it leaks."""

    def __init__(self, v_threshold: float = 1.0, v_reset: float | None = 0.0, **_: Any) -> None:
        super().__init__()
        self.v_threshold, self.v_reset = v_threshold, v_reset

    def leak(self, v: Tensor, x: Tensor) -> Tensor:
        return v + x

    def forward(self, x_seq: Tensor) -> Tensor:
        v, spikes = torch.zeros_like(x_seq[0]), []
        for x in x_seq:
            v = self.leak(v, x)
            spikes.append((v >= self.v_threshold).to(v))
            v = v * (1 - spikes[-1])
        return torch.stack(spikes)


class _IF(_Neurons):
    pass


class _LIF(_Neurons):
    def __init__(self, tau: float = 2.0, decay_input: bool = True, **others: Any) -> None:
        super().__init__(**others)
        self.tau, self.decay_input = tau, decay_input

    def leak(self, v: Tensor, x: Tensor) -> Tensor:
        return v + (x - v) / self.tau if self.decay_input else v * (1 - 1 / self.tau) + x


class _PLIF(_Neurons):
    def __init__(self, init_tau: float = 2.0, **others: Any) -> None:
        super().__init__(**others)
        self.w = nn.Parameter(-torch.tensor(init_tau - 1.0).log())

    def leak(self, v: Tensor, x: Tensor) -> Tensor:
        return v + (x - v) * self.w.sigmoid()


class _OverTime(nn.Sequential):
    """Layers without state on `[T, B, ...]`."""

    def forward(self, x_seq: Tensor) -> Tensor:
        x = x_seq.flatten(0, 1)
        for each in self:
            x = each(x)
        return x.reshape(*x_seq.shape[:2], *x.shape[1:])


def _neurons_of_the_package(name: str, cls: type) -> type:
    cls.__module__ = "spikingjelly.clock_driven.neuron"
    cls.__name__ = cls.__qualname__ = name
    return cls


def _spikingjelly() -> dict[str, dict[str, Any]]:
    kinds = zip(EAGER, (_IF, _LIF, _PLIF), strict=True)
    neurons: dict[str, Any] = {name: _neurons_of_the_package(name, cls) for name, cls in kinds}
    neurons |= {"ParametricLIFNode": _PLIF, "LIFNode": _LIF}
    reset: Callable[[nn.Module], None] = lambda network: None  # noqa: E731
    return {
        "spikingjelly": {},
        "spikingjelly.clock_driven": {},
        "spikingjelly.clock_driven.neuron": neurons,
        "spikingjelly.clock_driven.functional": {"reset_net": reset},
        "spikingjelly.clock_driven.surrogate": {"Sigmoid": nn.Sigmoid},
        "spikingjelly.clock_driven.layer": {"SeqToANNContainer": _OverTime},
        "spikingjelly.activation_based": {},
        "spikingjelly.activation_based.neuron": {},
    }


def _timm() -> dict[str, dict[str, Any]]:
    def to_2tuple(x: Any) -> tuple[Any, Any]:
        return x if isinstance(x, tuple) else (x, x)

    layers = {
        "to_2tuple": to_2tuple,
        "trunc_normal_": nn.init.trunc_normal_,
        "DropPath": lambda *_: nn.Identity(),
    }
    parts = {"_cfg": dict, "PatchEmbed": None, "Block": None}
    return {
        "timm": {},
        "timm.models": {"create_model": None},
        "timm.models.layers": layers,
        "timm.models.registry": {"register_model": lambda make: make},
        "timm.models.vision_transformer": parts,
    }


UNUSED: dict[str, dict[str, Any]] = {
    "einops": {"rearrange": None},
    "einops.layers": {},
    "einops.layers.torch": {"Rearrange": None},
    "torchinfo": {},
    "torchvision": {"transforms": None},
    "matplotlib": {},
    "matplotlib.pyplot": {},
}
"""What the files import and the networks do not use."""


def _stand_in(modules: dict[str, dict[str, Any]]) -> None:
    """Put modules where their package is not installed or cannot be imported."""
    root = next(iter(modules))
    try:
        for name in modules:
            importlib.import_module(name)
    except Exception:  # noqa: BLE001 - packages fail to import in many ways
        for name in [n for n in sys.modules if n == root or n.startswith(f"{root}.")]:
            del sys.modules[name]
        for name, content in modules.items():
            made = types.ModuleType(name)
            vars(made).update(content)
            sys.modules[name] = made
            holder, _, last = name.rpartition(".")
            if holder:
                setattr(sys.modules[holder], last, made)


def _torchvision_operators() -> Any:
    """Return what torchvision wants of torch where only its CUDA build is installed."""
    operators: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            operators.define(f"{name}{boxes}")
    return operators


def _without_cupy(cls: type) -> None:
    own = cls.__init__  # type: ignore[misc]

    def init(self: Any, *given: Any, **named: Any) -> None:
        if named.get("backend") == "cupy":
            named["backend"] = "torch"
        own(self, *given, **named)

    cls.__init__ = init  # type: ignore[misc]


@pytest.fixture(scope="session")
def packages() -> Iterator[None]:
    """Make what official code imports importable, and put everything back."""
    before = dict(sys.modules)
    operators = _torchvision_operators()
    for modules in (_spikingjelly(), _timm(), *({k: v} for k, v in UNUSED.items())):
        _stand_in(modules)
    neuron = sys.modules["spikingjelly.clock_driven.neuron"]
    own = {name: getattr(neuron, name).__init__ for name in EAGER}
    for name in EAGER:
        _without_cupy(getattr(neuron, name))
    cext = {"spikingjelly.cext": types.ModuleType("spikingjelly.cext")}
    vars(cext["spikingjelly.cext"])["neuron"] = neuron
    sys.modules.update(cext, **{"spikingjelly.cext.neuron": neuron})
    yield
    for name, init in own.items():
        getattr(neuron, name).__init__ = init
    del operators
    sys.modules.clear()
    sys.modules.update(before)


@pytest.fixture
def official(packages: None) -> Iterator[Callable[[str, str], Any]]:
    """Return what loads `file` of a repository as it is, with its folder and root importable."""
    folder = os.environ.get(WHERE)
    if not folder:
        pytest.skip(f"{WHERE} names no folder")
    before, path = set(sys.modules), list(sys.path)

    def load(repository: str, file: str) -> Any:
        root = Path(folder).absolute() / repository
        if not (root / file).is_file():
            pytest.skip(f"{WHERE} has no {repository}/{file}")
        sys.path[:0] = [str((root / file).parent), str(root)]
        name = f"official_{repository}_{file}".replace("/", "_").replace(".", "_")
        spec = importlib.util.spec_from_file_location(name, root / file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
