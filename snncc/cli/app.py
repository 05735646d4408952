"""The command ``snncc`` and the table of its subcommands."""

from __future__ import annotations

from pathlib import Path

import click

from snncc import __version__
from snncc.backends.report.table import fitted
from snncc.cli.ask import explain, inspect, targets
from snncc.cli.build import compile_
from snncc.cli.check import check
from snncc.cli.convert import convert
from snncc.cli.energy import energy
from snncc.cli.measure import simulate
from snncc.cli.options import configured
from snncc.cli.report import report
from snncc.cli.screen import columns


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="snncc", message="%(prog)s %(version)s")
@click.pass_context
def app(context: click.Context) -> None:
    """A deployment compiler for spiking transformers.

    MODEL is a checkpoint, an exchanged file (.onnx, .pt2 ...), module:factory, or arch:NAME. Exit
    codes: 0 clean, 1 findings, 2 bad usage or input, 101 a bug in snncc, 130 interrupted.
    """
    context.with_resource(fitted(columns()))
    context.default_map = configured(app, Path.cwd())


for command in (compile_, check, energy, simulate, report, convert, explain, targets, inspect):
    app.add_command(command)
