"""Findings as data: stable codes, explanations beside the rules, one renderer a format."""
