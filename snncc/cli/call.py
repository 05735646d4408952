"""From what was typed to what the library takes; what it refuses becomes a diagnostic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from snncc.cli.progress import working
from snncc.cli.rules import UNUSABLE_ENERGY_MODEL, UNUSABLE_TARGET
from snncc.cli.screen import show
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Source

if TYPE_CHECKING:
    from snncc.energy.load import EnergyModel
    from snncc.execute.dataset import Dataset
    from snncc.frontends.load import Model
    from snncc.ir.graph import Graph
    from snncc.targets.load import Target


def model_of(
    spec: str,
    *,
    network: str | None,
    settings: dict[str, str],
    input_shape: tuple[int, ...] | None,
    trust_pickle: bool,
) -> Model:
    """Return the model that the user named. Raises ``SnnccError``."""
    _refuse_artefact(spec)
    with working(f"reading {spec}"):
        from snncc.backends.writers import read_back
        from snncc.frontends.load import load_model

        return load_model(
            spec,
            network=network,
            settings=settings,
            example_shape=input_shape,
            trust_pickle=trust_pickle,
            integers=read_back,
        )


def named(spec: str) -> str:
    """Return the file of a model that the user named, as a checkout holds it; else the name."""
    module = Path(*spec.partition(":")[0].split(".")).with_suffix(".py")
    path = module if module.is_file() else Path(spec)
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()


def target_of(name: str) -> Target:
    """Return the target of that name or file. Raises ``SnnccError``."""
    from snncc.targets.load import TargetError, load_target

    try:
        return load_target(name)
    except TargetError as error:
        source = Source(file=error.file, line=error.line or 0)
        raise SnnccError(UNUSABLE_TARGET.at(source, str(error))) from error


def energy_model_of(name: str) -> EnergyModel:
    """Return the energy model of that name or file. Raises ``SnnccError``."""
    from snncc.energy.load import EnergyModelError, load_energy_model

    try:
        return load_energy_model(name)
    except EnergyModelError as error:
        source = Source(file=error.file, line=error.line or 0)
        raise SnnccError(UNUSABLE_ENERGY_MODEL.at(source, str(error))) from error


def data_of(spec: str, graph: Graph, limit: int | None) -> Dataset:
    """Return the samples that the user named, as a step graph reads them. Raises ``SnnccError``."""
    from snncc.execute.dataset import load_dataset, outside_range
    from snncc.ir.io import classes_of, sample_shape

    with working(f"reading {spec}"):
        data = load_dataset(spec, sample_shape(graph), classes=classes_of(graph), limit=limit)
        clipped = outside_range(spec, data, graph)
    if clipped:
        show(clipped)
    return data


def _refuse_artefact(spec: str) -> None:
    """Raise ``SnnccError`` where a model is wanted and what ``snncc compile`` wrote is named."""
    from snncc.artefact import MANIFEST
    from snncc.frontends.rules import MISSING_FILE

    if (Path(spec) / MANIFEST).is_file():
        message = f"`{spec}` is an artefact, wanted a model"
        hint = (
            "`snncc convert`, `energy`, `report` and `simulate` take it; to look into it, read its"
            " `graph.txt`, or `convert` it to .onnx, which `check` and `inspect` take"
        )
        raise SnnccError(MISSING_FILE.at(Source(file=spec), message, hint=hint))


def is_artefact(spec: str) -> bool:
    """Whether what was named is a directory: no model is one."""
    return Path(spec).is_dir()
