"""Handwritten digits: two spiking transformers, trained in minutes on a CPU."""
