"""Exact integers: the reference that every backend is held to, and what it counts."""
