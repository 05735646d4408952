"""Train both networks on the digits: `python -m examples.digits.train`.

Writes `spikingformer.pth.tar` and `spikformer.pth.tar` beside this file, in the container of
the official training programs, and prints accuracy and firing rates on the held-out images.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import click
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from examples.digits import data
from snncc.models.neuron import SpikingNeuron
from snncc.models.zoo import FORMS, Architecture

SIZES = {
    "dim": 64, "depth": 2, "heads": 4, "mlp_ratio": 4, "T": 4,
    "img_size": 16, "in_channels": 1, "classes": 10, "pool_stages": (3, 4),
}  # fmt: skip
NETWORKS = {
    "spikingformer": FORMS["spikingformer-cifar"].configure(**SIZES),
    "spikformer": FORMS["spikformer-cifar"].configure(**SIZES),
}
BATCH = 64
RATE_RANGE = (0.08, 0.30)
"""Mean firing rates of a layer that cost nothing: a silent layer would prove nothing."""


class FiringRates:
    """Mean output of each neuron layer in the latest forward pass, by module path."""

    def __init__(self, model: nn.Module) -> None:
        self.by_path: dict[str, Tensor] = {}
        for path, module in model.named_modules():
            if isinstance(module, SpikingNeuron):
                module.register_forward_hook(self._keep(path))

    def _keep(self, path: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], spikes: Tensor) -> None:
            self.by_path[path] = spikes.mean()

        return hook

    def penalty(self) -> Tensor:
        """Return how far the rates are outside their range, summed over layers."""
        rates = torch.stack(list(self.by_path.values()))
        low, high = RATE_RANGE
        return (F.relu(low - rates) + F.relu(rates - high)).sum()


def stack(samples: list[data.Sample]) -> tuple[Tensor, Tensor]:
    """Return all images [N, 1, 16, 16] and labels [N]."""
    return torch.stack([x for x, _ in samples]), torch.tensor([y for _, y in samples])


def shifted(x: Tensor) -> Tensor:
    """Move each image by up to one pixel each way; zeros come in from the border."""
    size = x.shape[-1]
    padded = F.pad(x, (1, 1, 1, 1))
    corners = torch.randint(0, 3, (len(x), 2)).tolist()
    return torch.stack(
        [
            image[:, top : top + size, left : left + size]
            for image, (top, left) in zip(padded, corners, strict=True)
        ]
    )


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, dict[str, float]]:
    """Return top-1 accuracy and the firing rate of each neuron layer."""
    model.eval()
    rates = FiringRates(model)
    accuracy = (model(x).argmax(1) == y).float().mean().item()
    return accuracy, {path: rate.item() for path, rate in rates.by_path.items()}


def fit(model: nn.Module, x: Tensor, y: Tensor, *, epochs: int) -> None:
    """Train in place: AdamW, one cosine, cross-entropy plus the rate penalty."""
    rates = FiringRates(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    steps = epochs * math.ceil(len(x) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for epoch in range(epochs):
        model.train()
        started, total = time.monotonic(), 0.0
        for batch in torch.randperm(len(x)).split(BATCH):  # type: ignore[no-untyped-call]
            logits = model(shifted(x[batch]))
            loss = F.cross_entropy(logits, y[batch], label_smoothing=0.1) + rates.penalty()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        seconds = time.monotonic() - started
        click.echo(
            f"epoch {epoch + 1}/{epochs}: loss {total / len(x):.4f}, {seconds:.1f} s", err=True
        )


def container(
    name: str, arch: Architecture, model: nn.Module, epochs: int, top1: float
) -> dict[str, object]:
    """Return what the official programs save, without the optimizer."""
    config = arch.config
    args = argparse.Namespace(
        model=name, dataset="sklearn/digits", num_classes=config.classes, img_size=config.img_size,
        in_channels=config.in_channels, dim=config.dim, num_heads=config.heads,
        patch_size=config.patch_size, mlp_ratio=config.mlp_ratio, depths=config.depth,
        layer=config.depth, time_step=config.T, epochs=epochs, batch_size=BATCH,
    )  # fmt: skip
    return {
        "epoch": epochs - 1,
        "arch": name,
        "state_dict": OrderedDict((k, v.contiguous()) for k, v in model.state_dict().items()),
        "args": args,
        "version": 2,
        "metric": 100 * top1,
    }


@click.command()
@click.option(
    "--network",
    "names",
    type=click.Choice(sorted(NETWORKS)),
    multiple=True,
    default=sorted(NETWORKS),
)
@click.option("--epochs", default=60, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--images", type=int, default=None, help="Train on the first so many images only.")
@click.option("-o", "folder", type=click.Path(path_type=Path), default=data.HERE)
def main(names: tuple[str, ...], epochs: int, seed: int, images: int | None, folder: Path) -> None:
    """Train, evaluate and save the networks."""
    torch.set_num_threads(2)
    data.export(folder)
    x, y = stack(data.train()[:images])
    for name in names:
        torch.manual_seed(seed)
        arch = NETWORKS[name]
        model = arch.build()
        fit(model, x, y, epochs=epochs)
        top1, rates = evaluate(model, *stack(data.test()))
        torch.save(container(name, arch, model, epochs, top1), folder / f"{name}.pth.tar")
        click.echo(f"{name}: top-1 {100 * top1:.2f} % of {data.HELD_OUT}")
        for path, rate in rates.items():
            click.echo(f"  {path:<28} {100 * rate:5.1f} %")


if __name__ == "__main__":
    main()
