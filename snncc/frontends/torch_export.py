"""From any ``nn.Module`` to a tensor graph, by ``torch.export``.

Non-strict export runs the module's own Python on tensors without values, so that official models
with their unpacked shapes, branches and in-place writes are taken as they are. Each node that it
records becomes ops of the IR, by the table in ``aten``.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from snncc.diagnostics.core import Diagnostic, Severity, SnnccError
from snncc.frontends import rules
from snncc.frontends.aten import CONVERTERS, by_result
from snncc.frontends.aten_views import FILLED
from snncc.frontends.build import Builder, Dynamic, Static, Value
from snncc.frontends.prepare import Prepared, prepared, quiet
from snncc.frontends.source import innermost, source_of
from snncc.ir import ops
from snncc.ir.graph import Graph, IRError, Source, without_dead

BATCH = 2
"""Samples in a trace: one would look like any other axis of one place."""

_CHECKS = ("aten._assert_tensor_metadata", "aten._assert_async", "aten._assert_scalar")
"""Operators without a result: torch's own checks."""

_OF_NEURONS = ("snncc.neuron", "snncc.analog_neuron")
"""Operators of a whole layer of neurons, so that their op takes its name."""

_DROPPING = ("dropout", "scaled_dot_product_attention", "rrelu")
"""Operators that draw random numbers in training alone."""

_WRITTEN_OUT = (
    "concat", "concatenate", "divide", "einsum", "inner", "multiply", "negative", "outer",
    "subtract", "tensordot", "tile", "true_divide", "type_as",
)  # fmt: skip
"""Operators that are second names of others, or made of others that are in the table."""

_HOLDERS = {"torch.nn.modules.module", "torch.nn.modules.container"}
"""Where torch's modules that only hold others are from."""

_REFUSED = object()
"""Stands for a value that cannot be: what is made of it is not named again."""


@dataclass(frozen=True)
class Imported:
    """A traced network, and the notes made on the way."""

    graph: Graph
    diagnostics: tuple[Diagnostic, ...] = ()


def trace(module: nn.Module, example: Tensor | Sequence[Tensor], *, batch_axis: int = 0) -> Graph:
    """Return the module as a graph on the tensor level, traced with two samples.

    The module is left as it was. Raises ``SnnccError`` with every reason why it cannot be done.
    """
    return import_module(module, example, batch_axis=batch_axis).graph


def import_module(
    module: nn.Module, example: Tensor | Sequence[Tensor], *, batch_axis: int = 0
) -> Imported:
    """Return the module as a graph on the tensor level, and what is to be noted about it."""
    examples = (example,) if isinstance(example, Tensor) else tuple(example)
    with prepared(module) as found:
        program = _export(module, tuple(with_batch(x, batch_axis) for x in examples), found)
        conversion = _Conversion(program, layers(module))
        with torch.no_grad():
            conversion.run()
    findings = (*found.findings, *_called_twice(conversion, found), *conversion.findings)
    return _imported(conversion, findings)


def import_program(program: torch.export.ExportedProgram) -> Imported:
    """Return an exported program as a graph on the tensor level, for the batch it was made for."""
    with torch.no_grad(), quiet():
        program = program.run_decompositions(_decompositions())
        program.graph.eliminate_dead_code()
        conversion = _Conversion(program, frozenset())
        conversion.run()
    return _imported(conversion, tuple(conversion.findings))


def _imported(conversion: _Conversion, findings: tuple[Diagnostic, ...]) -> Imported:
    """Return what was made of a program. Raises ``SnnccError`` with every error."""
    if any(d.severity is Severity.ERROR for d in findings):
        raise SnnccError(*(d for d in findings if d.severity is Severity.ERROR))
    build = conversion.build
    return Imported(without_dead(Graph(tuple(build.ops), build.weights)), findings)


def with_batch(x: Tensor, axis: int = 0) -> Tensor:
    """Return the example with as many samples as a trace has."""
    return x.narrow(axis, 0, 1).repeat_interleave(BATCH, axis)


