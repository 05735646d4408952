"""The artefact: what is written is what is read, whole or not at all, and damage is seen."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc import artefact as module
from snncc.artefact import Artefact, check_destination, read_artefact, write_artefact
from snncc.diagnostics.core import SnnccError
from snncc.ir.domain import SPIKE
from snncc.ir.graph import Absent, Graph, IRError, Source, Weights
from snncc.ir.ops import Input, IntegerNeuron, Linear, Output, Readout


def network(bias: int = 3) -> Graph:
    """A linear layer, a neuron and a readout in integers."""
    ops = (
        Input(name="x", shape=(4,), domain=SPIKE, varies=True),
        Linear(name="fc", inputs=("x",), weight="w", bias="b", source=Source("fc", "net.py", 3)),
        IntegerNeuron(name="n", inputs=("fc",), threshold="theta", decay=2048, shift=3),
        Readout(name="r", inputs=("n",), steps=4),
        Output(name="y", inputs=("r",)),
    )
    weights: Weights = {
        "w": np.arange(-6, 6, dtype=np.int8).reshape(3, 4),
        "b": np.array([bias, 0, -1], np.int32),
        "theta": np.array(9, np.int64),
    }
    return Graph(ops, weights, "step", 4)


def example() -> Artefact:
    """An artefact with both graphs and two documents."""
    documents = {"report.json": {"schema": "x/1", "a": [1, 2.5]}, "report.md": "# Größe\n"}
    return Artefact(network(), network(5), documents, {"model": "m", "options": {"bits": 8}})


def only_error(call: Callable[..., Any], *args: object) -> str:
    """The code of the one diagnostic that the call ends with."""
    with pytest.raises(SnnccError) as caught:
        call(*args)
    (found,) = caught.value.diagnostics
    return found.rule.code


def contents(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write_artefact(tmp_path / "out", example())
    back = read_artefact(tmp_path / "out")
    assert back.integer == network()
    assert back.integer["fc"].source == Source("fc", "net.py", 3)
    assert back.floating == network(5)
    assert back.documents == example().documents
    assert back.manifest["model"] == "m"
    assert back.manifest["schema"] == "snncc.artefact/1"
    assert back.manifest["versions"].keys() >= {"snncc", "numpy"}


def test_same_input_same_bytes(tmp_path: Path) -> None:
    write_artefact(tmp_path / "a", example())
    write_artefact(tmp_path / "elsewhere" / "b", example())
    assert contents(tmp_path / "a") == contents(tmp_path / "elsewhere" / "b")
    assert str(tmp_path).encode() not in b"".join(contents(tmp_path / "a").values())


def test_the_float_graph_may_be_left_out(tmp_path: Path) -> None:
    write_artefact(tmp_path / "a", Artefact(network()))
    assert sorted(contents(tmp_path / "a")) == ["graph.txt", "manifest.json", "weights.safetensors"]
    assert read_artefact(tmp_path / "a").floating is None


def test_weights_without_values_cannot_be_written(tmp_path: Path) -> None:
    graph = network()
    absent = graph.replace(graph.ops, {"w": Absent((3, 4), "int8")})
    with pytest.raises(IRError):
        write_artefact(tmp_path / "a", Artefact(absent))
    assert not list(tmp_path.iterdir())


def test_an_older_artefact_is_replaced_whole(tmp_path: Path) -> None:
    write_artefact(tmp_path / "a", example())
    write_artefact(tmp_path / "a", Artefact(network(1)))
    assert read_artefact(tmp_path / "a").integer == network(1)
    assert "report.json" not in contents(tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_artefact(tmp_path / "a", example())
    assert read_artefact(tmp_path / "a").integer == network()


@pytest.mark.parametrize("manifest", [None, "{}", "[]", "no json", '{"schema": "other/1"}'])
def test_a_directory_of_others_is_not_touched(tmp_path: Path, manifest: str | None) -> None:
    theirs = tmp_path / "a"
    theirs.mkdir()
    (theirs / "thesis.tex").write_text("x")
    if manifest is not None:
        (theirs / "manifest.json").write_text(manifest)
    before = contents(tmp_path)
    assert only_error(check_destination, theirs) == "SNN901"
    assert only_error(write_artefact, theirs, example()) == "SNN901"
    assert contents(tmp_path) == before


def test_a_file_in_the_way_is_an_unwritable_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere/a")):
        assert only_error(write_artefact, path, example()) == "SNN902"
    assert contents(tmp_path) == {"file": b"x"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_an_unwritable_output(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert only_error(check_destination, tmp_path / "locked" / "a") == "SNN902"


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_fault_while_writing_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, existing: bool
) -> None:
    if existing:
        write_artefact(tmp_path / "deep" / "a", Artefact(network(1)))
    before = contents(tmp_path)
    write = Path.write_bytes

    def failing(path: Path, data: bytes) -> int:
        if path.name == "report.json":
            raise fault
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", failing)
    with pytest.raises((SnnccError, KeyboardInterrupt)):
        write_artefact(tmp_path / "deep" / "a", example())
    assert contents(tmp_path) == before
    assert (tmp_path / "deep").exists() is existing


def test_a_fault_while_replacing_brings_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_artefact(tmp_path / "a", Artefact(network(1)))
    replace = Path.replace

    def failing(path: Path, target: Path) -> Path:
        if path.name == "content":
            raise OSError(5, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    assert only_error(write_artefact, tmp_path / "a", example()) == "SNN902"
    assert read_artefact(tmp_path / "a").integer == network(1)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_is_no_artefact_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file", tmp_path / "missing"):
        assert only_error(read_artefact, path) == "SNN140"


def test_every_flipped_byte_and_missing_file_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_artefact(path, example())
    for name, data in contents(path).items():
        for broken in (b"", data[:-5], data[:5] + bytes([data[5] ^ 1]) + data[6:]):
            (path / name).write_bytes(broken)
            assert only_error(read_artefact, path) in ("SNN141", "SNN142")
        (path / name).unlink()
        assert only_error(read_artefact, path) in ("SNN140", "SNN141")
        (path / name).write_bytes(data)
    assert read_artefact(path).integer == network()


def rewrite(path: Path, **changes: object) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))


@pytest.mark.parametrize("schema", ["snncc.artefact/99", None, 3])
def test_a_schema_of_another_time_is_named(tmp_path: Path, schema: object) -> None:
    write_artefact(tmp_path / "a", example())
    rewrite(tmp_path / "a", schema=schema)
    assert only_error(read_artefact, tmp_path / "a") == "SNN142"


@pytest.mark.parametrize(
    "files",
    [
        None,
        [],
        {},
        {"graph.txt": None, "weights.safetensors": None},
        {"graph.txt": {}, "weights.safetensors": {}},
        {"graph.txt": {"sha256": "0"}, "weights.safetensors": {"sha256": "0"}},
        {"graph.txt": {}, "weights.safetensors": {}, "../../etc/passwd": {"sha256": "0"}},
    ],
)
def test_a_manifest_that_lies_is_damage(tmp_path: Path, files: object) -> None:
    write_artefact(tmp_path / "a", example())
    rewrite(tmp_path / "a", files=files)
    assert only_error(read_artefact, tmp_path / "a") == "SNN141"


@pytest.mark.parametrize("text", ["[" * 100_000, "\ufeff{}", "{", '"a"', "\x00"])
def test_a_manifest_that_is_no_json_object_is_damage(tmp_path: Path, text: str) -> None:
    write_artefact(tmp_path / "a", example())
    (tmp_path / "a" / "manifest.json").write_text(text)
    assert only_error(read_artefact, tmp_path / "a") in ("SNN141", "SNN142")


def test_a_consistent_forgery_of_the_graph_is_still_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_artefact(path, example())
    text = (path / "graph.txt").read_text().replace("int[", "int[-")
    (path / "graph.txt").write_text(text)
    files = json.loads((path / "manifest.json").read_text())["files"]
    files["graph.txt"]["sha256"] = module.sha256_of(path / "graph.txt")
    rewrite(path, files=files)
    assert only_error(read_artefact, path) == "SNN141"


def test_time_steps_without_end_are_refused(tmp_path: Path) -> None:
    """Manifest and graph agree with each other: both are a stranger's."""
    path = tmp_path / "a"
    write_artefact(path, example())
    text = (path / "graph.txt").read_text()
    (path / "graph.txt").write_text(re.sub(r" T\d+ ", " T1000000000 ", text, count=1))
    files = json.loads((path / "manifest.json").read_text())["files"]
    files["graph.txt"]["sha256"] = module.sha256_of(path / "graph.txt")
    rewrite(path, files=files)
    with pytest.raises(SnnccError, match="time steps, wanted 1 to 4,096"):
        read_artefact(path)


def test_a_pipe_among_the_files_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_artefact(path, example())
    (path / "graph.txt").unlink()
    os.mkfifo(path / "graph.txt")
    with pytest.raises(SnnccError, match="it is a named pipe, not a file"):
        read_artefact(path)


def test_a_name_that_is_too_long_cannot_be_written(tmp_path: Path) -> None:
    assert only_error(write_artefact, tmp_path / ("x" * 300), example()) == "SNN902"
