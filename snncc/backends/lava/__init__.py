"""The only room that imports Lava."""
