"""The notebook runs, prints what is stored in it, and renders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbformat: Any = pytest.importorskip("nbformat", reason="needs nbformat")
FILE = Path(__file__).parents[2] / "examples" / "notebook" / "digits.ipynb"


def read() -> Any:
    return nbformat.read(FILE, as_version=4)


def printed(notebook: Any) -> list[str]:
    """What each cell of code printed."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return ["".join(o.get("text", "") for o in cell.outputs) for cell in cells]


def test_what_is_stored_is_whole_and_small() -> None:
    notebook = read()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert kinds == {"stream", "display_data"}
    assert FILE.stat().st_size < 150_000


def test_it_renders() -> None:
    exporters = pytest.importorskip("nbconvert", reason="needs nbconvert")
    html, _ = exporters.HTMLExporter().from_notebook_node(read())
    assert "Digits: check, compile, count, plot" in html
    assert "data:image/png;base64," in html


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_it_prints_what_is_stored() -> None:
    client = pytest.importorskip("nbclient", reason="needs nbclient")
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    notebook = read()
    stored = printed(notebook)
    place = {"metadata": {"path": str(FILE.parent)}}
    client.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    assert printed(notebook) == stored
