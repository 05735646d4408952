"""What can be wrong with data."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

UNREADABLE_DATA = rule(
    "SNN130",
    "unreadable-data",
    Severity.ERROR,
    """
    The data cannot be read: not there, cut short, or in a form that snncc does not know.

    Known are `.npz` with an array `x` and, with labels, an array `y`; `.npy` with the inputs
    alone; `.pt` with a tensor, a pair, or a dict of `x` and `y`; a folder with one folder of images
    a class; and `package.module:factory`, which gives an iterable of (input, label).
    Files are opened without running code from them: no pickled objects.

    Fails, for a text is no array:

    ```sh
    snncc energy model.pth.tar --data labels.csv
    ```

    Mended:

    ```sh
    snncc energy model.pth.tar --data samples.npz
    ```
    """,
)
WRONG_SHAPE = rule(
    "SNN131",
    "wrong-data-shape",
    Severity.ERROR,
    """
    The samples do not have the shape, or the type, that the network reads.

    The first axis counts the samples; what is left has to be the network's input, channels first:
    `(1000, 3, 32, 32)` for a network that reads `3x32x32`. Images in a folder need its size.

    Fails, where the network was built for images of 32 x 32:

    ```sh
    snncc energy model.pth.tar --data mnist-28x28.npz
    ```

    Mended:

    ```sh
    snncc energy model.pth.tar --data cifar-32x32.npz
    ```
    """,
)
NOT_FINITE = rule(
    "SNN132",
    "data-not-finite",
    Severity.ERROR,
    """
    The data holds NaN or infinity, of which no spike can be counted.

    The message names the first sample that does.

    Fails, because it was divided by a deviation of 0:

    ```sh
    snncc energy model.pth.tar --data normalised-by-0.npz
    ```

    Mended:

    ```sh
    snncc energy model.pth.tar --data normalised.npz
    ```
    """,
)
EMPTY_DATA = rule(
    "SNN133",
    "empty-data",
    Severity.ERROR,
    """
    There is not one sample in the data, so nothing can be measured on it.

    Fails:

    ```sh
    snncc energy model.pth.tar --data empty-folder
    ```

    Mended:

    ```sh
    snncc energy model.pth.tar --data folder
    ```
    """,
)
BAD_LABELS = rule(
    "SNN134",
    "bad-labels",
    Severity.ERROR,
    """
    The labels are not one class number for each sample.

    Labels are integers from 0 up, one a sample and less than the number of classes. One-hot rows
    are not labels: give `y.argmax(axis=1)`.

    Fails:

    ```sh
    snncc simulate build/model --input one-hot-labels.npz
    ```

    Mended:

    ```sh
    snncc simulate build/model --input class-numbers.npz
    ```
    """,
)
FAILING_FACTORY = rule(
    "SNN135",
    "failing-data-factory",
    Severity.ERROR,
    """
    `package.module:factory` cannot be imported or called, or what it gives cannot be read.

    The factory takes no arguments and returns an iterable of (input, label), one sample or one
    batch at a time; a label may be None. The module is looked for as Python does, and in the
    current directory.

    Fails, because it names the module alone:

    ```sh
    snncc energy model.pth.tar --data mine.loader:
    ```

    Mended:

    ```sh
    snncc energy model.pth.tar --data mine.loader:test_samples
    ```
    """,
)
NO_IMAGE_READER = rule(
    "SNN136",
    "no-image-reader",
    Severity.ERROR,
    """
    A folder of images needs Pillow, which is not installed.

    `pip install pillow`, or give the data as `.npz`.

    Fails:

    ```sh
    snncc energy model.pth.tar --data folder-of-images
    ```

    Mended, without Pillow:

    ```sh
    snncc energy model.pth.tar --data images.npz
    ```
    """,
)
OUTSIDE_RANGE = rule(
    "SNN138",
    "data-outside-range",
    Severity.WARNING,
    """
    Some of the data lie outside the range that the network was calibrated for.

    An artefact holds its input as integers on a grid that calibration chose: smaller and larger
    numbers are clipped to its ends. Where more than one in a hundred are, or one lies far outside,
    the samples are scaled in another way than those of `compile --data`: 0 to 255 in place of 0 to
    1, another mean and deviation.

    Warned of, where the network was calibrated with pixels of 0 to 1:

    ```sh
    snncc simulate artefact --input pixels-of-0-to-255.npz
    ```

    Mended:

    ```sh
    snncc simulate artefact --input pixels-of-0-to-1.npz
    ```
    """,
)
