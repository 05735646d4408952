"""Ten thousand damaged files: each is read or refused, none ends in a traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snncc.cli.guard import guarded

FILES = 10_000
GIBIBYTES = 8
"""Of address space, most of which torch's libraries take."""

PROGRAM = """
import contextlib, io, random, re, resource, signal, sys
from pathlib import Path

import onnx

from snncc.cli.guard import guarded

count, limit = int(sys.argv[1]), int(sys.argv[2])
start, place = Path(sys.argv[3]), Path(sys.argv[4])
resource.setrlimit(resource.RLIMIT_AS, (limit << 30, limit << 30))
whole = start.read_bytes()
NUMBERS = (-1, 0, 1, 2, 3, 7, 2**20, 2**31, 2**40, 2**62, -2**63)
NAMES = ("", "x", "y", "v1", "fc1.weight", "Loop", "If", "Scan", "Conv", "Reshape", "Expand",
         "ConstantOfShape", "Gather", "Range", "Tile", "Pad", "Softmax", "MatMul", "Squeeze",
         "Slice", "Split", "Concat", "Transpose", "Flatten", "Einsum", "LSTM", "Evil")


WORDS = ("nan", "inf", "1e999", "None", "True", "()", "(-1,)", "'w'", "real", "spike", "pad",
         "thermometer", "repeat", "delay", "matmul", "sum", "soft", "x" * 999, chr(0))


def bytes_changed(dice):
    data = bytearray(whole)
    for _ in range(dice.choice((1, 1, 2, 5, 50))):
        at = dice.randrange(len(data))
        how = dice.random()
        if how < 0.5:
            data[at] = dice.randrange(256)
        elif how < 0.7:
            del data[at : at + dice.choice((1, 2, 100))]
        elif how < 0.9:
            data[at:at] = bytes(dice.randrange(256) for _ in range(dice.choice((1, 4, 20))))
        else:
            del data[at:]
        if not data:
            break
    return bytes(data)


def fields_changed(dice):
    model = onnx.ModelProto.FromString(whole)
    for _ in range(dice.choice((1, 1, 2, 3))):
        if model.metadata_props and dice.random() < 0.5:
            said = dice.choice((dice.choice(model.metadata_props), model.metadata_props[0]))
            said.value = text_changed(dice, said.value)
        else:
            change(model.graph, dice)
    return model.SerializeToString()


def text_changed(dice, text):
    words = re.split(r"(\\W+)", text)
    at = dice.randrange(len(words))
    how = dice.random()
    if how < 0.3:
        words[at] = str(dice.choice(NUMBERS))
    elif how < 0.6:
        words[at] = dice.choice(words)
    elif how < 0.7:
        words[at] = dice.choice(WORDS)
    elif how < 0.8:
        del words[at]
    else:
        lines = text.splitlines(keepends=True)
        lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines or ["x"]))
        return "".join(lines)
    return "".join(words)


def change(graph, dice):
    how, node = dice.randrange(9), dice.choice(graph.node)
    weight = dice.choice(graph.initializer)
    if how == 0:
        node.op_type = dice.choice(NAMES)
    elif how == 1 and node.input:
        node.input[dice.randrange(len(node.input))] = dice.choice(
            [dice.choice(NAMES), *dice.choice(graph.node).output])
    elif how == 2 and node.output:
        node.output[0] = dice.choice(NAMES)
    elif how == 3 and weight.dims:
        weight.dims[dice.randrange(len(weight.dims))] = dice.choice(NUMBERS)
    elif how == 4:
        weight.data_type = dice.randrange(30)
    elif how == 5:
        kind = dice.choice(("axis", "to", "transA", "alpha", "perm", "shape", "epsilon"))
        value = dice.choice((dice.choice(NUMBERS), [dice.choice(NUMBERS)] * 2, 0.5, "text"))
        node.attribute.append(onnx.helper.make_attribute(kind, value))
    elif how == 6:
        del graph.node[dice.randrange(len(graph.node))]
    elif how == 7:
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[dice.randrange(len(dims))].dim_value = dice.choice(NUMBERS)
    else:
        new = onnx.helper.make_node(dice.choice(NAMES), list(node.input), ["new"])
        graph.node.insert(dice.randrange(len(graph.node)), new)


def too_long(*_):
    raise SystemError("took more than a minute")


signal.signal(signal.SIGALRM, too_long)
codes = {}
for seed in range(count):
    dice = random.Random(seed)
    made = bytes_changed(dice) if seed % 2 else fields_changed(dice)
    place.write_bytes(made)
    out, err = io.StringIO(), io.StringIO()
    signal.alarm(60)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(["check", str(place)])
    signal.alarm(0)
    codes[code] = codes.get(code, 0) + 1
    if code not in (0, 1, 2) or "Traceback" in err.getvalue():
        kept = place.with_name(f"seed-{seed}.onnx")
        kept.write_bytes(made)
        sys.exit(f"seed {seed} ended with {code}: {err.getvalue()}")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
print(f"{count} files: {codes}, {peak} MiB at most")
"""


def fuzz(count: int, start: Path, place: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(count), str(GIBIBYTES), str(start), str(place)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def floats(saved: Callable[..., Path], unrolled: Callable[..., Any]) -> Path:
    return saved(unrolled(T=2))


@pytest.fixture
def integers(floats: Path, tmp_path: Path) -> Path:
    """What snncc itself writes of the same network."""
    path = tmp_path / "integers.onnx"
    assert guarded(["convert", str(floats), str(path), "--target", "loihi2"]) == 0
    return path


@pytest.mark.parametrize("kind", ["floats", "integers"])
def test_some_damaged_files_are_refused(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    done = fuzz(40, request.getfixturevalue(kind), tmp_path / "damaged.onnx")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["floats", "integers"])
def test_no_damaged_file_ends_in_a_traceback(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    done = fuzz(FILES, request.getfixturevalue(kind), tmp_path / "damaged.onnx")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{FILES} files: ")
