"""Lava 0.10.0 on CPython 3.10 to 3.13, with runs that end: imported before anything of Lava.

Nothing on disk is changed. What is worked around:

1. a dataclass of Lava has unhashable defaults, which CPython >= 3.11 refuses;
2. Lava sets the start method of ``multiprocessing`` at import, without looking;
3. ``ReshapePort`` calls ``numpy.reshape(newshape=)``, which numpy 2.4 no longer has;
4. a process model that raises leaves its neighbours waiting for ever, without a message, and a
   program that is killed leaves its children behind;
5. every process adds a handler to the root logger and stays in a global list for good;
6. the stock convolution keeps its geometry in int8, which numpy 2 refuses to meet 128 channels;
7. lava-dl's netx imports OpenCV and torchvision for a part that it never uses.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import multiprocessing
import os
import queue
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from logging import getLogger
from multiprocessing.queues import Queue
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from snncc.backends.lava.rules import (
    INSTALL,
    INSTALL_DL,
    LAVA_DL_MISSING,
    LAVA_MISSING,
    LAVA_START_METHOD,
    LAVA_TIMEOUT,
    LAVA_WRONG_VERSION,
    TOO_FEW_DESCRIPTORS,
    VERSION,
)
from snncc.diagnostics.core import Rule, SnnccError
from snncc.ir.graph import Source

_VAR_MODEL = "lava.magma.compiler.var_model"
_MP = "lava.magma.runtime.message_infrastructure.multiprocessing"
_PORTS = "lava.magma.core.process.ports.ports"
_PROCESS = "lava.magma.core.process.process"
_RUNTIME = "lava.magma.runtime.runtime"
_UNUSED_BY_NETX = "lava.lib.dl.slayer.object_detection"
_PR_SET_PDEATHSIG = 1
_BLAS_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)

POLL_SECONDS = 0.001
CHANNEL_SLOTS = 4
"""Messages that a channel can hold; Lava's default of 64 costs memory and is no faster."""


class LavaRunError(RuntimeError):
    """A Lava process failed. The message is the traceback of that process."""


def installed_version() -> str | None:
    """Return the release of lava-nc that is installed, None where there is none."""
    try:
        return importlib.metadata.version("lava-nc")
    except importlib.metadata.PackageNotFoundError:
        return None


def enable() -> None:
    """Import Lava's incompatible modules under the workarounds; a second call does nothing.

    Raises ``SnnccError`` where Lava is missing, of another release, or cannot fork.
    """
    found = installed_version()
    if found is None:
        raise _error(LAVA_MISSING, "lava-nc is not installed", f"install it: {INSTALL}")
    if found != VERSION:
        message = f"lava-nc {found} is installed, wanted {VERSION}"
        raise _error(LAVA_WRONG_VERSION, message, f"install it: {INSTALL}")
    try:
        _import_patched()
    except ImportError as error:
        hint = "lava-nc needs numpy, scipy, networkx and asteval"
        raise _error(LAVA_MISSING, f"lava-nc cannot be imported: {error}", hint) from None


def enable_netx() -> None:
    """Let lava-dl's ``netx`` be imported, with neither OpenCV nor torchvision.

    Raises ``SnnccError`` where Lava or lava-dl is missing.
    """
    enable()
    if importlib.util.find_spec("lava.lib.dl") is None:
        raise _error(LAVA_DL_MISSING, "lava-dl is not installed", f"install it: {INSTALL_DL}")
    sys.modules.setdefault(_UNUSED_BY_NETX, ModuleType(_UNUSED_BY_NETX))


def _error(rule: Rule, message: str, hint: str) -> SnnccError:
    return SnnccError(rule.at(Source(), message, hint=hint))


def _import_patched() -> None:
    if sys.version_info >= (3, 11) and _VAR_MODEL not in sys.modules:
        with _patched(dataclasses, "dataclass", _dataclass_with_hash):
            importlib.import_module(_VAR_MODEL)
    if _MP not in sys.modules:
        with _patched(multiprocessing, "set_start_method", _tolerant_start_method):
            importlib.import_module(_MP)
    port = importlib.import_module(_PORTS).ReshapePort
    port.get_transform_func_fwd = lambda p: functools.partial(_reshape, shape=p.shape)
    port.get_transform_func_bwd = lambda p: functools.partial(_reshape, shape=p.old_shape)
    infrastructure: Any = sys.modules[_MP]
    infrastructure.SystemProcess.run = _run_child
    infrastructure.SharedMemoryManager.start = _start_memory


def widen_convolution(model: Any) -> Any:
    """Return the stock model of ``Conv`` with its geometry, not its arithmetic, in 32 bits."""
    for name in ("kernel_size", "stride", "padding", "dilation", "groups"):
        declared = getattr(model, name)
        setattr(model, name, dataclasses.replace(declared, d_type=np.int32))
    return model


class _Numbers:
    """The fields of an input layer in a netx file, with arrays of one number as that number.

    lava-dl makes a number of them by ``int``, which newer numpy does for numbers alone.
    """

    def __init__(self, fields: Any) -> None:
        self._fields = fields

    def keys(self) -> Any:
        return self._fields.keys()

    def __getitem__(self, key: str) -> Any:
        value = self._fields[key]
        one = key in ("weight", "bias") and value.size == 1
        return value.reshape(()) if one else value


def read_inputs_of_one_number(network: Any) -> None:
    """Let lava-dl's ``Network`` read inputs whose weight and bias are arrays of one number."""
    create = network.create_input
    if not hasattr(create, "__wrapped__"):

        @functools.wraps(create)
        def wrapped(fields: Any, *args: Any, **options: Any) -> Any:
            return create(_Numbers(fields), *args, **options)

        network.create_input = staticmethod(wrapped)


