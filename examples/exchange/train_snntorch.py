"""Trains a small convolutional network on scikit-learn's digits in snnTorch; writes it as NIR.

    python train_snntorch.py FOLDER

writes `digits.nir`, and `calibration.npz` and `test.npz` with images and labels. A few seconds.
"""

import sys
from pathlib import Path

import nir
import numpy as np
import snntorch as snn
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from snntorch import utils
from snntorch.export_nir import export_to_nir
from torch import nn

STEPS = 4


def leaky(*shape):
    """Neurons with a parameter each: snnTorch's exporter wants their shape."""
    beta, threshold = torch.full(shape, 0.5), torch.full(shape, 1.0)
    return snn.Leaky(beta, threshold, init_hidden=True, reset_mechanism="zero")


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), leaky(8, 8, 8),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), leaky(16, 4, 4),
        nn.Flatten(),
        nn.Linear(256, 10), leaky(10),
    )  # fmt: skip


def spike_counts(net, images):
    utils.reset(net)
    return sum(net(images) for _ in range(STEPS))


def main(folder, epochs=12):
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    labels, cut = torch.tensor(labels), 1297
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(epochs):
        for batch in torch.randperm(cut).split(64):
            loss = F.cross_entropy(spike_counts(net, images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        right = spike_counts(net, images[cut:]).argmax(1) == labels[cut:]
    print(f"accuracy on {len(right)} test images: {right.float().mean():.1%}")
    utils.reset(net)
    nir.write(folder / "digits.nir", export_to_nir(net, images[:1], ignore_dims=[0]))
    for name, part in (("calibration", slice(0, 64)), ("test", slice(cut, None))):
        kept = {"x": images[part].numpy(), "y": labels[part].numpy()}
        np.savez_compressed(folder / f"{name}.npz", **kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
