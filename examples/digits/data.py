"""scikit-learn's handwritten digits as `[1, 16, 16]` tensors in 0..1.

The 1,797 images of 8x8 pixels with values 0..16 (UCI "Optical Recognition of Handwritten
Digits", the test part) are divided by 16 and each pixel doubled in height and width. 450 of
them, drawn once with seed 0, are held out. `test.npz` and `calibration.npz` are parts of this,
so that only training needs scikit-learn.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

HERE = Path(__file__).parent
HELD_OUT = 450
CALIBRATION = 64
PIXEL_MAX = 16

Sample = tuple[torch.Tensor, int]
Arrays = tuple[NDArray[np.float32], NDArray[np.int64]]


def split() -> tuple[Arrays, Arrays]:
    """Return training and held-out images `x` [N, 1, 16, 16] and labels `y` [N]."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = (images.reshape(-1, 1, 8, 8) / PIXEL_MAX).astype(np.float32)
    x = x.repeat(2, axis=2).repeat(2, axis=3)
    order = np.random.RandomState(0).permutation(len(x))
    held_out, kept = order[:HELD_OUT], order[HELD_OUT:]
    y = labels.astype(np.int64)
    return (x[kept], y[kept]), (x[held_out], y[held_out])


def train() -> list[Sample]:
    """Return the 1,347 training images; needs scikit-learn."""
    return _samples(*split()[0])


def test() -> list[Sample]:
    """Return the 450 held-out images."""
    return _load("test.npz")


def calibration() -> list[Sample]:
    """Return the first 64 training images."""
    return _load("calibration.npz")


def export(folder: Path = HERE) -> None:
    """Write the held-out and the calibration images."""
    (x, y), held_out = split()
    np.savez_compressed(folder / "test.npz", x=held_out[0], y=held_out[1])
    np.savez_compressed(folder / "calibration.npz", x=x[:CALIBRATION], y=y[:CALIBRATION])


def _load(name: str) -> list[Sample]:
    with np.load(HERE / name) as arrays:
        return _samples(arrays["x"], arrays["y"])


def _samples(x: NDArray[np.float32], y: NDArray[np.int64]) -> list[Sample]:
    return [(torch.from_numpy(image), int(label)) for image, label in zip(x, y, strict=True)]
