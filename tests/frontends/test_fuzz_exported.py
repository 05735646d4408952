"""Damaged exported programs: refused at once without trust, and never a traceback with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from snncc.frontends.prepare import prepared
from snncc.models.neuron import LIF

FILES, TRUSTED = 10_000, 400
GIBIBYTES = 12
"""Of address space, most of which torch's libraries take."""

PROGRAM = """
import contextlib, io, json, pickle, random, resource, signal, sys, zipfile
from pathlib import Path

import torch
import torch.export

from snncc.cli.guard import guarded

count, limit, trust = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "trust"
start, place = Path(sys.argv[4]), Path(sys.argv[5])
resource.setrlimit(resource.RLIMIT_AS, (limit << 30, limit << 30))
whole = start.read_bytes()
NUMBERS = (-1, 0, 1, 2, 3, 7, 2**20, 2**31, 2**40, 2**62, -(2**63), 0.5, 1e999, True, None)
TEXTS = ("", "x", "torch.ops.aten.add.Tensor", "torch.ops.aten.softmax.int", "no.such.operator",
         "torch.ops.snncc.neuron.default", "p_fc1_weight", "lif1", "..", "/etc/passwd", [], {})


def unpickled(*_, **__):
    raise SystemError("something was unpickled")


if not trust:
    torch.load = torch.export.load = pickle.load = pickle.loads = unpickled
    pickle.Unpickler = unpickled


def bytes_changed(dice, data):
    data = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5, 50))):
        if not data:
            break
        at, how = dice.randrange(len(data)), dice.random()
        if how < 0.5:
            data[at] = dice.randrange(256)
        elif how < 0.7:
            del data[at : at + dice.choice((1, 2, 100))]
        elif how < 0.9:
            data[at:at] = bytes(dice.randrange(256) for _ in range(dice.choice((1, 4, 20))))
        else:
            del data[at:]
    return bytes(data)


def archive_changed(dice):
    with zipfile.ZipFile(start) as archive:
        parts = [[name, archive.read(name)] for name in archive.namelist()]
    for _ in range(dice.choice((1, 1, 2, 3))):
        change(dice, parts)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in parts:
            archive.writestr(name, data)
    return made.getvalue()


def change(dice, parts):
    # What is pickled stays as it was written: to unpickle it is what the user's word is for.
    part = dice.choice([each for each in parts if not each[0].endswith(".pt")])
    tables = [each for each in parts if each[0].endswith(".json")]
    how = dice.random()
    if how < 0.6 and tables:
        table = dice.choice(tables)
        table[1] = json_changed(dice, table[1])
    elif how < 0.7:
        parts.remove(part)
    elif how < 0.8:
        part[0] = dice.choice((part[0] + "x", "other/" + part[0], part[0].upper(), "../x", "/x"))
    elif how < 0.9:
        part[1] = bytes_changed(dice, part[1])
    else:
        part[1] = part[1][: len(part[1]) // 2]


def json_changed(dice, data):
    try:
        document = json.loads(data)
    except ValueError:
        return data
    for _ in range(dice.choice((1, 1, 2))):
        places = list(places_in(document))
        if not places:
            break
        within, key = dice.choice(places)
        how, value = dice.random(), within[key]
        if how < 0.2:
            del within[key]
        elif isinstance(value, (int, float)) or how < 0.4:
            within[key] = dice.choice(NUMBERS)
        elif isinstance(value, str) or how < 0.7:
            within[key] = dice.choice(TEXTS)
        elif isinstance(value, list) and value:
            value.append(dice.choice(value))
    return json.dumps(document).encode()


def places_in(value):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in list(items):
        yield value, key
        if isinstance(each, (dict, list)):
            yield from places_in(each)


def too_long(*_):
    raise SystemError("took more than a minute")


signal.signal(signal.SIGALRM, too_long)
codes, wanted = {}, (0, 1, 2) if trust else (2,)
for seed in range(count):
    dice = random.Random(seed)
    raw = seed % 4 == 0 if trust else seed % 2 == 0
    made = bytes_changed(dice, whole) if raw else archive_changed(dice)
    place.write_bytes(made)
    out, err = io.StringIO(), io.StringIO()
    signal.alarm(60)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(["check", str(place), *(["--trust-pickle"] if trust else [])])
    signal.alarm(0)
    codes[code] = codes.get(code, 0) + 1
    if code not in wanted or "Traceback" in err.getvalue():
        kept = place.with_name(f"seed-{seed}.pt2")
        kept.write_bytes(made)
        sys.exit(f"seed {seed} ended with {code}: {err.getvalue()}")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
print(f"{count} files: {codes}, {peak} MiB at most")
"""


class Net(nn.Module):
    """One layer of neurons, three steps of one image."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1, self.head = nn.Linear(4, 5), LIF(), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.lif1(self.fc1(x).expand(3, -1, -1))).mean(0)
        return y


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, net = tmp_path_factory.mktemp("program") / "net.pt2", Net()
    with prepared(net):
        torch.export.save(torch.export.export(net, (torch.zeros(2, 4),), strict=False), path)
    return path


def fuzz(count: int, how: str, start: Path, place: Path) -> str:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(count), str(GIBIBYTES), how]
    command += [str(start), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("how", "count"), [("no", 100), ("trust", 10)])
def test_some_damaged_programs_are_refused(
    how: str, count: int, start: Path, tmp_path: Path
) -> None:
    assert fuzz(count, how, start, tmp_path / "damaged.pt2").startswith(f"{count} files: ")


@pytest.mark.slow
@pytest.mark.parametrize(("how", "count"), [("no", FILES), ("trust", TRUSTED)])
def test_no_damaged_program_ends_in_a_traceback(
    how: str, count: int, start: Path, tmp_path: Path
) -> None:
    assert fuzz(count, how, start, tmp_path / "damaged.pt2").startswith(f"{count} files: ")
