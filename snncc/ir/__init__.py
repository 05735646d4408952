"""The intermediate representation: domains, ops, graphs, their text and their meaning."""
