"""From whatever a command ends with to an exit code; no traceback reaches a user."""

from __future__ import annotations

import os
import platform
import sys
import traceback

import click

from snncc import __version__
from snncc.cli import (
    EXIT_BROKEN_PIPE,
    EXIT_CLEAN,
    EXIT_FINDINGS,
    EXIT_INTERRUPTED,
    EXIT_OUR_BUG,
    EXIT_USAGE,
)
from snncc.cli.screen import show, stderr
from snncc.diagnostics.core import SnnccError

_FOUND_IN_MODEL = ("SNN2", "SNN3", "SNN41")
"""Codes of findings: not spike-driven, no integer form, more than the target can."""


def guarded(arguments: list[str]) -> int:
    """Run the command line; return its exit code."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except click.ClickException as usage:
        usage.show(sys.stderr)
        return EXIT_USAGE
    except SnnccError as refusal:
        show(*refusal.diagnostics)
        return EXIT_FINDINGS if _is_about_the_model(refusal) else EXIT_USAGE
    except (KeyboardInterrupt, click.Abort):
        stderr().print("interrupted", style="dim")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return EXIT_BROKEN_PIPE
    except Exception as fault:  # noqa: BLE001 - the last line of defence
        _report_bug(fault, arguments)
        return EXIT_OUR_BUG


def _run(arguments: list[str]) -> int:
    """Run without click's own ending, which turns a broken pipe into exit code 1."""
    from snncc.cli.app import app

    if "_SNNCC_COMPLETE" in os.environ:
        app.main(arguments, prog_name="snncc")
    try:
        with app.make_context("snncc", list(arguments)) as context:
            return int(app.invoke(context) or EXIT_CLEAN)
    except click.exceptions.Exit as done:
        return done.exit_code


def _is_about_the_model(refusal: SnnccError) -> bool:
    """Whether the input was in order and the model was refused for what was found in it."""
    return all(d.rule.code.startswith(_FOUND_IN_MODEL) for d in refusal.diagnostics)


def _forget_stdout() -> None:
    """Whoever read our output is gone: let Python's own last flush go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _report_bug(fault: Exception, arguments: list[str]) -> None:
    if os.environ.get("SNNCC_DEBUG") == "1":
        traceback.print_exc()
    show(*getattr(fault, "diagnostics", ()))
    lines = (
        f"this is a bug in snncc: {type(fault).__name__}: {fault}",
        f"  version: snncc {__version__}, Python {platform.python_version()}, {sys.platform}",
        f"  command: snncc {' '.join(arguments)}",
        "  Please report it with these lines; SNNCC_DEBUG=1 adds the traceback.",
    )
    for line in lines:
        stderr().print(line, soft_wrap=True, highlight=False, markup=False)
