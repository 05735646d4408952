"""The network map: blocks that open and close, each a drawing of its ops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snncc.backends.report.page.colours import class_of, is_deep
from snncc.backends.report.page.layout import HEIGHT, WIDTH, Place, plan_of
from snncc.backends.report.page.markup import Markup, element
from snncc.backends.report.page.network import Network, Node
from snncc.backends.report.page.words import percent_of
from snncc.backends.report.table import count_of, cut, si

VERDICTS = (
    ("spike", "reads spikes"), ("counts", "reads counts of spikes"), ("real", "reads real numbers"),
    ("encoder", "encoder or head"), ("neuron", "neurons"), ("other", "other"),
)  # fmt: skip
_OPEN = 3
"""Blocks that are open at first where there are more: a reader looks at one, not at all."""


def map_section(network: Network, number: int) -> Markup:
    """Return the blocks of the map, one below the other, with their legend and the panel."""
    groups = list(dict.fromkeys(node.group for node in network.nodes))
    blocks = [block(network, number, name, is_open=at < _OPEN) for at, name in enumerate(groups)]
    return element(
        "div",
        element("div", *blocks, class_="blocks"),
        element(
            "aside",
            element("p", "Select an operation to see what is known of it.", class_="soft"),
            class_="panel", data_panel=number, aria_live="polite", tabindex="-1",
        ),
        class_="map", data_map=number,
    )  # fmt: skip


def block(network: Network, number: int, group: str, *, is_open: bool) -> Markup:
    """Return one block, which opens and closes without a script."""
    inside = [node for node in network.nodes if node.group == group]
    return element(
        "details",
        element("summary", element("b", group), element("span", _summary(network, inside))),
        element("div", drawing(network, number, group), class_="scroll"),
        open=is_open, class_="block",
    )  # fmt: skip


def _summary(network: Network, inside: Sequence[Node]) -> str:
    total = sum(node.cost for node in network.nodes)
    cost = sum(node.cost for node in inside)
    neurons = sum(node.kind == "neuron" for node in inside)
    wrong = sum(node.verdict in ("counts", "real") for node in inside)
    words = [count_of(len(inside), "operation"), f"{neurons} of them neurons"]
    if total:
        words.append(f"{percent_of(cost / total)} of the synaptic operations")
    if wrong:
        words.append(f"{wrong} not spike-driven")
    return ", ".join(words)


def drawing(network: Network, number: int, group: str) -> Markup:
    """Return the drawing of one block as an SVG element."""
    inside = [node for node in network.nodes if node.group == group]
    names = {node.name for node in inside}
    read_elsewhere = {i for node in network.nodes if node.group != group for i in node.inputs}
    plan = plan_of(inside, [node.name for node in inside if node.name in read_elsewhere])
    by_name = {node.name: node for node in network.nodes}
    most = max((node.cost for node in network.nodes), default=0.0)
    readers = _readers(network)
    tip = f"tip-{number}-{network.nodes.index(inside[0])}"
    parts = [
        element("path", d=path, class_="edge", marker_end=f"url(#{tip})", data_from=a, data_to=b)
        for a, b, path in plan.edges
    ]
    parts += [_port(at, f"from {by_name[n].group}", name=n) for n, at in plan.enters.items()]
    parts += [
        _port(at, f"to {', '.join(_targets(readers[n], names))}", name=n)
        for n, at in plan.leaves.items()
    ]
    parts += [_node(node, plan.places[node.name], number, most) for node in inside]
    margin = 4
    width, height = plan.width + 2 * margin, plan.height + 2 * margin
    return element(
        "svg", _tip(tip), element("g", *parts, transform=f"translate({margin},{margin})"),
        xmlns="http://www.w3.org/2000/svg", width=f"{width:g}", height=f"{height:g}",
        viewBox=f"0 0 {width:g} {height:g}", role="group", aria_label=f"operations of {group}",
        class_="graph",
    )  # fmt: skip


def _readers(network: Network) -> Mapping[str, list[Node]]:
    found: dict[str, list[Node]] = {node.name: [] for node in network.nodes}
    for node in network.nodes:
        for name in node.inputs:
            found[name].append(node)
    return found


def _targets(readers: Sequence[Node], inside: set[str]) -> list[str]:
    return list(dict.fromkeys(r.group for r in readers if r.name not in inside))


def _tip(name: str) -> Markup:
    arrow = element("path", d="M0,0L7,3.5L0,7z", class_="tip")
    marker = element(
        "marker", arrow, id=name, viewBox="0 0 7 7", refX="6.5", refY="3.5", markerWidth="7",
        markerHeight="7", orient="auto", markerUnits="userSpaceOnUse",
    )  # fmt: skip
    return element("defs", marker)


def _port(at: Place, words: str, *, name: str) -> Markup:
    return element(
        "g",
        element("rect", width=WIDTH, height=HEIGHT - 12, y=6, rx=14, class_="port"),
        element("text", cut(words, 23), x=WIDTH / 2, y=HEIGHT / 2 + 4, class_="name port-name"),
        element("title", f"{words}: {name}"),
        transform=f"translate({at.x:g},{at.y:g})",
    )  # fmt: skip


def _node(node: Node, at: Place, number: int, most: float) -> Markup:
    cost = class_of(node.cost / most if most else 0.0)
    deep = " deep" if is_deep(cost) else ""
    about = f"{node.kind}, {si(node.cost)} ops" if node.cost else node.kind
    reads = dict(node.facts).get("reads", "")
    shown = f"{node.kind}, reads {reads}" if reads and node.verdict != "spike" else about
    return element(
        "g",
        element("title", f"{node.label}: {about}"),
        element("rect", width=WIDTH, height=HEIGHT, rx=5, class_="box"),
        element("text", cut(node.label, 23), x=WIDTH / 2, y=17, class_="name"),
        element("text", cut(shown, 27), x=WIDTH / 2, y=32, class_="kind"),
        transform=f"translate({at.x:g},{at.y:g})", class_=f"node v-{node.verdict} c-{cost}{deep}",
        tabindex="0", role="button", aria_label=f"{node.label}, {about}",
        data_node=node.name, data_net=number,
    )  # fmt: skip
