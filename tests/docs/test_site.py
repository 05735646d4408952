"""The site builds strictly, holds what the code holds, and loads nothing from anywhere else."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import snncc
from snncc.cli.app import app
from snncc.diagnostics.catalogue import all_rules
from snncc.energy.load import available_energy_models
from snncc.models.zoo import ARCHITECTURES
from snncc.targets.load import available_targets

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

pytest.importorskip("mkdocs", reason="the site is built by mkdocs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


def page(site: Path, name: str) -> str:
    return (site / f"{name}.html").read_text(encoding="utf-8")


def test_every_rule_has_its_place(site: Path) -> None:
    text = page(site, "reference/rules")
    assert [code for code in all_rules() if f'id="{code.lower()}"' not in text] == []


def test_every_target_and_energy_model_has_its_place(site: Path) -> None:
    for name in available_targets():
        assert f'id="{name}"' in page(site, "reference/targets")
    for name in available_energy_models():
        assert f'id="{name}"' in page(site, "reference/energy-models")


def test_every_network_command_and_function_has_its_place(site: Path) -> None:
    networks = page(site, "reference/networks")
    assert [name for name in ARCHITECTURES if f"arch:{name}<" not in networks] == []
    commands = page(site, "reference/cli")
    assert [name for name in app.commands if f'id="snncc-{name}"' not in commands] == []
    assert "Sentinel" not in commands
    python = page(site, "reference/python")
    assert [path for path in snncc._LAZY.values() if f'id="{".".join(path)}"' not in python] == []
    shown = re.sub(r"<[^>]*>", "", python)
    assert [name for name in snncc._LAZY if f"snncc.{name}" not in shown] == []
    assert "compile_module(" not in shown


def test_links_of_the_top_level_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / name).read_text("utf-8")):
            assert "://" in target or (ROOT / target).exists(), f"{name}: {target}"


def test_nothing_is_loaded_from_anywhere_else(site: Path) -> None:
    loads = re.compile(r'<(?:script|img|iframe|source)[^>]* src="(?:https?:)?//[^"]*"|<link[^>]*//')
    for file in site.rglob("*.html"):
        assert loads.findall(file.read_text(encoding="utf-8")) == [], file
    for file in [*site.rglob("*.js"), *site.rglob("*.css")]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"unpkg\.com|jsdelivr|googleapis|url\([\"']?https?:", text), file


def test_the_figures_are_what_their_program_draws() -> None:
    place = ROOT / "docs" / "figures"
    spec = importlib.util.spec_from_file_location("figures", place / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    draw: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    assert {p.name for p in place.glob("*.svg")} == set(draw.FIGURES)
    for name, figure in draw.FIGURES.items():
        assert (place / name).read_text(encoding="utf-8") == figure(), f"run {place / 'draw.py'}"


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(Silent, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield running
        running.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_browser_asks_nobody_else(address: str, browser: Any) -> None:
    asked, said = [], []
    tab = browser.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    for name in ("index", "how-it-works", "reference/rules", "reference/python", "energy"):
        tab.goto(f"{address}/{name}.html")
        wide = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{name} is wider than the window"
    tab.goto(f"{address}/index.html")
    tab.locator("input.md-search__input").fill("sub-steps")
    tab.locator(".md-search-result__link").first.wait_for(timeout=10_000)
    assert [url for url in asked if not url.startswith(address)] == []
    assert said == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_it_opens_from_disk(site: Path, browser: Any) -> None:
    asked: list[str] = []
    tab = browser.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto((site / "index.html").as_uri())
    tab.get_by_role("link", name="How it works").first.click()
    tab.wait_for_load_state()
    assert tab.title().startswith("How it works")
    tab.wait_for_timeout(500)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
