"""The command line: parse, call, render, choose an exit code."""

from __future__ import annotations

import os
import sys

EXIT_CLEAN, EXIT_FINDINGS, EXIT_USAGE = 0, 1, 2
EXIT_OUR_BUG, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 101, 130, 141


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    # Threads that spin between two products take the processor from the neurons' threads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from snncc.cli.guard import guarded

        code = guarded(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # while our own imports run
        sys.stderr.write("interrupted\n")
        code = EXIT_INTERRUPTED
    sys.exit(code)