def _export(
    module: nn.Module, examples: tuple[Tensor, ...], found: Prepared
) -> torch.export.ExportedProgram:
    try:
        with torch.no_grad(), quiet():
            program = torch.export.export(module, examples, strict=False)
            program = program.run_decompositions(_decompositions())
    except Exception as error:
        fault = _export_fault(module, error, examples)
        errors = [d for d in found.findings if d.severity is Severity.ERROR]
        # What stands in for a neuron that cannot be read need not fit where the neuron would.
        raise SnnccError(*(errors or [fault])) from error
    program.graph.eliminate_dead_code()
    return program


@cache
def _decompositions() -> dict[Any, Any]:
    """Return how torch writes out what the table of operators leaves to it."""
    known = torch.export.default_decompositions()
    packets = [getattr(torch.ops.aten, name) for name in _WRITTEN_OUT]
    overloads = [getattr(packet, each) for packet in packets for each in packet.overloads()]
    return {each: known[each] for each in overloads if each in known}


def _export_fault(module: nn.Module, error: Exception, examples: tuple[Tensor, ...]) -> Diagnostic:
    frames = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    source = Source(_failing_module(module, error), *innermost(frames))
    if "DataDependent" in type(error).__name__ or "data-dependent" in str(error).lower():
        message = "what the code does here depends on values that the network computes"
        return rules.DATA_DEPENDENT.at(source, message)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    shapes = ", ".join(str(tuple(each.shape)) for each in examples)
    hint = f"if a shape is wrong: the input was {shapes}, a batch of {BATCH} samples"
    return rules.UNTRACEABLE.at(source, f"the network cannot be traced: {reason}", hint=hint)


def _failing_module(module: nn.Module, error: Exception) -> str:
    """Return the path of the innermost module whose ``forward`` was running."""
    paths = {id(each): path for path, each in module.named_modules()}
    running = (f.f_locals.get("self") for f, _ in traceback.walk_tb(error.__traceback__))
    known = [paths[id(each)] for each in running if id(each) in paths]
    return known[-1] if known else ""


def _called_twice(conversion: _Conversion, found: Prepared) -> list[Diagnostic]:
    calls: dict[int, list[Source]] = {}
    for op in conversion.build.ops:
        if op.kind == "neuron" and op.source.module in found.keeps_state:
            calls.setdefault(found.keeps_state[op.source.module], []).append(op.source)
    return [
        rules.NEURON_CALLED_TWICE.at(
            second,
            f"`{first.module}` is called {2 + len(more)} times and keeps its state between",
            op="neuron",
        )
        for first, second, *more in (sources for sources in calls.values() if len(sources) > 1)
    ]


