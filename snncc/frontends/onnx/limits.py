"""What an ONNX file may claim: every size is held against these before anything is allocated."""

from __future__ import annotations

LARGEST_FILE = 2**31
"""Bytes of a protobuf file, by protobuf's own rule."""

MOST_OUTSIDE = 2**32
"""Bytes of all external data together; the largest published network takes 0.7 GB in float32."""

SHARED = 2
"""How often a byte of external data is read in the mean: tied weights may stand in one place."""

MOST_NODES = 50_000
"""Nodes once functions and loops are written out; the digits network of ``examples``, 18 layers of
neurons and 4 time steps, has 1,659."""

MOST_STEPS = 1024
"""Steps of a loop over time; published networks have 1 to 20."""

MOST_INPUTS = 2 * MOST_STEPS
"""Inputs of one node: what joins or adds up all time steps reads one of each."""

DEEPEST = 16
"""Functions that call functions, and branches within branches."""

MOST_AXES = 10
"""Axes of a value."""

LARGEST_VALUE = 2**31
"""Numbers of a value that the network computes, for one batch."""

COMPUTED_ANYWAY, COMPUTED_OF_STORED, MOST_COMPUTED = 2**24, 4, 2**27
"""Numbers computed from constants alone, over the whole file: so many, and so many for each that is
stored, at most 1 GiB in float64."""

LONGEST_NAME = 300
"""Characters of a name."""
