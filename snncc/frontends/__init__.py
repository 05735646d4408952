"""From the user's model to a graph: traced modules, published checkpoints, exchange files."""
