"""From graph to graph: each pass one file, one contract."""
