"""A network as the tutorials of SpikingJelly write them; nothing is changed for snncc."""

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn


class Net(nn.Module):
    def __init__(self, steps=4):
        super().__init__()
        self.steps = steps
        self.features = nn.Sequential(
            layer.Conv2d(1, 16, 3, padding=1, bias=False),
            layer.BatchNorm2d(16),
            neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan()),
            layer.MaxPool2d(2),
            layer.Conv2d(16, 16, 3, padding=1, bias=False),
            layer.BatchNorm2d(16),
            neuron.IFNode(surrogate_function=surrogate.ATan()),
            layer.MaxPool2d(2),
            layer.Flatten(),
            layer.Linear(16 * 4 * 4, 10),
        )
        functional.set_step_mode(self, "m")

    def forward(self, x):  # [B, 1, 16, 16]
        functional.reset_net(self)
        return self.features(x.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1)).mean(0)


def build():
    torch.manual_seed(0)
    return Net(), torch.zeros(1, 1, 16, 16)
