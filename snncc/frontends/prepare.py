"""Makes a module ready to be traced, and puts everything back after."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import nn

from snncc.diagnostics.core import Diagnostic
from snncc.frontends import analog_neuron, current_op, rules
from snncc.frontends.adapters import adapter_of
from snncc.frontends.calls import Calls, Methods, classes_stand_in, of_all_steps
from snncc.frontends.neuron_parameters import Calling, NeuronParameters, UnknownNeuronError
from snncc.ir.graph import Source

_STAND_IN = NeuronParameters(tau=2.0)


@dataclass
class Prepared:
    """What was found in a module that is ready to be traced."""

    keeps_state: dict[str, int] = field(default_factory=dict)
    """Neurons that a second call would find where the first has left them: path and identity."""
    findings: list[Diagnostic] = field(default_factory=list)


@contextmanager
def prepared(module: nn.Module) -> Iterator[Prepared]:
    """Put the module into eval mode, neurons into one operator each, and users' hooks aside."""
    modes = [(m, m.training) for m in module.modules()]
    hooks = _Hooks(module)
    replaced: list[tuple[nn.Module, Methods]] = []
    layers: list[Calls] = []
    found = Prepared()
    try:
        module.eval()
        found.findings += hooks.take_off()
        for path, each in module.named_modules(remove_duplicate=False):
            methods = _stand_ins(path, each, found, layers)
            if methods:
                each.__dict__.update(methods)
                replaced.append((each, methods))
        module.register_forward_pre_hook(_starting(layers))
        with classes_stand_in(layers):
            yield found
    finally:
        for each, methods in replaced:
            for name in methods:
                del each.__dict__[name]
        hooks.put_back()
        for each, mode in modes:
            each.training = mode


@contextmanager
def quiet() -> Iterator[None]:
    """Swallow what is printed, logged and warned of; faults are raised all the same.

    A model would print tensors without values, and torch its own insides.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _starting(layers: list[Calls]) -> Callable[..., None]:
    def start(*_: object) -> None:
        for layer in layers:
            layer.start()

    return start


def _stand_ins(
    path: str, module: nn.Module, found: Prepared, layers: list[Calls]
) -> Methods | None:
    """Return what takes the place of a layer's methods, None where nothing does or has already."""
    analog = analog_neuron.is_analog(module)
    read = None if analog else _parameters(path, module, found)
    if "forward" in vars(module):
        return None
    if analog:
        return {"forward": analog_neuron.forward}
    if current_op.is_current(module):
        return current_op.methods(module)
    return _methods(module, *read, layers) if read else None


def _methods(
    module: nn.Module, parameters: NeuronParameters, calling: Calling | None, layers: list[Calls]
) -> Methods:
    if calling is None:
        return of_all_steps(parameters)
    layers.append(Calls(module, parameters, calling))
    return layers[-1].methods()


Read: TypeAlias = tuple[NeuronParameters, Calling | None]


def _parameters(path: str, module: nn.Module, found: Prepared) -> Read | None:
    """Return what a neuron's operator needs; a stand-in where it is refused, to trace on."""
    calling = None
    try:
        adapter = adapter_of(module)
        if adapter is None:
            return None
        calling = adapter.calling(module)
        if adapter.keeps_state:
            found.keeps_state[path] = id(module)
        return adapter.read(module), calling
    except UnknownNeuronError as error:
        message = f"`{path}` ({type(module).__name__}) is a neuron that cannot be read: {error}"
        found.findings.append(rules.UNKNOWN_NEURON.at(Source(path), message, op="neuron"))
        return _STAND_IN, calling


class _Hooks:
    """Hooks that users have put on modules: they watch, and would watch the tracer.

    Those of torch itself, such as ``weight_norm``, take part in the result and stay.
    """

    def __init__(self, module: nn.Module) -> None:
        names = ("_forward_hooks", "_forward_pre_hooks")
        self._tables = [(m, n, dict(getattr(m, n))) for m in module.modules() for n in names]
        self._paths = {id(m): path for path, m in module.named_modules()}

    def take_off(self) -> Iterator[Diagnostic]:
        """Remove the users' hooks, with a note where there were any."""
        for module, name, table in self._tables:
            live = getattr(module, name)
            for key, hook in table.items():
                if not (getattr(hook, "__module__", None) or "").startswith("torch."):
                    del live[key]
                    path = self._paths[id(module)]
                    message = f"a hook on `{path or type(module).__name__}` is left out"
                    yield rules.HOOK_LEFT_OUT.at(Source(path), message)

    def put_back(self) -> None:
        """Restore every hook, in its order."""
        for module, name, table in self._tables:
            live = getattr(module, name)
            live.clear()
            live.update(table)
