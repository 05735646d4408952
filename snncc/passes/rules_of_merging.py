"""What is said about convolutions in a row: which became one, and which could not."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

CHAINS_MERGED = rule(
    "SNN210",
    "linear-chains-merged",
    Severity.NOTE,
    """
    Convolutions or linear layers with no neuron between were merged into one.

    Together they are one linear map, and its input is that of the first: where that is spikes the
    map is spike-driven, though inside the chain floats flow. This is what papers call
    re-parameterisation (RepConv), and what a chip runs. The merged layer is exact, but it can have
    many more parameters: a depthwise 7x7 and a 1x1 convolution become a dense 7x7 one. The message
    says how many. `snncc check` judges the network as written unless it is given `--deployed`.
    """,
)

CHAIN_LEFT = rule(
    "SNN211",
    "linear-chain-not-merged",
    Severity.NOTE,
    """
    Convolutions or linear layers with no neuron between cannot be merged into one.

    The layers behind the first read floats, which is a finding of its own. One reason is a border:
    a convolution pads zeros, but the layers before it do not compute 0 beyond their border: a bias
    or batch norm adds a constant, or their own windows reach back inside. RepConv pads with
    `BN(0)` for that reason: then both agree. The other reason is size: the merged layer would have
    more parameters than the limit allows. Put a spiking neuron between the layers, or mend the
    border.
    """,
)
