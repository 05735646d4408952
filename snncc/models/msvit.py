"""MSViT: QKFormer with token attention on two scales.

Source: Hua et al., "MSViT: Improving Spiking Vision Transformer Using Multi-scale Attention
Fusion", IJCAI 2025 (arXiv 2505.14719), and the parameter names of Nanhu-AI-Lab/MSViT @ dc994b2, so
that its checkpoints load strictly. Its first stage is as wide as its second. The official code
asks for a threshold of 0.5 after attention, but its neurons are built with 1.0: as here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from snncc.models.qkformer import Hierarchical, Neuron, TokenAttention

if TYPE_CHECKING:
    from torch import Tensor

    from snncc.models.config_stages import HierarchicalConfig


class MultiScaleAttention(TokenAttention):
    """`[T, B, C, H, W]` integers to spikes: M * K, projected, M = LIF(sum of Q + sum of P over d).

    P is a convolution along the row of tokens, 3 wide. In the "cifar100" form it is 1 wide and
    not summed: then M has a spike for each channel.
    """

    def __init__(self, dim: int, config: HierarchicalConfig, neuron: Neuron) -> None:
        super().__init__(dim, config, neuron)
        self._per_channel = config.variant == "cifar100"
        kernel = 1 if self._per_channel else 3
        scale = nn.Conv1d(dim, dim, kernel_size=kernel, padding=kernel // 2, bias=False)
        self.add_layer("p", scale, neuron)

    def weight_of_tokens(self, flat: Tensor) -> Tensor:
        """Return what decides on each token, `[T, B, heads, 1 (cifar100: d), N]`."""
        p = self.per_head("p", flat)
        return super().weight_of_tokens(flat) + (p if self._per_channel else p.sum(3, keepdim=True))


class MSViT(Hierarchical):
    """MSViT: stages of C/2, C/2 and C channels."""

    def __init__(self, config: HierarchicalConfig) -> None:
        dim = config.dim
        super().__init__(config, (dim // 2, dim // 2, dim), MultiScaleAttention)
