"""What `mkdocs.yml` cannot say: pages made of the code, and of files outside of `docs/`.

A page may link to any file of the repository, as it does where the Markdown is read without the
site. Such a file becomes a page of its own: Markdown as it is, a notebook as it was run, and
everything else as a listing.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

sys.path.insert(0, str(Path(__file__).parent))
import reference

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Files of the top level that have a page of their own name."""

_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_LANGUAGES = {".yml": "yaml", ".py": "python", ".toml": "toml", ".sh": "sh"}
_REMOTE = re.compile(r"https://unpkg\.com/[^\"'`]+")
"""What the theme would load, for diagrams and for a search from disk: neither is used here."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the reference, and a page for each file outside of `docs/` that a page leads to."""
    for place, write in reference.PAGES.items():
        files.append(_generated(config, place, write()))
    texts = {f"docs/{page.src_uri}": page.content_string for page in files.documentation_pages()}
    waiting = [*TOP_LEVEL, *(link for place, text in texts.items() for link in _links(place, text))]
    while waiting:
        place = waiting.pop()
        if place.startswith("docs/") or address(place) in files.src_uris:
            continue
        for made in pages_of(config, place):
            files.append(made)
        if place.endswith(".md"):
            waiting.extend(_links(place, (ROOT / place).read_text(encoding="utf-8")))
    return files


def _links(place: str, text: str) -> list[str]:
    """Return the files of the repository that a page of it leads to."""
    return [found for match in _LINK.finditer(text) if (found := leads_to(place, match[2]))]


def leads_to(place: str, target: str) -> str | None:
    """Return the file of the repository that a link leads to; None where there is none."""
    if ":" in target:
        return None
    found = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
    return found if (ROOT / found).is_file() else None


def address(place: str) -> str:
    """Return the page of a file of the repository."""
    if place.startswith("docs/"):
        return place.removeprefix("docs/")
    return TOP_LEVEL.get(place, f"files/{place}{'' if place.endswith('.md') else '.md'}")


def origin(page: str) -> str:
    """Return the file of the repository that a page was made of."""
    for place, made in TOP_LEVEL.items():
        if made == page:
            return place
    return page.removeprefix("files/") if page.startswith("files/") else f"docs/{page}"


def pages_of(config: MkDocsConfig, place: str) -> list[File]:
    """Return the page of a file, with the pictures that a notebook holds."""
    path = ROOT / place
    if path.suffix == ".ipynb":
        return _notebook(config, path, address(place))
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        language = _LANGUAGES.get(path.suffix, "text")
        text = f'# {path.name}\n\n``` {{ .{language} title="{place}" }}\n{text}```\n'
    return [_generated(config, address(place), text)]


def _notebook(config: MkDocsConfig, path: Path, page: str) -> list[File]:
    folder = PurePosixPath(page).with_suffix(".files")
    text, resources = MarkdownExporter().from_filename(
        str(path), {"output_files_dir": folder.name, "unique_key": path.stem}
    )
    pictures = [
        _generated(config, str(folder.parent / name), content)
        for name, content in resources["outputs"].items()
    ]
    return [_generated(config, page, text), *pictures]


def _generated(config: MkDocsConfig, place: str, content: str | bytes) -> File:
    return File.generated(config, place, content=content)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links between files of the repository to the pages of those files."""
    here = page.file.src_uri

    def led(match: re.Match[str]) -> str:
        place = leads_to(origin(here), match[2])
        if place is None or address(place) not in files.src_uris:
            return match[0]
        return match[1] + posixpath.relpath(address(place), posixpath.dirname(here)) + match[3]

    return _LINK.sub(led, markdown)


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Give functions the names under which they are imported."""
    return reference.renamed(html) if page.file.src_uri == "reference/python.md" else html


def on_post_build(*, config: MkDocsConfig) -> None:
    """Take the addresses of other hosts out of the theme's scripts."""
    for script in Path(config.site_dir).rglob("*.js"):
        text = script.read_text(encoding="utf-8")
        if _REMOTE.search(text):
            script.write_text(_REMOTE.sub("", text), encoding="utf-8")
            os.utime(script, (0, 0))
