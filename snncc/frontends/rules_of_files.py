"""The rules about getting at a network: what can be wrong with its name, its file and its sizes.

They are declared apart from the code that applies them, so that listing them does not import torch.
"""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

MISSING_FILE = rule(
    "SNN101",
    "missing-file",
    Severity.ERROR,
    """
    The file that was named does not exist, is no file (a folder, a named pipe, a device, a link to
    nothing), or cannot be opened.

    Fails, because the name was mistyped:

    ```python
    import snncc.frontends.load as load

    load.load_model("chekpoint.pth.tar")
    ```

    Mended:

    ```python
    import snncc.frontends.load as load

    load.load_model("checkpoint.pth.tar")
    ```
    """,
)

NOT_A_CHECKPOINT = rule(
    "SNN102",
    "not-a-checkpoint",
    Severity.ERROR,
    """
    The file is something else than what `torch.save` or safetensors writes: a text, an image, a
    TorchScript archive, an object that is no dictionary of tensors.

    Fails, because only a number is stored:

    ```python
    import torch

    torch.save(0.97, "checkpoint.pth.tar")
    ```

    Mended:

    ```python
    import torch

    network = torch.nn.Linear(4, 2)
    torch.save({"state_dict": network.state_dict(), "accuracy": 0.97}, "checkpoint.pth.tar")
    ```
    """,
)

TRUNCATED_CHECKPOINT = rule(
    "SNN103",
    "truncated-checkpoint",
    Severity.ERROR,
    """
    The file is empty, or it begins as a checkpoint and ends too early: a download or a copy that
    was cut off, a disk that was full. Fetch it again and compare sizes.

    Fails:

    ```python
    from pathlib import Path

    Path("copy.pth.tar").write_bytes(Path("checkpoint.pth.tar").read_bytes()[:1000])
    ```

    Mended:

    ```python
    import shutil

    shutil.copyfile("checkpoint.pth.tar", "copy.pth.tar")
    ```
    """,
)

PICKLED_CODE = rule(
    "SNN104",
    "pickled-code",
    Severity.ERROR,
    """
    The file holds more than tensors and plain values: opening it would call what it names, which
    can be any program. Nothing of it has been run. A whole module is stored that way, too.

    Store the tensors alone, or say `--trust-pickle` if you know who made the file.

    Fails:

    ```python
    import torch

    network = torch.nn.Linear(4, 2)
    torch.save(network, "network.pth.tar")
    ```

    Mended:

    ```python
    import torch

    network = torch.nn.Linear(4, 2)
    torch.save(network.state_dict(), "network.pth.tar")
    ```
    """,
)

NO_TENSORS = rule(
    "SNN105",
    "no-tensors",
    Severity.ERROR,
    """
    The checkpoint is in order and holds no weights.

    Fails, because the dictionary holds only how the training stood:

    ```python
    import torch

    torch.save({"epoch": 300, "metric": 75.85}, "checkpoint.pth.tar")
    ```

    Mended:

    ```python
    import torch

    network = torch.nn.Linear(4, 2)
    torch.save({"epoch": 300, "state_dict": network.state_dict()}, "checkpoint.pth.tar")
    ```
    """,
)

NOT_FINITE = rule(
    "SNN106",
    "not-finite-weights",
    Severity.ERROR,
    """
    Weights are infinite or not a number: the training has diverged, and nothing can be computed
    from them. Take a checkpoint from before that.

    Fails:

    ```python
    import torch

    torch.save({"head.weight": torch.tensor([float("nan")])}, "checkpoint.pth.tar")
    ```

    Mended:

    ```python
    import torch

    torch.save({"head.weight": torch.tensor([0.5])}, "checkpoint.pth.tar")
    ```
    """,
)

UNKNOWN_FAMILY = rule(
    "SNN107",
    "unknown-family",
    Severity.ERROR,
    """
    The names of the weights are those of no network that snncc knows. Say how your network is
    built: `--network package.module:factory`.

    Fails, for a class of your own:

    ```python
    import snncc.frontends.load as load

    load.load_model("mine.pth.tar")
    ```

    Mended:

    ```python
    import snncc.frontends.load as load

    load.load_model("mine.pth.tar", network="mine.network:build")
    ```
    """,
)

BAD_SETTING = rule(
    "SNN108",
    "bad-setting",
    Severity.ERROR,
    """
    A setting (`--set name=value`) has an unknown name, a value of the wrong type, one that the
    weights contradict, or one with which no network can be built.

    Fails, because 384 channels do not divide into 7 heads:

    ```python
    import snncc.frontends.load as load

    load.load_model("arch:spikingformer-8-384", settings={"heads": "7"})
    ```

    Mended:

    ```python
    import snncc.frontends.load as load

    load.load_model("arch:spikingformer-8-384", settings={"heads": "8"})
    ```
    """,
)

WEIGHTS_DO_NOT_FIT = rule(
    "SNN109",
    "weights-do-not-fit",
    Severity.ERROR,
    """
    The weights in the file are not those of the network: names are missing or unknown, or shapes
    differ. Weights are loaded all or not at all.

    Fails:

    ```python
    import torch

    torch.nn.Linear(4, 2).load_state_dict({"weight": torch.zeros(2, 4)})
    ```

    Mended:

    ```python
    import torch

    torch.nn.Linear(4, 2).load_state_dict({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)})
    ```
    """,
)

UNKNOWN_MODEL = rule(
    "SNN110",
    "unknown-model",
    Severity.ERROR,
    """
    What names the model is neither a file, nor `arch:NAME` with a name that is known, nor
    `package.module:factory`. `snncc inspect --list-archs` prints the names.

    Fails:

    ```python
    import snncc.frontends.load as load

    load.load_model("arch:spikingformer-8")
    ```

    Mended:

    ```python
    import snncc.frontends.load as load

    load.load_model("arch:spikingformer-8-512")
    ```
    """,
)

FACTORY_FAILED = rule(
    "SNN111",
    "factory-failed",
    Severity.ERROR,
    """
    `package.module:factory` could not be imported, raised, or did not return what it has to: an
    `nn.Module`, or a pair of an `nn.Module` and an example of its input with a batch axis.

    Fails, because it returns the class:

    ```python
    import torch

    class Network(torch.nn.Linear):
        pass

    def build():
        return Network
    ```

    Mended:

    ```python
    import torch

    class Network(torch.nn.Linear):
        pass

    def build():
        return Network(4, 2), torch.zeros(1, 4)
    ```
    """,
)

UNKNOWN_INPUT = rule(
    "SNN112",
    "unknown-input-shape",
    Severity.ERROR,
    """
    Nothing says how large the network's input is. A factory can return an example of it.

    Fails:

    ```python
    import torch

    def build():
        return torch.nn.Conv2d(3, 8, 3)
    ```

    Mended:

    ```python
    import torch

    def build():
        return torch.nn.Conv2d(3, 8, 3), torch.zeros(1, 3, 32, 32)
    ```
    """,
)
