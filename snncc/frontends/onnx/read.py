"""An ONNX file as a model: sizes held, functions written out, every node converted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import onnx

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.frontends import rules
from snncc.frontends.batch_axis import asked_axis
from snncc.frontends.build import Dynamic, Static, Value
from snncc.frontends.model import Model, ReadGraph
from snncc.frontends.onnx import limits
from snncc.frontends.onnx.batches import that_agrees
from snncc.frontends.onnx.bodies import with_bodies
from snncc.frontends.onnx.importer import Importer
from snncc.frontends.onnx.masks import with_masks
from snncc.frontends.onnx.operators import OPERATORS
from snncc.frontends.onnx.proto import Node, Place, flattened, open_model, short
from snncc.frontends.onnx.scopes import Scopes
from snncc.frontends.onnx.tensors import read_tensor
from snncc.frontends.readers import Asked
from snncc.frontends.rules_of_exchange import BATCH_FIXED_INSIDE
from snncc.frontends.torch_export import BATCH
from snncc.ir import ops
from snncc.ir.graph import Shape, Source

CALLED = "the ONNX file"
WRITTEN_BY_US = "snncc"


def read_onnx(path: Path, asked: Asked) -> Model:
    """Return the model in an ONNX file. Raises ``SnnccError``."""
    place = Place(path)
    proto = open_model(place)
    if proto.producer_name == WRITTEN_BY_US:
        return _integers(place, proto, asked)
    file = _File(place, proto, asked)
    samples, *rest = file.input_shape()
    read = samples
    if file.open_batch:
        read, alone = that_agrees(samples, lambda n: file.imported((n, *rest)))
    else:
        alone = file.imported((samples, *rest))
    own = graph = alone.graph(file.ends)
    refused = ""
    if read == 1:
        try:
            graph = file.imported((BATCH, *rest), alone).graph(file.ends)
        except SnnccError as error:  # its code takes samples for time steps, say
            refused = error.diagnostics[0].message
    notes = (*file.notes(), *(file.fixed_inside(read) if read != samples else ()))
    return Model(ReadGraph(graph, CALLED, own, refused), tuple(rest), path.stem, notes=notes)


def _integers(place: Place, proto: onnx.ModelProto, asked: Asked) -> Model:
    """Return the model in a file that snncc wrote. Raises ``SnnccError``."""
    if asked.integers is None:
        message = "it holds integers that snncc wrote, and a network of floats is wanted"
        hint = "give the model that it was made of, or `integers=snncc.backends.writers.read_back`"
        raise place.fault(rules.UNSUPPORTED_OP, message, hint)
    if asked.settings:
        message = f"a file of integers has no settings, but `{next(iter(asked.settings))}` is given"
        raise place.fault(rules.BAD_SETTING, message)
    model = asked.integers(place.path, proto)
    if asked.shape not in (None, model.input_shape):
        said, own = ("x".join(map(str, each or ())) for each in (asked.shape, model.input_shape))
        message = f"--input-shape says {said}, the file has {own}"
        raise place.fault(rules.UNKNOWN_INPUT, message)
    return model


class _File:
    """What a file holds, ready to be converted for one number of samples or another."""

    def __init__(self, place: Place, proto: onnx.ModelProto, asked: Asked) -> None:
        self.place = place
        self.asked = asked
        self.stored = {each.name: each for each in proto.graph.initializer}
        self.ends = [each.name for each in proto.graph.output]
        self.nodes: tuple[Node, ...] = with_masks(flattened(place, proto), self.stored, self.ends)
        if len(self.stored) != len(proto.graph.initializer):
            raise place.damaged("two weights have one name")
        self.weights: dict[str, Value] = {}
        for name, each in self.stored.items():
            self.weights[name] = Static(read_tensor(place, each), short(name))
            each.ClearField("raw_data")  # a large network stands in memory once
        numbers = [name for name, each in self.stored.items() if math.prod(each.dims) == 1]
        self.scopes = Scopes(self.nodes, self.stored, numbers)
        self.inputs = [each for each in proto.graph.input if each.name not in self.stored]
        if not self.ends:
            raise place.damaged("it has no output")
        if len(self.inputs) != 1:
            names = ", ".join(f"`{short(each.name)}`" for each in self.inputs[:4]) or "none"
            message = f"it has {len(self.inputs)} inputs ({names}), a network takes one tensor"
            raise place.fault(rules.UNSUPPORTED_OP, message)

    def notes(self) -> tuple[Diagnostic, ...]:
        """Return what is left out."""
        if len(self.ends) == 1:
            return ()
        message = f"{len(self.ends)} tensors are returned; all but the first are left out"
        return (rules.OUTPUT_LEFT_OUT.at(Source(file=self.place.path.as_posix()), message),)

    def fixed_inside(self, samples: int) -> tuple[Diagnostic, ...]:
        """Return the note on a file that leaves its batch open and needs a certain one."""
        name = short(self.inputs[0].name)
        message = f"`{name}` leaves its batch open, and the nodes hold a batch of {samples}"
        return (BATCH_FIXED_INSIDE.at(Source(file=self.place.path.as_posix()), message),)

    @property
    def open_batch(self) -> bool:
        """Whether the file does not say how many samples its input holds."""
        dims = self.inputs[0].type.tensor_type.shape.dim
        return not dims[self.batch_axis].dim_value

    @property
    def batch_axis(self) -> int:
        """Where the file's input has the batch: what the user says, else the axis that is open."""
        said = asked_axis(self.asked.settings, self.place.path.as_posix())
        if said is not None:
            return said
        dims = self.inputs[0].type.tensor_type.shape.dim
        opened = [i for i, each in enumerate(dims) if not each.HasField("dim_value")]
        return 1 if opened == [1] else 0

    def input_shape(self) -> Shape:
        """Return the shape of a batch as the file has it, the batch in front."""
        kind = self.inputs[0].type.tensor_type
        if kind.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            raise self.place.fault(rules.UNSUPPORTED_OP, "its input is no tensor of floats")
        dims = [each.dim_value if each.HasField("dim_value") else 0 for each in kind.shape.dim]
        if not 2 <= len(dims) <= limits.MOST_AXES or any(n < 0 for n in dims):
            message = f"its input has shape {tuple(dims[: limits.MOST_AXES])}"
            hint = "its first axis is the batch"
            raise self.place.fault(rules.UNKNOWN_INPUT, message, hint)
        samples = dims.pop(self.batch_axis) or BATCH
        inner = self._given(dims)
        size = samples
        for n in inner:
            size *= n
        if size > limits.LARGEST_VALUE:
            raise self.place.too_large(f"claims an input of shape {(samples, *inner)}")
        return (samples, *inner)

    def _given(self, dims: list[int]) -> Shape:
        """Return the shape of one sample; what the file leaves open, the user has to say."""
        asked = self.asked.shape
        fits = asked is not None and len(asked) == len(dims)
        if fits and asked is not None:
            fits = all(n in (0, m) for n, m in zip(dims, asked, strict=True))
        if asked is not None and not fits:
            text = "x".join(str(n) if n else "?" for n in dims)
            message = f"--input-shape says {'x'.join(map(str, asked))}, the file has {text}"
            raise self.place.fault(rules.UNKNOWN_INPUT, message)
        if asked is None and 0 in dims:
            text = "x".join(str(n) if n else "?" for n in dims)
            message = f"nothing says how large the input is: the file has {text}"
            raise self.place.fault(rules.UNKNOWN_INPUT, message, "give `--input-shape`")
        return asked or tuple(dims)

    def imported(self, shape: Shape, before: Importer | None = None) -> Importer:
        """Return all nodes converted, for a batch of that shape."""
        c = Importer(self.place, self.nodes, self.ends, self.scopes, before)
        c.values.update(self.weights)
        name = self.inputs[0].name
        c.values[name] = self._input(c, shape)
        c.run(with_bodies(OPERATORS))
        return c

    def _input(self, c: Importer, shape: Shape) -> Any:
        """Return the input as the file's own nodes read it."""
        name = c.build.unique("input")
        c.build.ops.append(ops.Input(name=name, shape=shape))
        made: Value = Dynamic(name, shape)
        if self.batch_axis == 1:
            made = c.aten("transpose.int", made, 0, 1)
        return made
