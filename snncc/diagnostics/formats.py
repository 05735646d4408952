"""The table of renderers."""

from __future__ import annotations

from collections.abc import Mapping

from snncc.diagnostics.github import as_github
from snncc.diagnostics.junit import as_junit
from snncc.diagnostics.render import Renderer, as_json, as_text
from snncc.diagnostics.sarif import as_sarif

RENDERERS: Mapping[str, Renderer] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "junit": as_junit,
    "github": as_github,
}
"""Every format that findings can be written in, by the name of its ``--format``."""
