"""Reading what a network is shown: arrays, tensors, folders of images, or a user's own iterable.

Whatever cannot be used is one diagnostic: which file, what was found, what was wanted.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from snncc.diagnostics.core import Diagnostic, Rule, SnnccError
from snncc.execute.rules_of_data import (
    BAD_LABELS,
    EMPTY_DATA,
    FAILING_FACTORY,
    NO_IMAGE_READER,
    NOT_FINITE,
    OUTSIDE_RANGE,
    UNREADABLE_DATA,
    WRONG_SHAPE,
)
from snncc.files.archives import OF_DATA, BombError, hold_archive
from snncc.files.kinds import kind_of
from snncc.ir.graph import Array, Graph, Shape, Source
from snncc.ir.io import input_range

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_PART = 256
"""Samples looked at together."""
_FEW_CLIPPED, _NEAR = 0.01, 0.5
"""Share of the numbers, and of the range beyond its ends, up to which clipping is as expected."""


@dataclass(frozen=True)
class Dataset:
    """Samples ``[N, *shape]`` with their labels ``[N]``, where they have any."""

    inputs: Array
    labels: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs)


def load_dataset(
    spec: str, shape: Shape, *, classes: int | None = None, limit: int | None = None
) -> Dataset:
    """Return the data that ``spec`` names, at most ``limit`` samples of it, checked.

    ``shape`` is that of one sample. Raises ``SnnccError``.
    """
    return _checked(spec, _read(spec, shape, limit), shape, classes, limit)


def outside_range(spec: str, dataset: Dataset, graph: Graph) -> Diagnostic | None:
    """Return a warning where a network clips more of the data than calibration leaves over.

    That is one number in a hundred, or one that lies half the range beyond its end.
    """
    limits = input_range(graph)
    if limits is None:
        return None
    least, most = float(dataset.inputs.min()), float(dataset.inputs.max())
    beyond = max(limits[0] - least, most - limits[1]) / (limits[1] - limits[0])
    if beyond <= 0:
        return None
    parts = (dataset.inputs[i : i + _PART] for i in range(0, len(dataset), _PART))
    outside = sum(int(np.count_nonzero((x < limits[0]) | (x > limits[1]))) for x in parts)
    if outside <= _FEW_CLIPPED * dataset.inputs.size and beyond <= _NEAR:
        return None
    found = f"{least:.6g} to {most:.6g}"
    message = (
        f"{100 * outside / dataset.inputs.size:.2g} % of the numbers are clipped: "
        f"found {found}, wanted {limits[0]:.6g} to {limits[1]:.6g}"
    )
    hint = "scale the samples as those that the network was calibrated with"
    return OUTSIDE_RANGE.at(Source(file=spec), message, hint=hint)


def as_dataset(
    inputs: Any, labels: Any | None, shape: Shape, *, classes: int | None = None
) -> Dataset:
    """Return arrays or tensors as data, checked as those of a file. Raises ``SnnccError``."""
    given = Dataset(_array(inputs), None if labels is None else _array(labels))
    return _checked("data", given, shape, classes, None)


def _checked(
    spec: str, dataset: Dataset, shape: Shape, classes: int | None, limit: int | None
) -> Dataset:
    _check_inputs(spec, dataset.inputs, shape)
    inputs = _as_float(dataset.inputs[:limit])
    _check_finite(spec, inputs)
    if dataset.labels is None:
        return Dataset(inputs)
    return Dataset(inputs, _checked_labels(spec, dataset, classes)[:limit])


def _read(spec: str, shape: Shape, limit: int | None) -> Dataset:
    path = Path(spec)
    if path.is_dir():
        return _read_folder(path, shape, limit)
    reader = _READERS.get(path.suffix.lower())
    if reader is not None:
        return _read_file(path, reader)
    module, colon, factory = spec.partition(":")
    if colon and module.replace(".", "_").isidentifier() and factory.isidentifier():
        return _read_factory(spec, module, factory, shape, limit)
    known = ", ".join(_READERS)
    reason = "is no kind of data that is known" if path.exists() else "does not exist"
    raise _error(
        UNREADABLE_DATA, spec, f"`{spec}` {reason}", f"{known}, a folder or module:factory"
    )


def _read_file(path: Path, reader: Callable[[Path], Any]) -> Dataset:
    if what := kind_of(path):
        raise _error(UNREADABLE_DATA, str(path), f"`{path}` {what}")
    try:
        if zipfile.is_zipfile(path):
            hold_archive(path, OF_DATA)
        dataset = _as_dataset(reader(path))
        _hold(path, dataset)
        return dataset
    except BombError as fault:
        raise _error(UNREADABLE_DATA, str(path), f"`{path}` {fault}") from fault
    except _UNREADABLE as fault:
        reason = next(iter(str(fault).splitlines()), "") or type(fault).__name__
        raise _error(UNREADABLE_DATA, str(path), f"`{path}` cannot be read: {reason}") from fault


def _hold(path: Path, dataset: Dataset) -> None:
    """Raise ``BombError`` for numbers that are shown in far more places than are stored."""
    size, allowed = dataset.inputs.nbytes, OF_DATA.allowed(path.stat().st_size)
    if size > allowed:
        raise BombError(f"holds samples of {size:,} bytes, wanted at most {allowed:,}")


_UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, NotImplementedError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def _as_dataset(content: Any) -> Dataset:
    if isinstance(content, Mapping):
        if "x" not in content:
            raise ValueError(f"it holds {sorted(content)[:8]}, wanted `x` and maybe `y`")
        content = (content["x"], content.get("y"))
    x, y = content if isinstance(content, (tuple, list)) and len(content) == 2 else (content, None)
    return Dataset(_array(x), None if y is None else _array(y))


def _array(value: Any) -> Array:
    """Return a tensor, array or number as an array; torch is not needed to know a tensor."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value)


