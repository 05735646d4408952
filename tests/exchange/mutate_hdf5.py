"""Reads mutated copies of a file, many in one process.

    python mutate_hdf5.py FILE SEED START STOP

Prints a line a copy: its number, and `read` or the code of the refusal. Ends with another code than
0 where a copy leads to anything else, or takes more than 8 GiB or more than 20 seconds.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import tempfile
import warnings
from pathlib import Path

import h5py
import numpy as np

from snncc.diagnostics.core import SnnccError
from snncc.frontends import hdf5, hdf5_child
from snncc.frontends.load import load_model

MOST_BYTES = 8 << 30
MOST_SECONDS = 20.0


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Return the bytes with a few of them changed, cut out, doubled, or an end cut off."""
    kind = random.integers(10)
    if kind == 0:
        return data[: random.integers(len(data))]
    if kind == 1:
        start, length = random.integers(len(data)), random.integers(1, 64)
        return data[:start] + data[start + length :]
    changed = bytearray(data)
    if kind == 2:
        start, stop, length = *random.integers(len(data), size=2), random.integers(1, 256)
        piece = changed[start : start + length]
        changed[stop : stop + len(piece)] = piece
        return bytes(changed)
    if kind in (3, 4):
        # Numbers of eight bytes are sizes and addresses: small, large and negative ones.
        at = int(random.integers(len(data) - 8))
        sizes = (0, 1, 2**31, 2**40, 2**63, 2**64 - 1, len(data))
        value = sizes[random.integers(len(sizes))]
        changed[at : at + 8] = value.to_bytes(8, "little")
        return bytes(changed)
    for at in random.integers(len(data), size=int(random.integers(1, 9))):
        changed[at] = random.integers(256)
    return bytes(changed)


VALUES = (
    -1, 0, 2**40, 2**62, 0.5, float("nan"), float("inf"), 1e308, "text", "NIRGraph", "LIF", "conv",
    np.zeros(0), np.zeros((2, 3)), np.zeros((1, 1, 1, 1, 1)), np.full(3, -7), np.array([2**40] * 3),
    np.array(["a", "b"], dtype="S3"), True, np.full((10,), 1e-30),
)  # fmt: skip


def make(copy: Path, data: bytes, random: np.random.Generator) -> None:
    """Write a mutated copy: of its bytes, or of what stands in it."""
    if random.integers(2):
        copy.write_bytes(mutated(data, random))
    else:
        copy.write_bytes(data)
        edit(copy, random)


def edit(copy: Path, random: np.random.Generator) -> None:
    """Delete, rename or replace a few of the parts of a file that stays well-formed."""
    with h5py.File(copy, "r+") as file:
        for _ in range(random.integers(1, 4)):
            places: list[str] = []
            file.visit(places.append)
            if not places:
                return
            place = places[random.integers(len(places))]
            kind, mark = random.integers(6), random.integers(1 << 30)
            if kind == 0:
                file.move(place, f"{place}{mark}")
            elif kind == 1:
                inside = file.get(place, getclass=True) is h5py.Group
                file.copy(place, f"{place}/{mark}" if inside else f"{place}{mark}")
            else:
                del file[place]
                if kind > 2:
                    file[place] = VALUES[random.integers(len(VALUES))]


def main(file: Path, seed: int, start: int, stop: int) -> None:
    """Read some of the mutated copies of a file; the last line begun is the last copy tried."""
    faulthandler.enable()
    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    # Ten thousand processes take an hour: what becomes of the library here is the parent's concern.
    hdf5._read_apart = lambda path, folder: hdf5_child.main(str(path), folder)
    data = file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"copy{file.suffix}"
        for number in range(start, stop):
            make(copy, data, np.random.default_rng([seed, number]))
            sys.stdout.write(f"\n{number} ")
            sys.stdout.flush()
            faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
            try:
                load_model(str(copy)).origin.graph()
                sys.stdout.write("read")
            except SnnccError as error:
                short = len(str(error)) < 2000
                sys.stdout.write(error.diagnostics[0].rule.code if short else "long")
            faulthandler.cancel_dump_traceback_later()
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
