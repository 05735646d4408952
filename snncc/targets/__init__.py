"""Chips, which are data: one TOML file each, a source beside each number."""