class _Conversion:
    """Goes through an exported program in order; ``build`` holds the ops made so far."""

    def __init__(self, program: torch.export.ExportedProgram, layers: frozenset[str]) -> None:
        self.build = Builder()
        self.findings: list[Diagnostic] = []
        self._program = program
        self._layers = layers
        self._values: dict[Node, Any] = {}

    def run(self) -> None:
        """Convert every node."""
        for node in self._program.graph.nodes:
            source = _source(node)
            owner = source.module in self._layers or operator_name(node.target) in _OF_NEURONS
            self.build.at(source, owner=owner)
            if node.op == "placeholder":
                self._values[node] = self._placeholder(node)
            elif node.op == "call_function":
                self._values[node] = self._call(node)
            elif node.op == "output":
                self._output(node)
            else:
                self._refuse(node, f"a node `{node.op}` has no meaning here")

    def _placeholder(self, node: Node) -> Any:
        signature = self._program.graph_signature
        stored = (
            {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
            | signature.inputs_to_lifted_tensor_constants
        ).get(node.name)
        if stored is None:
            return self._input(node)
        tensors = {**self._program.constants, **self._program.state_dict}
        lifted = stored in signature.inputs_to_lifted_tensor_constants.values()
        return Static(tensors[stored].detach(), "" if lifted else stored)

    def _input(self, node: Node) -> Any:
        shape = _shape(node.meta.get("val"))
        if shape is None or not node.users:
            return None
        if any(op.kind == "input" for op in self.build.ops):
            self._refuse(node, f"`{node.name}` is a second input; a network takes one tensor")
        name = self.build.unique("input")
        self.build.ops.append(ops.Input(name=name, shape=shape))
        return Dynamic(name, shape)

    def _call(self, node: Node) -> Any:
        target = by_result(operator_name(node.target), node.meta.get("val"))
        if target == "_operator.getitem":
            made, index = self._values[node.args[0]], node.args[1]  # type: ignore[index]
            if made is _REFUSED:
                return made
            return made(index) if callable(made) else made[index]
        if target in _CHECKS:
            return None
        arguments = self._arguments(node)
        if any(leaf is _REFUSED for leaf in _leaves(arguments)):
            return _REFUSED
        if _is_random(node.target):
            self._refuse(node, f"`{target}` gives random numbers")
        if _all_static(arguments) and not _is_filled(node):
            return self._evaluated(node)
        if not _is_fixed(node.meta.get("val")):
            message = f"the result of `{target}` depends on values that the network computes"
            self.findings.append(rules.DATA_DEPENDENT.at(_source(node), message, op=target))
            return _REFUSED
        shape = _shape(node.meta.get("val"))
        try:
            converter = CONVERTERS.get(target)
            made = converter(self.build, arguments, shape or ()) if converter else NotImplemented
        except IRError as error:
            self._refuse(node, f"`{target}` cannot be represented: {error}")
            made = NotImplemented
        return self._foreign(node, target, arguments) if made is NotImplemented else made

    def _arguments(self, node: Node) -> dict[str, Any]:
        """Return the arguments by name, values in place of nodes, defaults filled in."""
        bound: dict[str, Any] = {}
        schema = getattr(node.target, "_schema", None)
        for i, formal in enumerate(schema.arguments if schema else ()):
            given = node.args[i] if i < len(node.args) else node.kwargs.get(formal.name)
            missing = i >= len(node.args) and formal.name not in node.kwargs
            bound[formal.name] = formal.default_value if missing else self._valued(given)
        if schema is None:
            bound = {str(i): self._valued(a) for i, a in enumerate(node.args)}
        return bound

    def _valued(self, given: Any) -> Any:
        if isinstance(given, Node):
            return self._values[given]
        if isinstance(given, list | tuple):
            return [self._valued(each) for each in given]
        return given

    def _evaluated(self, node: Node) -> Any:
        """Compute what depends on no input, once and for all; in float64 if it is arithmetic."""
        tensor = self._tensor if _is_view(node.target) else self._exact
        given = [tensor(each) for each in node.all_input_nodes]
        shapes_alone = any(isinstance(each, Tensor) and each.is_meta for each in given)

        def read(each: Node) -> Any:
            value = tensor(each)
            return value.to("meta") if shapes_alone and isinstance(value, Tensor) else value

        args, kwargs = torch.fx.map_arg((node.args, node.kwargs), read)
        made = node.target(*args, **kwargs)  # type: ignore[operator]
        if isinstance(made, Tensor):
            return Static(made)
        return [Static(m) if isinstance(m, Tensor) else m for m in made]

    def _tensor(self, node: Node) -> Any:
        value = self._values[node]
        return value.tensor if isinstance(value, Static) else value

    def _exact(self, node: Node) -> Any:
        value = self._tensor(node)
        floating = isinstance(value, Tensor) and value.is_floating_point()
        return value.double() if floating else value

    def _foreign(self, node: Node, target: str, arguments: Mapping[str, Any]) -> Any:
        """Keep the shape of what has no meaning here, so that the rest can be looked at."""
        inputs = [v for v in _leaves(arguments) if isinstance(v, Dynamic)]
        made = node.meta.get("val")

        def one(result: object, name: str) -> Value:
            return self.build.emit(ops.Foreign, *inputs, target=name, shape=_shape(result) or ())

        if isinstance(made, list | tuple):
            return lambda index: one(made[index], f"{target}[{index}]")
        return one(made, target)

    def _output(self, node: Node) -> None:
        kinds = torch.export.graph_signature.OutputKind
        specs = self._program.graph_signature.output_specs
        results = []
        for value, spec in zip(node.args[0], specs, strict=True):  # type: ignore[arg-type]
            if spec.kind is kinds.USER_OUTPUT:
                results.append(self._valued(value))
            elif spec.kind is kinds.BUFFER_MUTATION:
                message = f"the buffer `{spec.target}` is written to; what it then holds is lost"
                path = str(spec.target).rpartition(".")[0]
                self.findings.append(rules.STATE_LEFT_OUT.at(Source(path), message))
        tensors = [r for r in results if isinstance(r, Static | Dynamic)]
        if tensors:
            self._answer(tensors)
        elif _REFUSED not in results:
            self._refuse(node, "the network returns no tensor")

    def _answer(self, tensors: list[Value]) -> None:
        if len(tensors) > 1:
            message = f"{len(tensors)} tensors are returned; all but the first are left out"
            self.findings.append(rules.OUTPUT_LEFT_OUT.at(Source(), message))
        answer = self.build.dynamic(tensors[0])
        name = self.build.unique("output")
        self.build.ops.append(ops.Output(name=name, inputs=(answer.name,)))

    def _refuse(self, node: Node, message: str) -> None:
        kind = operator_name(node.target)
        self.findings.append(rules.UNSUPPORTED_OP.at(_source(node), message, op=kind))


def operator_name(target: object) -> str:
    """Return namespace and name of what a node calls, without the overload: ``aten.add``."""
    schema = getattr(target, "_schema", None)
    if schema is not None:
        return str(schema.name).replace("::", ".")
    module = getattr(target, "__module__", "")
    return f"{module}.{getattr(target, '__name__', target)}".lstrip(".")


def _is_random(target: object) -> bool:
    """Whether an operator gives other numbers each time; dropout that is off does not."""
    random = torch.Tag.nondeterministic_seeded in getattr(target, "tags", ())
    return random and not operator_name(target).endswith(_DROPPING)


def _is_view(target: object) -> bool:
    """Whether an operator shows the numbers that it is given."""
    schema = getattr(target, "_schema", None)
    return schema is None or any(each.alias_info for each in schema.returns)


def _source(node: Node) -> Source:
    return source_of(node.meta)


def layers(module: nn.Module) -> frozenset[str]:
    """Return the paths of modules that do one thing, so that their op takes their name.

    That is torch's own layers and what inherits from them.
    """
    every = module.named_modules(remove_duplicate=False)
    return frozenset(path for path, each in every if _is_layer(type(each)))


def _is_layer(cls: type[nn.Module]) -> bool:
    places = {base.__module__ for base in cls.__mro__} - _HOLDERS
    return any(place.startswith("torch.nn.modules.") for place in places)


def _shape(value: object) -> tuple[int, ...] | None:
    """Return the shape of a tensor, ``None`` if it is none or if sizes depend on data."""
    if not isinstance(value, Tensor) or not all(isinstance(n, int) for n in value.shape):
        return None
    return tuple(value.shape)


def _is_fixed(result: object) -> bool:
    """Whether a node gives tensors whose sizes are known."""
    results = result if isinstance(result, list | tuple) else [result]
    return all(r is None or _shape(r) is not None for r in results)


def _all_static(arguments: Mapping[str, Any]) -> bool:
    return not any(isinstance(v, Dynamic) or callable(v) for v in _leaves(arguments))


def _is_filled(node: Node) -> bool:
    """Whether a node makes a tensor of floats that are all the same."""
    made = node.meta.get("val")
    floating = isinstance(made, Tensor) and made.is_floating_point()
    return floating and operator_name(node.target) in FILLED


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in _leaves(each)]
    return [value]