def _read_numpy(path: Path) -> Any:
    """Return the array of a ``.npy`` or the arrays of a ``.npz``, whatever the file is called."""
    with path.open("rb") as file:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        return {name: content[name] if name in ("x", "y") else None for name in content.files}


def _read_torch(path: Path) -> Any:
    import pickle  # noqa: PLC0415 - for the name of its error: nothing is unpickled here

    import torch  # noqa: PLC0415 - seconds

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as fault:
        raise ValueError("it is no file of tensors alone, as torch.save writes it") from fault


_READERS: Mapping[str, Callable[[Path], Any]] = {
    ".npz": _read_numpy,
    ".npy": _read_numpy,
    ".pt": _read_torch,
    ".pth": _read_torch,
}


def _read_folder(path: Path, shape: Shape, limit: int | None) -> Dataset:
    classes = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = [(f, n) for n, c in enumerate(classes) for f in sorted(c.rglob("*")) if _is_image(f)]
    if not files:
        raise _error(EMPTY_DATA, str(path), f"`{path}` has no folders with images in them")
    if len(shape) != 3 or shape[0] not in (1, 3):
        wanted = "x".join(map(str, shape))
        raise _error(WRONG_SHAPE, str(path), f"the network reads {wanted}, which is no image")
    chosen = _spread(files, limit)
    images = np.stack([_image(file, shape) for file, _ in chosen])
    return Dataset(images, np.array([label for _, label in chosen]))


