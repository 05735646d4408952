"""The colours of a page, one table for its style sheet, its charts and its exported figures.

Every figure says the same in words or in shape: colour is never all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

LIGHT: Mapping[str, str] = {
    "page": "#ffffff", "card": "#f6f8fa", "ink": "#1c2430", "soft": "#5b6675", "line": "#d5dbe3",
    "accent": "#1f5fbf", "good": "#1a7f4b", "warn": "#9a5b00", "bad": "#b3261e",
    "spike": "#cfe8d8", "counts": "#ffd9a8", "real": "#f7c1bd", "encoder": "#dcd3f2",
    "head": "#dcd3f2", "neuron": "#d8e6f7", "other": "#eceff3", "edge": "#8a95a3",
    "u0": "#eef3f9", "u1": "#c9dbef", "u2": "#93bbe1", "u3": "#5492cb", "u4": "#22609f",
    "u5": "#0b3565", "critical": "#d1006c",
}  # fmt: skip
DARK: Mapping[str, str] = {
    "page": "#12171e", "card": "#1a212b", "ink": "#e4e9f0", "soft": "#9aa7b6", "line": "#333e4c",
    "accent": "#7db3ff", "good": "#56c58a", "warn": "#e8a94a", "bad": "#ff8a80",
    "spike": "#1f4a34", "counts": "#6b4413", "real": "#6e2b28", "encoder": "#3d3560",
    "head": "#3d3560", "neuron": "#20385a", "other": "#2a323d", "edge": "#71808f",
    "u0": "#1d2733", "u1": "#1f3b5c", "u2": "#245a91", "u3": "#3180c7", "u4": "#63aef0",
    "u5": "#c0e0ff", "critical": "#ff5fae",
}  # fmt: skip

SERIES = ("#3b77bc", "#e08a1e", "#2f9e6e", "#b4469a", "#8a6fd1", "#7a8794", "#c8553d", "#4fb0c6")
"""Of kinds of layers and terms of a step: they can be told apart in grey and by most eyes."""

KIND_COLOURS: Mapping[str, str] = {
    "encoder": "#8a6fd1", "weights on spikes": "#2f9e6e", "weights on counts": "#e08a1e",
    "weights on reals": "#c8553d", "weights": "#7a8794", "attention": "#4fb0c6",
    "neurons": "#3b77bc", "head": "#b4469a",
}  # fmt: skip
"""Of kinds of layers, near to those of the network map."""

COST_CLASSES = ((0.5, "u5"), (0.2, "u4"), (0.05, "u3"), (0.01, "u2"), (0.0, "u1"))
"""From what share of the most on, and which colour."""


LOAD_CLASSES = ((0.8, "u5"), (0.6, "u4"), (0.4, "u3"), (0.2, "u2"), (0.0, "u1"))
"""The same of cores and links, which are full or empty rather than far apart."""

Classes: TypeAlias = tuple[tuple[float, str], ...]


def class_of(share: float, classes: Classes = COST_CLASSES) -> str:
    """Return the colour of a share of the most, ``u0`` for nothing."""
    if share <= 0:
        return "u0"
    return next(name for least, name in classes if share >= least)


def is_deep(name: str) -> bool:
    """Whether text on this colour has to be turned around."""
    return name in ("u4", "u5")
