"""Exported programs in: the ``.pt2`` files that ``torch.export.save`` writes.

``torch.export.load`` runs what a file says: sample inputs, some weights and all objects that are no
tensors are pickles, sizes are expressions that sympy evaluates as Python, and compiled libraries in
the archive are loaded. None of it is done unless the user trusts the file.
"""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.export import ExportedProgram

from snncc.diagnostics.core import SnnccError
from snncc.frontends import rules
from snncc.frontends.batch_axis import asked_axis, batch_in_front
from snncc.frontends.checkpoint import fault, hold_unpacked, parts_of
from snncc.frontends.model import Model, ReadGraph
from snncc.frontends.prepare import quiet
from snncc.frontends.readers import Asked
from snncc.frontends.rules_of_exchange import UNREADABLE_EXCHANGE
from snncc.frontends.samples import of_samples
from snncc.frontends.source import is_ours
from snncc.frontends.torch_export import BATCH, Imported, import_module, import_program
from snncc.ir.graph import Graph, IRError
from snncc.ir.ops import Input

CALLED = "the exported program"

_LONGEST_REASON = 300
_TOLD_NOWHERE = "Please check the warnings above for possible errors."
"""What torch says of warnings that are not shown."""
_OF_BUGS = (AssertionError, AttributeError, NameError)
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def read_exported(path: Path, asked: Asked) -> Model:
    """Return the model in a ``.pt2`` file. Raises ``SnnccError``."""
    _check_archive(path)
    if not asked.trust_pickle:
        message = f"reading `{path}` runs what stands in it: a `.pt2` file holds pickles"
        hint = "`--trust-pickle`, if you know who made the file; or export to ONNX"
        raise fault(rules.PICKLED_CODE, path, message, hint)
    program = _loaded(path)
    try:
        imported = _imported(path, program, asked)
    except SnnccError:
        raise
    except Exception as error:
        if _is_our_bug(error):
            raise
        raise _unreadable(path, error) from error
    found = batch_in_front(imported.graph) if _axis(path, asked) else imported.graph
    shape = cast(Input, found.of_kind("input")[0]).shape
    graph, refused = _of_several(found, shape[0])
    origin = ReadGraph(graph, CALLED, found, refused)
    return Model(origin, shape[1:], path.stem, notes=imported.diagnostics)


def _axis(path: Path, asked: Asked) -> int:
    """Return where the program's input has its batch."""
    return asked_axis(asked.settings, path.as_posix()) or 0


def _of_several(graph: Graph, samples: int) -> tuple[Graph, str]:
    """Return the graph of a program that was exported with one sample as that of several.

    Where it means nothing for more than one it stays as it is, and the reason is returned too.
    """
    if samples != 1 or graph.of_kind("foreign"):
        return graph, ""
    try:
        return of_samples(graph, BATCH), ""
    except IRError as error:
        reason = f"the program was exported with one sample, and for more it means nothing: {error}"
        return graph, f"{reason}; if it should, export it with an example of {BATCH} samples"


def _check_archive(path: Path) -> None:
    """Raise ``SnnccError`` for what is no archive, or one of absurd size; nothing in it is run."""
    if not parts_of(path):
        message = f"`{path}` is no exported program, or it ends too early"
        raise fault(UNREADABLE_EXCHANGE, path, message)
    hold_unpacked(path)


def _loaded(path: Path) -> ExportedProgram:
    """Return the program of a trusted file; torch knows our own operators by now."""
    try:
        with _told_nothing(), quiet():
            return torch.export.load(path)
    except Exception as error:
        raise _unreadable(path, error) from error


def _is_our_bug(error: Exception) -> bool:
    """Whether no program is to blame: our own code asked for what is not there, or denied itself.

    torch raises the same of damaged programs, in its own code.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return isinstance(error, _OF_BUGS) and is_ours(frame.f_code.co_filename)


def _unreadable(path: Path, error: Exception) -> SnnccError:
    kind, (reason, *_) = type(error).__name__, str(error).strip().splitlines() or [""]
    reason = reason.replace(_TOLD_NOWHERE, "").strip()
    if " " not in reason:  # a lost key says no more than its name
        reason = f"{kind}: {reason}" if reason else kind
    message = f"`{path}` cannot be read as an exported program: {reason[:_LONGEST_REASON]}"
    return fault(UNREADABLE_EXCHANGE, path, message)


def _imported(path: Path, program: ExportedProgram, asked: Asked) -> Imported:
    """Return the program as a graph, for the batch that it was made for or, where open, for two."""
    sizes, axis = _input_sizes(path, program), _axis(path, asked)
    sizes = (sizes[axis], *sizes[:axis], *sizes[axis + 1 :])
    _check_asked(path, sizes, asked)
    if all(isinstance(n, int) for n in sizes):
        return import_program(program)
    example = _example(path, sizes, asked).movedim(0, axis)
    return import_module(_module_of(program), example, batch_axis=axis)


@contextmanager
def _told_nothing() -> Iterator[None]:
    """Keep torch's own warnings about its files from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _input_sizes(path: Path, program: ExportedProgram) -> tuple[Any, ...]:
    """Return the sizes of the input, integers or symbols."""
    named = set(program.graph_signature.user_inputs)
    inputs = [
        node.meta["val"] for node in program.graph.nodes
        if node.op == "placeholder" and node.name in named and node.users
    ]  # fmt: skip
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor) or inputs[0].ndim < 2:
        message = f"the program takes {len(inputs)} inputs, a network takes one batch"
        raise fault(rules.UNSUPPORTED_OP, path, message)
    if inputs[0].dtype not in _FLOATS:
        raise fault(rules.UNSUPPORTED_OP, path, f"its input holds {inputs[0].dtype}, wanted floats")
    return tuple(inputs[0].shape)


def _check_asked(path: Path, sizes: tuple[Any, ...], asked: Asked) -> None:
    """Raise ``SnnccError`` where ``--input-shape`` is not what the program says."""
    own = [n if isinstance(n, int) else None for n in sizes[1:]]
    if asked.shape is None:
        return
    known = len(own) == len(asked.shape)
    if not known or any(n not in (None, m) for n, m in zip(own, asked.shape, strict=True)):
        text = "x".join("?" if n is None else str(n) for n in own)
        message = f"--input-shape says {'x'.join(map(str, asked.shape))}, the program has {text}"
        raise fault(rules.UNKNOWN_INPUT, path, message)


def _module_of(program: ExportedProgram) -> nn.Module:
    """Return the program as a module that can be put into the mode that it always is in."""
    module = program.module()
    module.__dict__["eval"] = lambda: module
    return module


def _example(path: Path, sizes: tuple[Any, ...], asked: Asked) -> torch.Tensor:
    """Return a batch, in front, for a program of open sizes; the user says all but the first."""
    if asked.shape is not None:
        return torch.zeros(BATCH, *asked.shape)
    if not all(isinstance(n, int) for n in sizes[1:]):
        message = f"nothing says how large the input is: the program has {sizes}"
        raise fault(rules.UNKNOWN_INPUT, path, message, "give `--input-shape`")
    return torch.zeros(BATCH, *sizes[1:])
