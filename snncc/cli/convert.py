"""The command that changes formats: ``convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from snncc.cli import EXIT_CLEAN
from snncc.cli.call import data_of, is_artefact, model_of, target_of
from snncc.cli.options import ALLOW, DATA, LIMIT, MODEL_OPTIONS, Place, all_of, some_model
from snncc.cli.policy import configured_policy
from snncc.cli.progress import working
from snncc.cli.screen import say, show

if TYPE_CHECKING:
    from snncc.backends.writers import Network, Writer


@click.command()
@click.argument("model", metavar="IN", callback=some_model)
@click.argument("output", metavar="OUT", type=Place())
@all_of(*MODEL_OPTIONS)
@click.option(
    "--target", metavar="NAME|FILE",
    help="The chip in whose integers the network is written, for formats of integers.",
)  # fmt: skip
@all_of(DATA, LIMIT, ALLOW)
@click.option(
    "--weight-bits", type=click.IntRange(2, 8), default=8, show_default=True,
    help="Bits of a weight, its sign among them, for formats of integers.",
)  # fmt: skip
@click.option(
    "--unroll/--scan", "unroll", default=None,
    help="ONNX: write each time step out, or a Scan over them.",
)  # fmt: skip
def convert(  # noqa: PLR0913 - one for each option
    model: str,
    output: Path,
    target: str | None,
    data: str | None,
    limit: int | None,
    allow: tuple[str, ...],
    weight_bits: int,
    unroll: bool | None,
    **options: Any,
) -> int:
    """Write IN, a MODEL or an artefact, as OUT ends: .onnx, .nir or .net (netx).

    What the format cannot say is refused, and nothing is written.
    """
    from snncc.backends.writers import check_writable, write_exchanged, writer_of

    writer = writer_of(output)
    _refuse_itself(model, output)
    given = {name: value for name, value in {"unroll": unroll}.items() if value is not None}
    check_writable(output, writer, given)
    _refuse_idle(model, writer)
    if is_artefact(model):
        network = _compiled_before(Path(model))
    elif writer.integers and target is not None:
        chosen: Any = {"data": data, "limit": limit, "allow": allow, "weight_bits": weight_bits}
        chosen["fit_widths"] = writer.proved
        network = _compiled_now(model, options, target, **chosen)
    else:
        network = _as_it_is(model, options, writer, allow)
    with working(f"writing {output}"):
        write_exchanged(network, output, **given)
    say(f"wrote {output} ({writer.name}, {output.stat().st_size:,} bytes)")
    return EXIT_CLEAN


def _refuse_itself(model: str, output: Path) -> None:
    """Raise ``click.UsageError`` where what is read would be written over."""
    try:
        same = output.samefile(model)
    except OSError:  # one of them is not there
        same = False
    if same:
        raise click.UsageError(f"OUT is IN: `{output}` would be written over what is read")


def _refuse_idle(model: str, writer: Writer) -> None:
    """Raise ``click.UsageError`` for an option that would change nothing of what is written."""
    context = click.get_current_context()
    if is_artefact(model):
        _refuse_others({"model", "output", "unroll"}, "an artefact, which is compiled already")
    elif not writer.integers:
        taken = {str(each.name) for each in context.command.params} - _OF_INTEGERS
        _refuse_others(taken, f"the format {writer.name}, which holds floats")


def _refuse_others(taken: set[str], what: str) -> None:
    """Raise ``click.UsageError`` for an option that was given and is not among ``taken``."""
    context = click.get_current_context()
    for each in context.command.params:
        source = context.get_parameter_source(str(each.name))
        if each.name not in taken and source is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{each.opts[-1]} has no meaning for {what}")


_OF_INTEGERS = {"target", "data", "limit", "weight_bits"}
"""The options of compiling."""


def _compiled_before(path: Path) -> Network:
    from snncc.artefact import read_artefact
    from snncc.backends.writers import Network

    found = read_artefact(path)
    name, target = (str(found.manifest.get(key, "")) for key in ("model", "target"))
    return Network(name or path.name, found.floating, found.integer, target)


def _compiled_now(  # noqa: PLR0913 - the options of the command
    model: str, options: dict[str, Any], target: str, *, data: str | None, limit: int | None,
    allow: tuple[str, ...], weight_bits: int, fit_widths: bool,
) -> Network:  # fmt: skip
    from snncc.backends.writers import Network
    from snncc.compiler import check_model, compile_checked
    from snncc.execute.weights import require_weights

    chip = target_of(target)
    loaded = model_of(model, **options)
    with working("checking"):
        checked = check_model(loaded, allow=allow, policy=configured_policy())
    require_weights(checked.graph, checked.name)
    dataset = data_of(data, checked.graph, limit) if data else None
    samples = dataset.inputs if dataset else None
    with working("compiling"):
        compiled = compile_checked(
            checked, target=chip, calibration=samples, weight_bits=weight_bits,
            fit_widths=fit_widths,
        )  # fmt: skip
    show(*compiled.diagnostics)
    return Network(compiled.name, compiled.checked.graph, compiled.integer, chip.name)


def _as_it_is(
    model: str, options: dict[str, Any], writer: Writer, allow: tuple[str, ...]
) -> Network:
    from snncc.backends.writers import Network
    from snncc.compiler import check_model
    from snncc.diagnostics.core import SnnccError
    from snncc.execute.weights import require_weights

    loaded = model_of(model, **options)
    if loaded.in_integers:
        taken = {"model", "output", "unroll", "input_shape"}
        _refuse_others(taken, "a file of integers, which is compiled already")
        return Network(loaded.name, integer=loaded.origin.graph(), target=loaded.target)
    if writer.integers:
        return Network(loaded.name)
    with working("checking"):
        checked = check_model(loaded, allow=allow, policy=configured_policy())
    if checked.graph.level != "step":
        raise SnnccError(*checked.diagnostics)
    require_weights(checked.graph, checked.name)
    show(*checked.model.notes)
    return Network(checked.name, checked.graph)
