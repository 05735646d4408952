"""The text form of a graph: ``parse(dump(graph), graph.weights) == graph``.

One line an op: name, kind, inputs, attributes, the derived type, and where it comes from::

    graph step T4 {
      %x = input(shape=(1, 8, 8), domain='int[0..255]') : <1x8x8; int[0..255]>
      %c = conv(%x, weight='c.weight', stride=(1, 1), ...) : <16x8x8; int[-9..9]>  # stem @ net.py:7
    }
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import types
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from snncc.ir import domain as dom
from snncc.ir.domain import REAL, SPIKE, Domain
from snncc.ir.graph import Graph, IRError, Op, Source, Type, Weights
from snncc.ir.ops import OPS

_KINDS = {op.kind: op for op in OPS}
_HEADER = re.compile(r"graph (tensor|step) T(\d+) \{")
_LINE = re.compile(r"  %([^ ]+) = (\w+)\((.*)\) : (<[^<>]*>)(?:  # (.*))?")
_PLAIN_SOURCE = re.compile(r"([\w.+\- ]*?)(?: @ ([\w./\-]*):(\d+))?")
_INPUT = re.compile(r"%([^ ,]+)(?:, |$)")
_GRID = re.compile(r"grid\(([\d/]+), (-?\d+)\.\.(-?\d+)\)|int\[(-?\d+)\.\.(-?\d+)\]")


def dump(graph: Graph) -> str:
    """Return the graph as text. Raises ``IRError`` where a type cannot be derived."""
    lines = [f"graph {graph.level} T{graph.steps} {{"]
    lines += [_dump_op(op, graph.type_of(op.name)) for op in graph.ops]
    return "\n".join([*lines, "}", ""])


def _dump_op(op: Op, type_: Type) -> str:
    defaults = {f.name: f.default for f in dataclasses.fields(op)}
    parts = [f"%{name}" for name in op.inputs]
    for key, value in op.attributes().items():
        if value != defaults[key]:
            parts.append(f"{key}={str(value) if key == 'domain' else value!r}")
    source = _dump_source(op.source)
    return f"  %{op.name} = {op.kind}({', '.join(parts)}) : {type_}" + (source and f"  # {source}")


def _dump_source(source: Source) -> str:
    if source == Source():
        return ""
    place = f" @ {source.file}:{source.line}" if source.place else ""
    plain = " + ".join((source.module, *source.merged)) + place
    if _PLAIN_SOURCE.fullmatch(plain) and "+" not in source.module:
        return plain
    return json.dumps([source.module, source.file, source.line, list(source.merged)])


def parse_domain(text: str) -> Domain:
    """Return the domain that ``str`` wrote as ``text``. Raises ``IRError``."""
    if text in ("real", "spike"):
        return REAL if text == "real" else SPIKE
    found = _GRID.fullmatch(text)
    if not found:
        raise IRError(f"`{text}` is no domain")
    step, lo, hi, int_lo, int_hi = found.groups()
    if step is None:
        return dom.integers(int(int_lo), int(int_hi))
    return dom.grid(Fraction(step), int(lo), int(hi))


def parse(text: str, weights: Weights) -> Graph:
    """Return the graph that ``dump`` wrote; types are derived anew and must agree.

    Raises ``IRError`` with the line at fault.
    """
    graph, stated = parse_claims(text, weights)
    for name, type_ in stated.items():
        if type_ != str(graph.type_of(name)):
            raise IRError(f"`{name}` is {graph.type_of(name)}, the text claims {type_}")
    return graph


def parse_claims(text: str, weights: Weights) -> tuple[Graph, Mapping[str, str]]:
    """Return what the text says, and the type that it claims for each value: none is derived.

    Every attribute is of the type that its op declares. Raises ``IRError`` with the line at fault.
    """
    lines = text.splitlines()
    header = _HEADER.fullmatch(lines[0]) if lines else None
    if header is None or lines[-1] != "}":
        raise IRError("not a graph: wanted `graph LEVEL Tn {`, one op a line, and `}`")
    ops, stated = [], {}
    for number, line in enumerate(lines[1:-1], start=2):
        try:
            op, type_ = _parse_op(line)
        except _FAULTS as error:
            reason = str(error) or type(error).__name__
            raise IRError(f"line {number}: {reason}") from None
        ops.append(op)
        stated[op.name] = type_
    level: Any = header[1]
    return Graph(tuple(ops), weights, level, int(header[2])), stated


_FAULTS = (
    IRError, ValueError, SyntaxError, TypeError, KeyError, ArithmeticError, RecursionError,
    MemoryError,
)  # fmt: skip
"""What Python raises where a text is no expression, or one that never ends."""


def _parse_op(line: str) -> tuple[Op, str]:
    found = _LINE.fullmatch(line)
    if not found:
        raise IRError(f"not an op: {line.strip()[:60]}")
    name, kind, arguments, type_, source = found.groups()
    if kind not in _KINDS:
        raise IRError(f"unknown op `{kind}`")
    inputs, keywords = _split_inputs(arguments)
    call = ast.parse(f"f({keywords})", mode="eval").body
    if not isinstance(call, ast.Call) or call.args:
        raise IRError(f"not arguments: {arguments[:60]}")
    fields = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    if "domain" in fields:
        fields["domain"] = parse_domain(fields["domain"])
    hints = _hints(kind)
    for key, value in fields.items():
        if not _fits(value, hints.get(key, object)):
            raise IRError(f"`{key}` of {kind} is {value!r}"[:60])
    return _KINDS[kind](
        name=name, inputs=inputs, source=_parse_source(source or ""), **fields
    ), type_


@cache
def _hints(kind: str) -> Mapping[str, Any]:
    return get_type_hints(_KINDS[kind])


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type that a field of an op declares; an integer is a float too."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(each, arguments[0]) for each in value)
    if hint in (int, float):
        wanted = int if hint is int else (int, float)
        return isinstance(value, wanted) and not isinstance(value, bool)
    return isinstance(value, hint)


def _split_inputs(arguments: str) -> tuple[tuple[str, ...], str]:
    inputs, start = [], 0
    while found := _INPUT.match(arguments, start):
        inputs.append(found[1])
        start = found.end()
    return tuple(inputs), arguments[start:]


def _parse_source(text: str) -> Source:
    if not text:
        return Source()
    plain = _PLAIN_SOURCE.fullmatch(text)
    if plain:
        module, *merged = plain[1].split(" + ")
        return Source(module, plain[2] or "", int(plain[3] or 0), tuple(merged))
    module, file, line, merged = json.loads(text)
    return Source(module, file, line, tuple(merged))
