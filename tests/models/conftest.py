"""Small networks whose neurons fire, and what their layers read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from snncc.models.zoo import FORMS

Fixture = Callable[..., nn.Module]
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@pytest.fixture
def lively() -> Callable[..., tuple[nn.Module, Tensor]]:
    """Return a function: form and options to a float64 network in eval mode and a batch of two.

    Batch norms have the statistics of that batch, and weights and biases that make every
    neuron layer fire.
    """

    def build(form: str, seed: int = 0, **options: object) -> tuple[nn.Module, Tensor]:
        torch.manual_seed(seed)
        arch = FORMS[form].configure(**options)
        model = arch.build().double()
        x = torch.rand(2, *arch.input_shape, dtype=torch.float64)
        if arch.config.time_in_input:
            x = (4 * x).floor()
        for module in model.modules():
            if isinstance(module, NORMS):
                module.momentum = None
                nn.init.uniform_(module.weight, 0.8, 1.6)
                nn.init.uniform_(module.bias, 0.2, 1.2)
        with torch.no_grad():
            model.train()(x)
        return model.eval(), x

    return build


@pytest.fixture
def inputs_of() -> Callable[[nn.Module, Tensor], dict[str, Tensor]]:
    """Return a function: network and batch to what each conv and linear layer reads."""

    def run(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
        read: dict[str, Tensor] = {}
        for path, module in model.named_modules():
            if isinstance(module, WEIGHTED):
                module.register_forward_pre_hook(
                    lambda _module, args, path=path: read.__setitem__(path, args[0])
                )
        with torch.no_grad():
            model(x)
        return read

    return run
