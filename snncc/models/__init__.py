"""Networks of the papers in plain PyTorch, with the parameter names of the official code.

`zoo` lists them by name; importing it does not import torch.
"""