@contextlib.contextmanager
def _patched(module: ModuleType, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, make(original))
    try:
        yield
    finally:
        setattr(module, name, original)


def _dataclass_with_hash(original: Any) -> Any:
    def dataclass(cls: Any = None, /, **options: Any) -> Any:
        def wrap(c: Any) -> Any:
            if (c.__module__, c.__name__) == (_VAR_MODEL, "ByteEncoder"):
                options.setdefault("unsafe_hash", True)
            return original(c, **options)

        return wrap if cls is None else wrap(cls)

    return dataclass


def _tolerant_start_method(original: Any) -> Any:
    def set_start_method(method: str, force: bool = False) -> None:
        current = multiprocessing.get_start_method(allow_none=True)
        if current is None or force:
            original(method, force=force)
        elif current != method:
            message = f"the program starts processes by {current!r}, Lava needs {method!r}"
            raise _error(LAVA_START_METHOD, message, "run Lava in a program of its own")

    return set_start_method


def _reshape(data: Any, shape: tuple[int, ...]) -> Any:
    return data.reshape(shape)


def _die_with_parent(parent: int) -> None:
    """Have the kernel end this child when its parent ends; leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _compute_alone() -> None:
    """Have numpy's OpenBLAS use one thread: idle ones of many processes spin, ten times slower."""
    with contextlib.suppress(OSError):
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        for path in sorted(set(re.findall(r"/\S*openblas\S*", maps))):
            library = ctypes.CDLL(path)
            for name in _BLAS_SETTERS:
                if hasattr(library, name):
                    getattr(library, name)(1)


def _run_child(self: Any) -> None:
    """Run a Lava process; send home the traceback as text, which can always be pickled."""
    _die_with_parent(self._parent_pid)
    _compute_alone()
    try:
        multiprocessing.Process.run(self)
        self._cconn.send(None)
    except Exception as error:  # noqa: BLE001 - whatever it was, the parent tells it
        self._cconn.send((RuntimeError(str(error)), traceback.format_exc()))


def _start_memory(self: Any) -> None:
    self._manager.start(_die_with_parent, (os.getpid(),))


class _StartQueue(Queue):  # type: ignore[type-arg]
    """Tells whether a Lava process was built; waits no longer than there is hope."""

    def __init__(self, runtime: Callable[[], Any], deadline: float) -> None:
        super().__init__(ctx=multiprocessing.get_context("fork"))
        self._runtime, self._deadline = runtime, deadline

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return None once the process is built. Raises ``LavaRunError`` with its traceback."""
        while True:
            with contextlib.suppress(queue.Empty):
                error = super().get(block, timeout or 0.2)
                if error is None:
                    return None
                raise LavaRunError(f"a Lava process failed:\n{error.trace}")
            _check(self._runtime(), self._deadline)


def require_descriptors(processes: int) -> None:
    """Raise the limit of file descriptors for a network of this many Lava processes.

    Raises ``SnnccError`` where the hard limit is too low.
    """
    resource: Any = importlib.import_module("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16 * processes + 256
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard not in (resource.RLIM_INFINITY, -1) and hard < wanted:
        message = f"{processes} Lava processes need {wanted} file descriptors, the limit is {hard}"
        raise _error(
            TOO_FEW_DESCRIPTORS, message, "use the granularity `stage`, or raise the limit"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Forget, at the end, the processes made inside and the log handlers that they added."""
    root, server = getLogger(), importlib.import_module(_PROCESS).ProcessServer()
    handlers, known = root.handlers[:], len(server.processes)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        del server.processes[known:]


def run_guarded(process: Any, steps: int, run_cfg: Any, *, timeout: float) -> None:
    """Run the network that ``process`` belongs to for ``steps`` steps, and end it.

    Raises ``LavaRunError`` with the traceback of a process that failed, ``SnnccError`` after
    ``timeout`` seconds. However it ends, no child is left.
    """
    conditions = importlib.import_module("lava.magma.core.run_conditions")
    deadline = time.monotonic() + timeout
    start_queue = functools.partial(_StartQueue, lambda: process.runtime, deadline)
    try:
        with (
            warnings.catch_warnings(),
            _patched(importlib.import_module(_RUNTIME), "Queue", lambda _: start_queue),
        ):
            warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork")
            process.run(
                condition=conditions.RunSteps(steps, blocking=False),
                run_cfg=run_cfg,
                compile_config={"pypy_channel_size": CHANNEL_SLOTS},
            )
        while not all(port.probe() for port in process.runtime.service_to_runtime):
            _check(process.runtime, deadline)
            time.sleep(POLL_SECONDS)
        _check(process.runtime, deadline)
    finally:
        _end(process.runtime)


def _check(runtime: Any, deadline: float) -> None:
    """Raise if a process of the network has failed or the time is over."""
    for actor in runtime._messaging_infrastructure.actors:  # noqa: SLF001 - Lava has no other way
        alive = actor.is_alive()
        if actor.exception:
            raise LavaRunError(f"a Lava process failed:\n{actor.exception[1]}")
        if not alive:
            raise LavaRunError(f"a Lava process ended with exit code {actor.exitcode}")
    if time.monotonic() > deadline:
        hint = "allow more time, or give fewer samples"
        raise _error(LAVA_TIMEOUT, "no answer from Lava in the time allowed", hint)


def _end(runtime: Any) -> None:
    """End all children of a run and free what it holds; results are in shared memory."""
    infrastructure = getattr(runtime, "_messaging_infrastructure", None)
    if infrastructure is None:
        return
    for actor in infrastructure.actors:
        actor.kill()
    for actor in infrastructure.actors:
        actor.join()
    runtime.join()
    runtime._is_started = runtime._is_running = False  # noqa: SLF001 - else its destructor waits
    infrastructure.smm.shutdown()
