"""From a compiled graph to something that runs or can be read."""
