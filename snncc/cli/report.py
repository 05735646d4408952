"""The command that shows an artefact: ``report``."""

from __future__ import annotations

from pathlib import Path

import click

from snncc.cli import EXIT_CLEAN
from snncc.cli.options import Place
from snncc.cli.progress import working
from snncc.cli.screen import result, say


@click.command()
@click.argument("artefact", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=Place(), metavar="FILE",
    help="Where it goes: MODEL-report.html where this is left out; stdout for --format md.",
)  # fmt: skip
@click.option(
    "--compare", type=click.Path(path_type=Path), metavar="ARTEFACT2",
    help="Show another artefact beside it, and what the difference is from.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["html", "md", "png", "svg"]), default="html",
    show_default=True, help="A page, a summary for a CI job, or one figure.",
)  # fmt: skip
@click.option("--figure", metavar="NAME", help="Which figure, for --format png or svg.")
def report(
    artefact: Path, output: Path | None, compare: Path | None, form: str, figure: str | None
) -> int:
    """Show ARTEFACT as one page that opens from disk, with no network.

    The page holds verdict, network, activity, energy, chip and diagnostics.
    """
    if figure is not None and form in ("html", "md"):
        raise click.UsageError(f"a figure is written with --format png or svg, not {form}")
    from snncc.backends.report.page.gather import read_network
    from snncc.backends.report.page.write import check_file, content_of, usual_name, write_file

    if output is not None:
        check_file(output)
    with working("reading the artefact"):
        networks = [read_network(path) for path in (artefact, compare) if path is not None]
    with working("drawing"):
        content = content_of(networks, form, figure)
    if output is None and form == "md":
        result(content.decode())
        return EXIT_CLEAN
    place = output or Path(usual_name(networks, form, figure))
    write_file(place, content)
    say(f"wrote {place}")
    return EXIT_CLEAN
