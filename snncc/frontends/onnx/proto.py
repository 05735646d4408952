"""An ONNX file as it is stored: opened safely, and held to what the format says of itself.

Nothing in a file is run, and no other file is opened but external data in the file's own folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import defs

from snncc.diagnostics.core import Rule, SnnccError
from snncc.frontends import rules
from snncc.frontends.onnx import limits
from snncc.frontends.rules_of_exchange import TOO_LARGE, UNREADABLE_EXCHANGE
from snncc.ir.graph import Source

OLDEST = 13
"""The first opset in which operators take what they take today; exporters of torch write 17 on."""

STANDARD = ("", "ai.onnx")
"""The names of the standard operators' domain."""


@dataclass
class Outside:
    """External data: the bytes that stand in each file, and those that tensors take of all."""

    stored: dict[str, int] = field(default_factory=dict)
    taken: int = 0


@dataclass(frozen=True)
class Place:
    """The file that is read; every finding is about it.

    ``tensors`` are those that were read so far, by the identity of their message, which is kept
    beside them; ``finite`` are those of them whose numbers all are.
    """

    path: Path
    tensors: dict[int, tuple[onnx.TensorProto, Any]] = field(default_factory=dict, repr=False)
    finite: set[int] = field(default_factory=set, repr=False)
    outside: Outside = field(default_factory=Outside, repr=False)

    def fault(self, rule: Rule, message: str, hint: str = "", node: str = "") -> SnnccError:
        """Return the error of one finding; ``node`` is where in the graph it is."""
        source = Source(node[: limits.LONGEST_NAME], self.path.as_posix())
        return SnnccError(rule.at(source, message, hint=hint))

    def damaged(self, reason: str, node: str = "") -> SnnccError:
        """Return the error of a file that breaks the rules of its format."""
        return self.fault(UNREADABLE_EXCHANGE, f"`{self.path}` is damaged: {reason}", node=node)

    def too_large(self, reason: str, node: str = "") -> SnnccError:
        """Return the error of a file that claims more than any network has."""
        return self.fault(TOO_LARGE, f"`{self.path}` {reason}", node=node)


@dataclass(frozen=True)
class Node:
    """A node with its attributes by name; ``bodies`` are graphs that stand in attributes."""

    operator: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    bodies: Mapping[str, onnx.GraphProto] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """The node's name, or that of its first result."""
        return short(self.name or self.result or self.operator)

    @property
    def result(self) -> str:
        """The name of its first result; empty where it has none."""
        return next((name for name in self.outputs if name), "")

    @property
    def in_words(self) -> str:
        """The node as findings call it: by its name, else by what it is and what it writes."""
        if self.name:
            return f"node `{short(self.name)}`"
        writes = f" writing `{short(self.result)}`" if self.result else ""
        return f"{short(self.operator)} node{writes}"


def short(name: str | bytes) -> str:
    """Return a name as it can be shown: never longer than a line or two.

    A text that is no UTF-8 comes out of a file as bytes.
    """
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    return name if len(name) <= limits.LONGEST_NAME else name[: limits.LONGEST_NAME] + "…"


def open_model(place: Place) -> onnx.ModelProto:
    """Return what a file holds, of an opset that is known. Raises ``SnnccError``."""
    size = place.path.stat().st_size
    if size >= limits.LARGEST_FILE:
        raise place.too_large(f"has {size:,} bytes, a protobuf file has less than 2 GiB")
    try:
        model = onnx.ModelProto.FromString(place.path.read_bytes())
    except (DecodeError, OSError, ValueError) as error:
        text = f"`{place.path}` is no ONNX file, or it ends too early: {_first_line(error)}"
        raise place.fault(UNREADABLE_EXCHANGE, text) from error
    if not model.HasField("graph"):
        raise place.damaged("it holds no graph")
    if model.graph.sparse_initializer:
        raise place.fault(rules.UNSUPPORTED_OP, "sparse weights are not read")
    _check_opset(place, model)
    return model


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _check_opset(place: Place, model: onnx.ModelProto) -> None:
    opsets = [each.version for each in model.opset_import if each.domain in STANDARD]
    newest = defs.onnx_opset_version()
    if not opsets:
        raise place.damaged("it does not say which opset its operators are of")
    if not OLDEST <= opsets[0] <= newest:
        message = f"opset {opsets[0]} is not read, wanted {OLDEST} to {newest}"
        raise place.fault(rules.UNSUPPORTED_OP, message, "export with `opset_version=17` or later")


def flattened(place: Place, model: onnx.ModelProto) -> tuple[Node, ...]:
    """Return the nodes of the graph, calls of the file's own functions written out."""
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    if len(functions) != len(model.functions):
        raise place.damaged("two functions have one name")
    return tuple(_Inliner(place, functions).nodes(model.graph.node))


def body_nodes(place: Place, body: onnx.GraphProto) -> tuple[Node, ...]:
    """Return the nodes of a branch or a loop; the file's own functions are not called in it."""
    return tuple(_Inliner(place, {}).nodes(body.node))


def read_in_bodies(nodes: Iterable[Node]) -> Iterator[str]:
    """Yield the name of each value that a node reads inside the bodies of some nodes."""
    waiting = [body for node in nodes for body in node.bodies.values()]
    while waiting:
        body = waiting.pop()
        yield from (each.name for each in body.output)
        for proto in body.node:
            yield from proto.input
            waiting += [each.g for each in proto.attribute if each.HasField("g")]


