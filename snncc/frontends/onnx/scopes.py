"""Where a node is from: the module and the line that the exporter noted."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable

from snncc.frontends.onnx.proto import Node, short
from snncc.frontends.source import innermost
from snncc.ir.graph import Source

_FRAME = re.compile(r'File "([^"\n]{1,500})", line (\d{1,9}), in ')
_CALLED_AGAIN = re.compile(r"(.+)_(\d{1,6})")
_WEIGHTED, _WEIGHT = ("Conv", "Gemm", "MatMul"), ".weight"


class Scopes:
    """The modules of a file's nodes, each by one name, however often it is called.

    TorchScript calls the second call of ``lif`` ``lif_1``. It is taken for ``lif`` where it reads
    no stored weight that ``lif`` does not read. Single ``numbers`` are no weights, unless they are
    called by its own name: what the first call makes of them is folded with its start. A module of
    the name ``lif_1`` may be taken for ``lif`` if neither has weights. A layer that alone reads
    ``fc.weight`` is ``fc``: exporters that fold a batch norm into it note the norm.
    """

    def __init__(
        self, nodes: Iterable[Node], stored: Iterable[str], numbers: Iterable[str] = ()
    ) -> None:
        weights, self._single = set(stored), set(numbers)
        self._reads: dict[str, set[str]] = {}
        self._readers: Counter[str] = Counter()
        for node in nodes:
            read = weights.intersection(node.inputs)
            self._readers.update(read)
            path = module_of(node)
            while path:
                self._reads.setdefault(path, set()).update(read)
                path = path.rpartition(".")[0]
        self._names: dict[str, str] = {}

    def source(self, node: Node) -> Source:
        """Return the place of a node."""
        frames = _FRAME.findall(node.hints.get("pkg.torch.onnx.stack_trace", "")[:20_000])
        file, line = innermost([(name, int(number)) for name, number in frames])
        path = module_of(node)
        if path not in self._names:
            self._names[path] = self._called_once(path)
        return Source(self._owner(node) or self._names[path], file, line, node=node.in_words)

    def _owner(self, node: Node) -> str:
        """Return the path of the layer whose weight a node reads, if the weight's name says it."""
        name = node.inputs[1] if node.operator in _WEIGHTED and len(node.inputs) > 1 else ""
        alone = self._readers[name] == 1 and name.endswith(_WEIGHT)
        return short(name.removesuffix(_WEIGHT)) if alone else ""

    def _called_once(self, path: str) -> str:
        """Return a path with the numbers of repeated calls taken off."""
        raw, made = "", ""
        for piece in path.split("."):
            ahead, raw = raw, f"{raw}.{piece}".lstrip(".")
            again = _CALLED_AGAIN.fullmatch(piece)
            first = f"{ahead}.{again[1]}".lstrip(".") if again else ""
            same = first in self._reads and self._weights_of(raw) <= self._reads[first]
            made = f"{made}.{again[1] if again and same else piece}".lstrip(".")
        return made

    def _weights_of(self, path: str) -> set[str]:
        read = self._reads.get(path, set())
        return {each for each in read if each not in self._single or each.startswith(f"{path}.")}


def module_of(node: Node) -> str:
    """Return the path of the module that a node belongs to, or what the node is called."""
    scopes = node.hints.get("pkg.torch.onnx.name_scopes", "")
    found = _scope_in(scopes) if 0 < len(scopes) < 10_000 else None
    if found is not None:
        return short(found)
    if not node.name.startswith("/"):
        return node.called
    return short(".".join(_nested(node.name.split("/")[1:-1])))


def _nested(pieces: list[str]) -> list[str]:
    """Return the pieces of a path; within ``body`` the first module of a list is ``body.0``."""
    found: list[str] = []
    for piece in pieces:
        again = _CALLED_AGAIN.fullmatch(found[-1]) if found else None
        holders = [*found[-1:], *([again[1]] if again else [])]
        if any(piece.startswith(f"{holder}.") for holder in holders):
            found.pop()
        found.append(piece)
    return found


def _scope_in(text: str) -> str | None:
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    listed = isinstance(scopes, list) and len(scopes) > 1 and isinstance(scopes[-2], str)
    return str(scopes[-2]) if listed else None
