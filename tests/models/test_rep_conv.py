"""Convolutions in a row: the border that they see, and the one convolution that they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from snncc.models.rep_conv import BNAndPad, RepConv


def lively(module: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(tensor)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
    return module.double().eval()


def norm_of(state: dict[str, Tensor], path: str) -> tuple[Tensor, Tensor]:
    """Slope and shift of a norm."""
    slope = state[f"{path}.weight"] / (state[f"{path}.running_var"] + 1e-5).sqrt()
    return slope, state[f"{path}.bias"] - state[f"{path}.running_mean"] * slope


@pytest.mark.parametrize("pad", [0, 1, 3])
@torch.no_grad()
def test_the_border_is_what_the_norm_makes_of_zero(pad: int) -> None:
    layer = lively(BNAndPad(3, pad))
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    out = layer(x)
    _, shift = norm_of(layer.state_dict(), "bn")
    expected = shift.reshape(1, 3, 1, 1).expand(2, 3, 4 + 2 * pad, 5 + 2 * pad).clone()
    expected[:, :, pad : pad + 4, pad : pad + 5] = layer.get_submodule("bn")(x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-14)


def test_in_training_the_border_is_no_part_of_the_batch() -> None:
    layer, alone = lively(BNAndPad(3, 1)).train(), nn.BatchNorm2d(3).double()
    alone.load_state_dict(layer.get_submodule("bn").state_dict())
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    out = layer(x)
    torch.testing.assert_close(out[:, :, 1:-1, 1:-1], alone(x))
    torch.testing.assert_close(layer.state_dict()["bn.running_var"], alone.running_var)
    _, shift = norm_of(layer.state_dict(), "bn")
    torch.testing.assert_close(out[0, :, 0, 0].detach(), shift)
    out[:, :, 0].sum().backward()
    assert not any(p.grad.any() for p in layer.parameters() if p.grad is not None)


@pytest.mark.parametrize(("fan_out", "kernel"), [(4, 3), (7, 3), (4, 5)])
@torch.no_grad()
def test_rep_conv_is_one_convolution_padded_with_zeros(fan_out: int, kernel: int) -> None:
    layer = lively(RepConv(4, fan_out, kernel))
    state = layer.state_dict()
    first = state["body.0.weight"][:, :, 0, 0]
    slope, shift = norm_of(state, "body.1.bn")
    depthwise = state["body.2.0.weight"][:, 0]
    last = state["body.2.1.weight"][:, :, 0, 0]
    slope2, shift2 = norm_of(state, "body.2.2")
    weight = torch.einsum("oh,hyx,h,hi->oiyx", last, depthwise, slope, first)
    bias = last @ (depthwise.sum((1, 2)) * shift)
    x = torch.randn(2, 4, 6, 7, dtype=torch.float64)
    expected = nn.functional.conv2d(
        x, weight * slope2.reshape(-1, 1, 1, 1), bias * slope2 + shift2, padding=kernel // 2
    )
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