class _Inliner:
    """Writes out calls of functions; ``count`` is how many nodes there are so far."""

    def __init__(self, place: Place, functions: Mapping[tuple[str, str, str], Any]) -> None:
        self.place = place
        self.functions = functions
        self.count = 0
        self.calls = 0

    def nodes(
        self, protos: Iterable[onnx.NodeProto], names: Mapping[str, str] | None = None,
        given: Mapping[str, onnx.AttributeProto] | None = None, depth: int = 0, prefix: str = "",
    ) -> Iterator[Node]:  # fmt: skip
        """Yield nodes under the names that they have outside; ``given`` are a call's attributes."""
        if depth > limits.DEEPEST:
            raise self.place.damaged("functions call each other without end")
        for proto in protos:
            self.count += 1
            if self.count > limits.MOST_NODES:
                raise self.place.too_large(f"has more than {limits.MOST_NODES:,} nodes")
            if len(proto.input) > limits.MOST_INPUTS:
                raise self.place.too_large(f"has a node of {len(proto.input):,} inputs")
            function = self.functions.get((proto.domain, proto.op_type, proto.overload))
            if function is None:
                yield self._node(proto, names, given, prefix)
            else:
                yield from self._call(proto, function, names, given, depth, prefix)

    def _call(
        self, proto: Any, function: Any, names: Mapping[str, str] | None,
        given: Mapping[str, Any] | None, depth: int, prefix: str,
    ) -> Iterator[Node]:  # fmt: skip
        self.calls += 1
        within = f"{prefix}{proto.name or proto.op_type}.{self.calls}/"
        inside = _Names(within)
        outer = [_renamed(name, names) for name in proto.input]
        inside.update(zip(function.input, outer, strict=False))
        inside.update(dict.fromkeys(function.input[len(outer) :], ""))
        inside.update(
            zip(function.output, (_renamed(n, names) for n in proto.output), strict=False)
        )
        attributes = {each.name: each for each in function.attribute_proto}
        attributes.update({each.name: _resolved(each, given) for each in proto.attribute})
        yield from self.nodes(function.node, inside, attributes, depth + 1, within)

    def _node(
        self, proto: onnx.NodeProto, names: Mapping[str, str] | None,
        given: Mapping[str, onnx.AttributeProto] | None, prefix: str,
    ) -> Node:  # fmt: skip
        attributes: dict[str, Any] = {}
        bodies: dict[str, onnx.GraphProto] = {}
        for each in proto.attribute:
            attribute = _resolved(each, given)
            if attribute is None:
                continue
            if attribute.type == onnx.AttributeProto.GRAPH:
                bodies[each.name] = attribute.g
                if names is not None and not _stands_alone(attribute.g, frozenset()):
                    raise self._open_body(proto)
            else:
                attributes[each.name] = _value(attribute)
        return Node(
            operator=proto.op_type,
            domain="" if proto.domain in STANDARD else proto.domain,
            name=f"{prefix}{proto.name}" if proto.name else "",
            inputs=tuple(_renamed(name, names) for name in proto.input),
            outputs=tuple(_renamed(name, names) for name in proto.output),
            attributes=attributes,
            bodies=bodies,
            hints={each.key: each.value for each in proto.metadata_props},
        )

    def _open_body(self, proto: onnx.NodeProto) -> SnnccError:
        called = short(proto.name or proto.op_type)
        message = f"node `{called}`: its body reads what is of the function around it"
        hint = "write the functions out first: `onnx.inliner.inline_local_functions`"
        return self.place.fault(rules.UNSUPPORTED_OP, message, hint, called)


def _stands_alone(body: onnx.GraphProto, outside: frozenset[str]) -> bool:
    """Whether a body reads nothing but what it makes, takes or stores, and ``outside``."""
    stored = {each.name for each in (*body.input, *body.initializer)}
    known = outside | stored | {name for node in body.node for name in node.output} | {""}
    attributes = [each for node in body.node for each in node.attribute]
    return (
        known.issuperset(name for node in body.node for name in node.input)
        and known.issuperset(each.name for each in body.output)
        and not any(each.ref_attr_name for each in attributes)
        and all(_stands_alone(each.g, known) for each in attributes if each.HasField("g"))
    )


class _Names(dict[str, str]):
    """Names of values inside a function and what they are outside; others get a prefix."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def __missing__(self, name: str) -> str:
        return f"{self.prefix}{name}"


def _renamed(name: str, names: Mapping[str, str] | None) -> str:
    return name if names is None or not name else names[name]


def _resolved(attribute: Any, given: Mapping[str, Any] | None) -> Any:
    """Return an attribute, or the one of the call that it stands for; None where none is given."""
    if not attribute.ref_attr_name:
        return attribute
    return (given or {}).get(attribute.ref_attr_name)


def _value(attribute: onnx.AttributeProto) -> Any:
    kinds = onnx.AttributeProto
    plain = {kinds.INT: "i", kinds.TENSOR: "t", kinds.INTS: "ints"}
    if attribute.type in plain:
        value = getattr(attribute, plain[attribute.type])
        return list(value) if attribute.type == kinds.INTS else value
    if attribute.type == kinds.FLOAT:
        return attribute.f
    if attribute.type == kinds.FLOATS:
        return list(attribute.floats)
    if attribute.type == kinds.STRING:
        return attribute.s.decode("utf-8", "replace")
    return None
