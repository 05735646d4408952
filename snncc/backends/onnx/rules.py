"""The rules of writing ONNX. This file imports neither onnx nor onnxruntime."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

ONNX_CANNOT_SAY = rule(
    "SNN190",
    "no-onnx-form",
    Severity.ERROR,
    """
    Something in the step graph has no exact form in ONNX, so no file is written.

    What is written is the *integer* step graph, and onnxruntime must compute it to the last bit:
    integers where its kernels have them, float32 where every sum is proved to stay below 2**24. An
    op of the float graph (a float neuron, a batch norm, a softmax), a number that is not proved to
    be an integer, or one that outgrows 64 bits cannot be written so. Compile the model first.

    Fails, because a float graph has float neurons:

    ```python
    import torch
    from torch import Tensor, nn
    from snncc.backends.onnx.model import write_onnx
    from snncc.compiler import check_model
    from snncc.frontends.load import from_module
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 3)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.fc(x.expand(4, -1, -1))).sum(0)  # [T, B, C]

    write_onnx(check_model(from_module(Model(), torch.zeros(2, 8))).graph)
    ```

    Mended:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.backends.onnx.model import write_onnx
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 3)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.fc(x.expand(4, -1, -1))).sum(0)  # [T, B, C]

    write_onnx(snncc.compile(Model(), torch.zeros(2, 8), target="loihi2").integer)
    ```
    """,
)

ONNX_TOO_LARGE = rule(
    "SNN191",
    "onnx-file-too-large",
    Severity.ERROR,
    """
    The model does not fit into one ONNX file: protobuf allows 2 GiB less one byte.

    Weights are written in as many bits as they have, one byte for each weight of a chip, so a model
    of this size has some two thousand million weights. snncc writes no external data: a file that
    stands alone is the file that was verified. Compile a smaller network.

    Fails:

    ```sh
    snncc convert build/enormous enormous.onnx
    ```

    Works:

    ```sh
    snncc convert build/digits digits.onnx
    ```
    """,
)
