"""The page in a real browser: every control does what it says, and nobody is asked for anything."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snncc.backends.report.page.network import Finding, Network
from snncc.backends.report.page.render import page as rendered

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVIL = "<script>alert(1)</script>"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the path")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, network: Network, twin: Network) -> Path:
    """A folder of pages: of one network, of two, and of one whose names are hostile."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "one.html").write_text(rendered([network]), encoding="utf-8")
    (folder / "two.html").write_text(rendered([network, twin]), encoding="utf-8")
    (folder / "evil.html").write_text(rendered([hostile(twin)]), encoding="utf-8")
    return folder


def hostile(network: Network) -> Network:
    layers = tuple(dataclasses.replace(each, path=EVIL) for each in network.layers)
    nodes = tuple(
        dataclasses.replace(n, label=EVIL, group=EVIL, facts=(("module", EVIL),), because=(EVIL,))
        for n in network.nodes
    )
    finding = Finding("SNN201", EVIL, "note", EVIL, EVIL, (EVIL,), EVIL, EVIL, 3, EVIL, EVIL)
    return dataclasses.replace(network, name=EVIL, layers=layers, nodes=nodes, findings=(finding,))


Opener = Callable[..., "Page"]


@pytest.fixture
def opened(browser: Browser, files: Path) -> Iterator[Opener]:
    """Open a page; in the end it must have asked for nothing and complained of nothing."""
    complaints: list[str] = []

    @contextmanager
    def context(**options: Any) -> Iterator[Page]:
        page = browser.new_page(**options)
        page.route("**/*", lambda route: _only_from_disk(route, complaints))
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda fault: complaints.append(str(fault)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        yield page
        page.close()

    stack = []

    def open_page(name: str = "one.html", **options: Any) -> Page:
        entered = context(**options)
        page = entered.__enter__()
        stack.append(entered)
        page.goto((files / name).as_uri())
        return page

    yield open_page
    for entered in stack:
        entered.__exit__(None, None, None)
    assert complaints == []


def _only_from_disk(route: object, complaints: list[str]) -> None:
    url = route.request.url  # type: ignore[attr-defined]
    if url.startswith("file:"):
        route.continue_()  # type: ignore[attr-defined]
    else:
        complaints.append(f"asked for {url}")
        route.abort()  # type: ignore[attr-defined]


def drawn(page: Page, name: str, within: str = ".live") -> str:
    """Bring a chart into view and return it as SVG, once the script has drawn it."""
    page.locator(f'[data-chart="{name}"]').scroll_into_view_if_needed()
    page.wait_for_selector(f'[data-chart="{name}"][data-drawn="yes"]')
    return page.locator(f'[data-chart="{name}"] {within} svg').inner_html()


def test_every_chart_is_drawn(opened: Opener) -> None:
    page = opened()
    names = page.eval_on_selector_all("[data-chart]", "all => all.map(e => e.dataset.chart)")
    assert names == ["rates-0", "raster-0", "potentials-0", "energy", "layers", "timeline-0"]
    for name in names:
        assert "<path" in drawn(page, name)


def test_an_operation_shows_what_is_known(opened: Opener) -> None:
    page = opened("two.html")
    page.click("text=Open all blocks")
    node = page.locator('[data-net="1"][data-node="block.1.conv"]')
    node.click()
    panel = page.locator('[data-panel="1"]').inner_text()
    for told in ("6 x 6 x 6", "int[0..2]", "not spike-driven", "because", "source line"):
        assert told in panel
    assert page.locator('[data-map="1"] .edge.near').count() >= 2
    assert page.locator('[data-panel="0"]').inner_text().startswith("Select an operation")


def test_the_map_works_by_keyboard(opened: Opener) -> None:
    page = opened()
    page.click("text=Open all blocks")
    first = page.locator(".node").first
    first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    chosen = page.locator(".node.chosen")
    assert chosen.count() == 1
    assert chosen.get_attribute("data-node") != first.get_attribute("data-node")
    page.keyboard.press("ArrowUp")
    page.keyboard.press(" ")
    assert page.locator(".node.chosen").get_attribute("data-node") == first.get_attribute(
        "data-node"
    )


def test_blocks_open_and_close(opened: Opener) -> None:
    page = opened("two.html")
    blocks, open_blocks = page.locator("details.block"), page.locator("details.block[open]")
    page.click("text=Close all blocks")
    assert open_blocks.count() == 0
    page.click("text=Open all blocks")
    assert open_blocks.count() == blocks.count() > 2
    page.locator("details.block > summary").first.click()
    assert open_blocks.count() == blocks.count() - 1


def fill(page: Page, selector: str) -> str:
    return str(page.eval_on_selector(selector, "e => getComputedStyle(e).fill"))


def test_the_map_is_coloured_by_verdict_or_cost(opened: Opener) -> None:
    page = opened("two.html")
    conv, neuron = (f'[data-net="1"][data-node="{n}"] .box' for n in ("block.1.conv", "lif"))
    by_verdict = fill(page, conv), fill(page, neuron)
    page.check("input[name=colour][value=cost]")
    by_cost = fill(page, conv), fill(page, neuron)
    assert len({*by_verdict, *by_cost}) == 4
    assert page.locator(".by-cost").is_visible()
    assert not page.locator(".by-verdict").is_visible()
    page.check("input[name=colour][value=verdict]")
    assert (fill(page, conv), fill(page, neuron)) == by_verdict


def test_layer_and_sample_are_chosen(opened: Opener, network: Network) -> None:
    page = opened()
    first = drawn(page, "raster-0"), drawn(page, "potentials-0")
    page.select_option("#layer-0", index=len(network.layers) - 1)
    second = drawn(page, "raster-0"), drawn(page, "potentials-0")
    assert first[0] != second[0]
    assert first[1] != second[1]
    page.select_option("#layer-0", "0")
    assert drawn(page, "raster-0") == first[0]
    page.select_option("#sample-0", "2")
    assert drawn(page, "raster-0") != first[0]


def test_the_energy_chart_turns_to_millijoule_and_back(opened: Opener) -> None:
    page = opened("two.html")
    assert "share of the larger" in drawn(page, "energy")
    page.check("input[name=stack][value=mj]")
    assert "energy of a sample, mJ" in drawn(page, "energy")
    page.check("input[name=stack][value=share]")
    assert "share of the larger" in drawn(page, "energy")


def test_layers_are_shown_under_each_energy_model(opened: Opener, network: Network) -> None:
    page = opened()
    seen = set()
    for energy in network.energies:
        page.select_option("#layers-model", energy.model)
        seen.add(drawn(page, "layers"))
    assert len(seen) == len(network.energies)


def test_a_core_shows_what_stands_on_it(opened: Opener, network: Network) -> None:
    page = opened()
    assert network.chip is not None
    page.locator(".core").first.click()
    panel = page.locator("[data-core-panel]").inner_text()
    assert panel.startswith("core 0")
    assert network.chip.cores[0].parts[0][0] in panel
    page.keyboard.press("Tab")
    page.locator(".core").last.focus()
    page.keyboard.press("Enter")
    last = len(network.chip.cores) - 1
    assert page.locator("[data-core-panel]").inner_text().startswith(f"core {last}")


def test_the_floor_plan_is_coloured_by_load_and_step(opened: Opener, network: Network) -> None:
    page = opened()
    assert network.chip is not None
    assert network.chip.machine is not None

    def classes() -> list[str]:
        found = page.eval_on_selector_all(".core", "all => all.map(e => e.getAttribute('class'))")
        return [str(each) for each in found]

    by_neurons = classes()
    page.select_option("#floor-measure-0", "operations")
    assert classes() != by_neurons
    for step, each in enumerate(network.chip.machine.steps):
        page.select_option("#floor-step-0", str(step))
        marked = [f"core {at}" for at, words in enumerate(classes()) if "critical" in words]
        assert marked == ([each.where] if each.where.startswith("core") else [])


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_and_the_button(opened: Opener, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    light, dark = "rgb(255, 255, 255)", "rgb(18, 23, 30)"
    own, other = (light, dark) if scheme == "light" else (dark, light)
    assert background(page) == own
    before = drawn(page, "rates-0")
    page.click("#theme")
    assert background(page) == other
    changed = "e => e !== document.querySelector('[data-chart=rates-0] .live svg').innerHTML"
    page.wait_for_function(changed, arg=before)
    page.click("#theme")
    assert background(page) == own


def test_it_prints_on_white_with_every_section(opened: Opener) -> None:
    page = opened(color_scheme="dark")
    drawn(page, "rates-0")
    assert not page.locator('[data-chart="rates-0"] .paper').is_visible()
    page.emulate_media(media="print")
    assert background(page) == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    drawn(page, "rates-0", within=".paper")
    assert page.locator('[data-chart="rates-0"] .paper').is_visible()
    assert not page.locator('[data-chart="rates-0"] .live').is_visible()
    for name in ("headline", "network", "activity", "energy", "chip", "diagnostics", "origin"):
        assert page.locator(f"#{name} h2").is_visible()
    assert len(page.pdf()) > 20_000


def test_tables_and_charts_are_there_without_a_script(opened: Opener, network: Network) -> None:
    page = opened(java_script_enabled=False)
    page.click("text=All products as a table")
    assert page.locator("td", has_text=network.products[0].path).first.is_visible()
    assert page.locator(".chart svg").count() == 6
    assert page.locator(".chart svg").first.is_visible()
    assert page.locator("select:visible, button:visible, fieldset:visible").count() == 0
    page.locator("details.finding > summary").first.click()
    assert page.locator(".chain").first.is_visible()


def test_everything_is_reached_by_keyboard(opened: Opener) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName.toLowerCase()"))
    assert {"a", "button", "input", "summary", "g", "select"} <= reached


@pytest.mark.parametrize("width", [360, 768, 1600])
@pytest.mark.parametrize("name", ["one.html", "two.html"])
def test_the_page_is_never_wider_than_the_window(opened: Opener, name: str, width: int) -> None:
    page = opened(name, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_names_of_a_model_are_text(opened: Opener) -> None:
    page = opened("evil.html")
    assert page.locator("h1").inner_text() == EVIL
    assert EVIL in page.locator("details.block summary").first.inner_text()
    page.click("text=Open all blocks")
    page.locator(".node").first.click()
    panel = page.locator("[data-panel]")
    assert panel.inner_text().count(EVIL) == 3
    assert panel.locator("script").count() == 0
    assert "alert(1)" in drawn(page, "rates-0")
    page.locator('[data-chart="rates-0"] path').nth(12).hover()
    page.select_option("#layer-0", "1")
    drawn(page, "raster-0")
    assert page.evaluate("document.querySelectorAll('script').length") == 3


def test_sections_are_linked(opened: Opener) -> None:
    page = opened("two.html")
    page.click("nav >> text=Difference")
    page.wait_for_function(
        "document.querySelector('#difference').getBoundingClientRect().top < 300"
    )
    assert "costs less" in page.locator("#difference").inner_text()
