"""Goes through an ONNX graph in order and makes ops of it, with the table of torch's operators.

Each ONNX operator is written as one or a few operators of torch (``operators``, ``views``). Torch
itself, run on tensors without values, tells the shape of a result; what depends on no input is
computed once, in float64; all else becomes ops by the same functions as in a traced program.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

import torch
from torch import Tensor

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.frontends import rules
from snncc.frontends.aten import CONVERTERS
from snncc.frontends.build import Builder, Dynamic, Static, Value
from snncc.frontends.onnx import limits
from snncc.frontends.onnx.batches import ShapesDisagreeError, ratios_of
from snncc.frontends.onnx.proto import Node, Place, read_in_bodies, short
from snncc.frontends.onnx.scopes import Scopes
from snncc.frontends.onnx.tensors import shown_once
from snncc.ir import ops
from snncc.ir.graph import Graph, IRError, Shape, Source, without_dead

Made: TypeAlias = "Value | list[Value] | None"

_FAULTS = (
    RuntimeError, ValueError, IndexError, TypeError, ArithmeticError, AssertionError, StopIteration,
)  # fmt: skip
"""What torch and the converters raise where arguments do not meet."""


class Importer:
    """The graph under way. ``values`` holds what each name stands for.

    ``uses`` says how often a value is read; ``stated`` are the shapes that reshapes, in order, find
    and want. ``before`` is the same file read for one sample, where it is of one and is read for
    two.
    """

    def __init__(
        self, place: Place, nodes: Iterable[Node], ends: Iterable[str], scopes: Scopes,
        before: Importer | None = None,
    ) -> None:  # fmt: skip
        self.place = place
        self.nodes = tuple(nodes)
        self.scopes = scopes
        self.build: Builder = Builder(arrays=before.build.arrays if before else {})
        self.findings: list[Diagnostic] = []
        self.values: dict[str, Value | None] = {"": None}
        self.before = before
        self.node = Node("", "", "", (), ())
        self.stated: list[tuple[Shape, list[int]]] = []
        self.uses = Counter(ends)
        self.uses.update(name for node in self.nodes for name in node.inputs)
        self.uses.update(read_in_bodies(self.nodes))
        self._made_later = {name for node in self.nodes for name in node.outputs if name}
        self._answered: dict[Hashable, Any] = {}
        self._computed = 0
        self._converted = 0

    def run(self, converters: Mapping[str, Any], nodes: Iterable[Node] | None = None) -> None:
        """Convert every node, by the operator's name. Raises ``SnnccError``."""
        for node in self.nodes if nodes is None else nodes:
            self.node = node
            self._converted += 1
            if self._converted > limits.MOST_NODES:
                message = f"runs more than {limits.MOST_NODES:,} nodes"
                raise self.place.too_large(message, node=node.called)
            self.build.at(self.scopes.source(node), owner=True)
            for name, value in zip(node.outputs, self._results(node, converters), strict=False):
                if name and name in self.values:
                    raise self.fault_of_file(f"`{short(name)}` is made twice")
                self.values[name] = value
            self.values[""] = None

    def _results(self, node: Node, converters: Mapping[str, Any]) -> list[Value | None]:
        convert = converters.get(node.operator) if not node.domain else None
        if convert is None:
            self.refuse(f"the operator `{self.operator}` has no meaning here")
        read = [self.value(name) for name in node.inputs]
        try:
            made: Made = convert(self, node, read)
        except IRError as error:
            self.refuse(f"the operator `{self.operator}` cannot be represented: {error}")
        except (KeyError, AttributeError) as error:
            reason = f"the operator `{self.operator}` lacks an input or an attribute: {error}"
            raise self.fault_of_file(reason) from error
        except _FAULTS as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            fault = self.fault_of_file(f"the operator `{self.operator}` fails: {reason}")
            ratios = ratios_of(node.operator, read)
            raise ShapesDisagreeError(fault.diagnostics[0], ratios) from error
        return list(made) if isinstance(made, list) else [made]

    @property
    def operator(self) -> str:
        """The name of the node's operator with its domain."""
        return short(f"{self.node.domain}.{self.node.operator}".lstrip("."))

    def value(self, name: str) -> Value | None:
        """Return what a name stands for. Raises ``SnnccError`` for a value that is not made yet."""
        if name in self.values:
            return self.values[name]
        if name in self._made_later:
            reason = "is made by a later node: the graph has a cycle or is not sorted"
        else:
            reason = "is made by no node"
        what = "it reads" if self.node.operator else "the graph answers with"
        raise self.fault_of_file(f"{what} `{short(name)}`, which {reason}")

    def refuse(self, message: str, hint: str = "") -> NoReturn:
        """Raise ``SnnccError`` for a node that is in order and cannot be represented."""
        source = self.scopes.source(self.node)
        if not source.file:
            source = Source(source.module, self.place.path.as_posix())
        raise SnnccError(
            rules.UNSUPPORTED_OP.at(
                source, f"{self.node.in_words}: {message}",
                hint=hint, op=self.operator,
            )
        )  # fmt: skip

    def fault_of_file(self, reason: str) -> SnnccError:
        """Return the error of a node that means nothing, or of a graph whose answer does not."""
        if not self.node.operator:
            return self.place.damaged(reason)
        return self.place.damaged(f"{self.node.in_words}: {reason}", node=self.node.called)

    def aten(self, name: str, *given: Any, **named: Any) -> Any:
        """Apply an operator of torch, ``add.Tensor`` say, to values and numbers."""
        packet, _, overload = name.partition(".")
        operator = getattr(getattr(torch.ops.aten, packet), overload or "default")
        arguments = _bound(operator, given, named)
        shapes = self._shapes(operator, arguments)
        leaves = list(_leaves(arguments.values()))
        if not any(isinstance(each, Dynamic) for each in leaves):
            return self._evaluated(operator, arguments, shapes)
        self._hold_size(shapes)
        convert = CONVERTERS.get(f"aten.{packet}")
        out = shapes[0] if isinstance(shapes, list) else shapes
        made = convert(self.build, arguments, out) if convert else NotImplemented
        return self.foreign(f"aten.{packet}", leaves, out) if made is NotImplemented else made

    def foreign(self, target: str, inputs: Iterable[Any], shape: Shape) -> Value:
        """Keep the shape of what has no meaning here, so that the rest can be looked at."""
        read = [each for each in inputs if isinstance(each, Dynamic)]
        return self.build.emit(ops.Foreign, *read, target=target, shape=shape)

    def ints(self, value: Value | None, what: str) -> list[int]:
        """Return the numbers of a value that has to be known before the network runs."""
        if not isinstance(value, Static):
            self.refuse(f"its {what} depends on values that the network computes")
        if value.tensor.numel() > limits.MOST_NODES:
            raise self.place.too_large(f"gives {value.tensor.numel():,} numbers for a {what}")
        return [int(n) for n in value.tensor.reshape(-1).tolist()]

    def shape_as_stated(self, x: Value, wanted: list[int]) -> Shape:
        """Return the shape that ``x`` has where a reshape says which shape is ``wanted`` of it.

        Where its numbers are the same for one sample as for more, they are of one sample.
        """
        self.stated.append((x.shape, wanted))
        if self.before is None:
            return x.shape
        alone, same = self.before.stated[len(self.stated) - 1]
        return alone if wanted == same else x.shape

    def _shapes(self, operator: Any, arguments: Mapping[str, Any]) -> Any:
        """Return the shape of each result, by torch's own rules, which take a while: asked once."""
        asked = operator, tuple((key, _signature(value)) for key, value in arguments.items())
        if asked not in self._answered:
            self._answered[asked] = self._shapes_by_torch(operator, arguments)
        return self._answered[asked]

    @staticmethod
    def _shapes_by_torch(operator: Any, arguments: Mapping[str, Any]) -> Any:
        chooses = operator.overloadpacket is torch.ops.aten.where
        read = {
            key: _mapped(
                value, lambda v, key=key: _as_meta(v, truth=chooses and key == "condition")
            )
            for key, value in arguments.items()
        }
        with torch.no_grad():
            made = operator(**read)
        if isinstance(made, Tensor):
            return tuple(made.shape)
        return [tuple(each.shape) for each in made if isinstance(each, Tensor)]

    def _hold_size(self, shapes: Any) -> None:
        for shape in shapes if isinstance(shapes, list) else [shapes]:
            if len(shape) > limits.MOST_AXES or math.prod(shape) > limits.LARGEST_VALUE:
                message = f"computes a value of shape {shape}, more than {limits.LARGEST_VALUE:,}"
                raise self.place.too_large(f"{message} numbers", node=self.node.called)

    def _evaluated(self, operator: Any, arguments: Mapping[str, Any], shapes: Any) -> Any:
        """Compute what depends on no input; in float64 if it is arithmetic."""
        view = any(each.alias_info for each in operator._schema.returns)  # noqa: SLF001 - it has no public name
        if not view:
            every = shapes if isinstance(shapes, list) else [shapes]
            self.hold_computed(sum(math.prod(shape) for shape in every))

        def real(value: Any) -> Any:
            if not isinstance(value, Static):
                return value
            wide = value.tensor.is_floating_point() and not view
            return value.tensor.double() if wide else value.tensor

        with torch.no_grad():
            made = operator(**{key: _mapped(value, real) for key, value in arguments.items()})
        if isinstance(made, Tensor):
            return Static(shown_once(made))
        return [Static(each) for each in made]

    def hold_computed(self, numbers: int) -> None:
        """Raise ``SnnccError`` where a file of few numbers has too many more computed of them."""
        self._computed += numbers
        if self._computed <= limits.COMPUTED_ANYWAY:
            return
        stored = sum(tensor.numel() for _, tensor in self.place.tensors.values())
        allowed = limits.COMPUTED_ANYWAY + limits.COMPUTED_OF_STORED * stored
        allowed = min(allowed, limits.MOST_COMPUTED)
        if self._computed > allowed:
            message = f"computes more than {allowed:,} numbers from {stored:,} constants"
            raise self.place.too_large(message, node=self.node.called)

    def graph(self, ends: list[str]) -> Graph:
        """Return the graph of what answers; all but the first answer are left out."""
        self.node = Node("", "", "", (), ())
        answer = self.value(ends[0])
        if answer is None:
            raise self.place.damaged("its answer is no value")
        made = self.build.dynamic(answer)
        name = self.build.unique("output")
        self.build.ops.append(ops.Output(name=name, inputs=(made.name,)))
        return without_dead(Graph(tuple(self.build.ops), self.build.weights))


def _bound(operator: Any, given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments by name, defaults filled in."""
    bound: dict[str, Any] = {}
    for i, formal in enumerate(operator._schema.arguments):  # noqa: SLF001 - no public name
        default = named.get(formal.name, formal.default_value)
        bound[formal.name] = given[i] if i < len(given) else default
    return bound


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_mapped(each, change) for each in value]
    return change(value)


def _leaves(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _leaves(value)
        else:
            yield value


def _signature(value: Any) -> Hashable:
    """Return all of an argument that tells the shape of a result."""
    if isinstance(value, list | tuple):
        return tuple(map(_signature, value))
    if isinstance(value, Dynamic):
        return Dynamic, value.shape
    if isinstance(value, Static):
        return value.tensor.shape, value.tensor.stride(), value.tensor.dtype
    return type(value), value


def _as_meta(value: Any, *, truth: bool) -> Any:
    if isinstance(value, Dynamic):
        return torch.empty(value.shape, device="meta", dtype=torch.bool if truth else None)
    if not isinstance(value, Static):
        return value
    tensor = value.tensor
    kind = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return torch.empty_strided(
        tensor.shape, tensor.stride(), device="meta", dtype=torch.bool if truth else kind
    )
