"""Writes `docs/performance.md` from the results: each table under the command that made it.

python benchmarks/page.py
"""

from __future__ import annotations

import ast
import json
import textwrap
from pathlib import Path

from timing import FOLDER, table

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
SECTIONS = {
    "executor": "Executor and PyTorch",
    "breakdown": "Where the time goes",
    "compile": "Compile time",
    "counting": "Counting",
    "lava_lanes": "Executor and Lava",
    "events": "Synaptic operations a second",
    "scaling": "Scaling",
}


def main() -> None:
    """Write the page."""
    parts = [(HERE / "performance.head.md").read_text().strip()]
    parts += [_section(name, title) for name, title in SECTIONS.items()]
    PAGE.write_text("\n\n".join(part for part in parts if part) + "\n")


def _section(name: str, title: str) -> str:
    results, script = FOLDER / f"{name}.json", HERE / f"{name}.py"
    if not results.exists():
        return ""
    document = json.loads(results.read_text())
    facts = ", ".join(f"{key} {value}" for key, value in document["machine"].items())
    said = ast.get_docstring(ast.parse(script.read_text())) or ""
    notes = HERE / "notes" / f"{name}.md"
    found = notes.read_text().strip() if notes.exists() else ""
    return "\n\n".join(
        each
        for each in (f"## {title}", _markdown(said), table(document["rows"]), facts, found)
        if each
    )


def _markdown(docstring: str) -> str:
    """Return a docstring as Markdown: its paragraphs of commands are fenced."""
    paragraphs = docstring.split("\n\n")
    return "\n\n".join(
        f"```sh\n{textwrap.dedent(part)}\n```" if part.startswith("    ") else part
        for part in paragraphs
    )


if __name__ == "__main__":
    main()