def _spread(files: list[tuple[Path, int]], limit: int | None) -> list[tuple[Path, int]]:
    """Return at most ``limit`` files, taken evenly from all, so that every class has its share."""
    if limit is None or limit >= len(files):
        return files
    return [files[i * len(files) // limit] for i in range(limit)]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGES


def _image(path: Path, shape: Shape) -> Array:
    """Return an image as floats in 0..1, channels first."""
    try:
        reader = importlib.import_module("PIL.Image")
    except ImportError:
        raise _error(NO_IMAGE_READER, str(path), "reading images needs Pillow") from None
    try:
        with reader.open(path) as image:
            pixels = np.asarray(image.convert("RGB" if shape[0] == 3 else "L"), np.float32)
    except (OSError, ValueError, reader.DecompressionBombError) as fault:
        raise _error(UNREADABLE_DATA, str(path), f"`{path}` cannot be read: {fault}") from fault
    if pixels.shape[:2] != shape[1:]:
        found, wanted = "x".join(map(str, pixels.shape[:2])), "x".join(map(str, shape[1:]))
        hint = "give module:factory to resize, crop or normalise"
        raise _error(
            WRONG_SHAPE, str(path), f"`{path}` is {found}, the network reads {wanted}", hint
        )
    return np.atleast_3d(pixels / np.float32(255)).transpose(2, 0, 1)


def _read_factory(spec: str, module: str, factory: str, shape: Shape, limit: int | None) -> Dataset:
    """Return what a user's own code gives: whatever goes wrong in it is theirs to hear."""
    try:
        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        made = getattr(importlib.import_module(module), factory)()
        samples = list(itertools.islice(_samples(made, shape), limit))
        known = bool(samples) and all(y is not None for _, y in samples)
        labels = np.stack([y for _, y in samples]) if known else None
    except Exception as fault:
        reason = f"{type(fault).__name__}: {next(iter(str(fault).splitlines()), '')}"
        raise _error(FAILING_FACTORY, spec, f"`{spec}` failed: {reason}") from fault
    if not samples:
        raise _error(EMPTY_DATA, spec, f"`{spec}` gives no samples")
    if len({x.shape for x, _ in samples}) > 1:
        raise _error(WRONG_SHAPE, spec, f"`{spec}` gives samples of several shapes")
    return Dataset(np.stack([x for x, _ in samples]), labels)


def _samples(made: Iterable[Any], shape: Shape) -> Iterator[tuple[Array, Any]]:
    """Yield (input, label) sample by sample, also where they come in batches."""
    for given in made:
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise TypeError("an item is no pair of input and label")
        x, y = _array(given[0]), None if given[1] is None else _array(given[1])
        if x.ndim == len(shape) + 1:
            yield from zip(x, itertools.repeat(None) if y is None else y, strict=y is not None)
        else:
            yield x, y


def _check_inputs(spec: str, inputs: Array, shape: Shape) -> None:
    if inputs.dtype.kind not in "buif":
        raise _error(WRONG_SHAPE, spec, f"`{spec}` holds {inputs.dtype} values, wanted numbers")
    if inputs.ndim > 0 and inputs.shape[0] == 0:
        raise _error(EMPTY_DATA, spec, f"`{spec}` has no samples: its shape is {inputs.shape}")
    if inputs.shape[1:] != shape or inputs.ndim == 0:
        wanted = f"({', '.join(['N', *map(str, shape)])})"
        raise _error(WRONG_SHAPE, spec, f"`{spec}` has shape {inputs.shape}, wanted {wanted}")


def _as_float(inputs: Array) -> Array:
    return inputs if inputs.dtype in (np.float32, np.float64) else inputs.astype(np.float32)


def _check_finite(spec: str, inputs: Array) -> None:
    for number, sample in enumerate(inputs):
        if not np.isfinite(sample).all():
            kind = "NaN" if np.isnan(sample).any() else "infinity"
            raise _error(NOT_FINITE, spec, f"sample {number} of `{spec}` holds {kind}")


def _checked_labels(spec: str, dataset: Dataset, classes: int | None) -> Array:
    labels, wanted = cast(Array, dataset.labels), (len(dataset),)
    if labels.shape != wanted:
        raise _error(BAD_LABELS, spec, f"labels have shape {labels.shape}, wanted {wanted}")
    if labels.dtype.kind not in "ui":
        raise _error(BAD_LABELS, spec, f"labels are {labels.dtype}, wanted integers")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or (classes is not None and highest >= classes):
        most = "0 or more" if classes is None else f"0..{classes - 1}"
        raise _error(BAD_LABELS, spec, f"labels are {lowest}..{highest}, wanted {most}")
    return labels.astype(np.int64)


def _error(declared: Rule, file: str, message: str, hint: str = "") -> SnnccError:
    return SnnccError(declared.at(Source(file=file), message, hint=hint))
