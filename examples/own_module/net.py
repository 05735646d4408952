"""A network of one's own: any `nn.Module` whose neurons snncc knows."""

import torch
from torch import nn

from snncc.models.neuron import LIF


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.lif = nn.Conv2d(1, 8, 3, stride=2, padding=1), LIF()
        self.head = nn.Linear(512, 10)

    def forward(self, x):  # [B, 1, 16, 16]
        x = self.conv(x).repeat(4, 1, 1, 1, 1)  # four time steps, in front
        return self.head(self.lif(x).flatten(2)).mean(0)


def build():
    torch.manual_seed(0)
    return Net(), torch.zeros(1, 1, 16, 16)  # the network, and what its input looks like
