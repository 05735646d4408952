"""A deployment compiler for spiking transformers: PyTorch model in, verified integers out."""

__version__ = "0.1.0"
