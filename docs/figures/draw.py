"""The figures of the documentation: `python docs/figures/draw.py` writes them beside this file.

What they show is computed: domains by `snncc.ir.domain`, potentials by the recurrences of the page,
the pipeline by its rule. A test holds the files to this program.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from snncc.ir import domain as dom

HERE = Path(__file__).parent
INK, PALE, BLUE, GREEN, RED, GREY = "#1f2937", "#eef2ff", "#4051b5", "#15803d", "#b91c1c", "#6b7280"
SAMPLES = ("#4051b5", "#c2410c", "#15803d", "#7c3aed")


def text(x: float, y: float, words: str, *, size: int = 14, colour: str = INK, at: str = "middle",
         weight: str = "normal") -> str:  # fmt: skip
    """Return a line of text with its baseline at y."""
    style = f'font-size="{size}" fill="{colour}" text-anchor="{at}" font-weight="{weight}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{html.escape(words)}</text>'


def box(x: float, y: float, w: float, h: float, *lines: str, fill: str = PALE,
        edge: str = BLUE) -> str:  # fmt: skip
    """Return a box with a title and lines of smaller text below it."""
    rect = f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="6"'
    parts = [f'{rect} fill="{fill}" stroke="{edge}" stroke-width="1.5"/>']
    top = y + h / 2 - 9 * (len(lines) - 1) + 5
    for i, line in enumerate(lines):
        size, weight = (14, "bold") if i == 0 else (12, "normal")
        parts.append(text(x + w / 2, top + 18 * i, line, size=size, weight=weight))
    return "".join(parts)


def arrow(x1: float, y1: float, x2: float, y2: float, colour: str = INK) -> str:
    """Return an arrow."""
    ends = f'x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"'
    return f'<line {ends} stroke="{colour}" stroke-width="1.5" marker-end="url(#head)"/>'


def svg(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """Return a figure."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="system-ui, Helvetica, Arial, sans-serif"><title>{html.escape(title)}</title>'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        f'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>'
    )
    return head + "\n" + "\n".join(parts) + "\n</svg>\n"


def pipeline() -> str:
    """From a model to what is made of it."""
    chain = [
        ("model", "PyTorch, checkpoint,", "ONNX, NIR"),
        ("tensor graph", "as traced, T and B", "inside the tensors"),
        ("step graph", "one time step", "of one sample"),
        ("verdict", "every product", "spike or not"),
        ("integers", "weights of 2 to 8 bits", "the chip's arithmetic"),
    ]
    parts = []
    for i, lines in enumerate(chain):
        x = 10 + 190 * i
        parts.append(box(x, 20, 160, 80, *lines))
        if i:
            parts.append(arrow(x - 30, 60, x - 2, 60))
    ends = [
        ("executor", "exact, fast,", "the reference"),
        ("Lava", "processes, held", "spike for spike"),
        ("placement", "cores, chips, links,", "time of a step"),
        ("counts", "operations that", "took place"),
        ("energy", "constants with", "their sources"),
    ]
    for i, lines in enumerate(ends):
        x = 10 + 190 * i
        parts.append(box(x, 160, 160, 80, *lines, fill="#f0fdf4", edge=GREEN))
    parts.append(arrow(850, 100, 850, 130))
    parts.append(f'<path d="M90 130H850" stroke="{INK}" stroke-width="1.5" fill="none"/>')
    parts += [arrow(90 + 190 * i, 130, 90 + 190 * i, 158) for i in range(4)]
    parts.append(arrow(740, 200, 768, 200))
    return svg(960, 260, "From a model to integers, placement, counts and energy", parts)


def domains() -> str:
    """Two residual blocks, and what the next layer reads."""
    spike = dom.SPIKE
    once = dom.add(spike, spike)
    twice = dom.add(once, spike)
    parts = [
        text(235, 28, "currents are added, then the neuron", weight="bold"),
        text(725, 28, "spikes are added, behind the neuron", weight="bold"),
    ]
    left = [
        ("current", dom.REAL, 20, 60), ("neuron", spike, 170, 60), ("conv", dom.REAL, 320, 60),
        ("add", dom.REAL, 320, 170), ("neuron", spike, 170, 170), ("next conv", None, 20, 170),
    ]  # fmt: skip
    right = [
        ("neuron", spike, 510, 60), ("conv", dom.REAL, 660, 60), ("neuron", spike, 810, 60),
        ("add", once, 810, 170), ("again", twice, 660, 170), ("next conv", None, 510, 170),
    ]  # fmt: skip
    for column, reads in ((left, spike), (right, twice)):
        good = reads == spike
        for name, made, x, y in column:
            if made is None:
                colour = GREEN if good else RED
                fill = "#f0fdf4" if good else "#fef2f2"
                words = ("reads " + str(reads), "spike-driven" if good else "not spike-driven")
                parts.append(box(x, y, 130, 74, name, *words, fill=fill, edge=colour))
            else:
                parts.append(box(x, y, 120, 64, name, str(made)))
    for x in (20, 510):
        parts += [arrow(x + 120, 92, x + 148, 92), arrow(x + 270, 92, x + 298, 92)]
        parts += [arrow(x + 360, 124, x + 360, 168), arrow(x + 300, 202, x + 272, 202)]
        parts.append(arrow(x + 150, 202, x + 132, 202))
    over = '<path d="M{0} 60V46H{1}V{2}" fill="none" stroke="{3}" stroke-width="1.5" {4}/>'
    parts.append(over.format(80, 460, 202, INK, "") + arrow(460, 202, 442, 202))
    parts.append(over.format(570, 950, 202, INK, "") + arrow(950, 202, 932, 202))
    return svg(970, 260, "Domains through two residual blocks", parts)


def recurrences() -> tuple[list[float], list[int], list[bool]]:
    """Potentials of a neuron with tau = 2 and threshold 1: V in floats, U in integers, spikes.

    ``V' = V/2 + alpha w / 2`` against ``U' = rz(U * 2048 / 4096) + w``, with U = 2 V / alpha.
    """
    weights, alpha = [80, 72, 48, 88, 40, 32, 112, 56], 1 / 64
    v, u, theta = 0.0, 0, round(2 * 1.0 / alpha)
    floats, integers, fired = [], [], []
    for w in weights:
        v = v / 2 + alpha * w / 2
        u = (u * 2048) // 4096 + w
        floats.append(v)
        integers.append(u)
        fired.append(v >= 1)
        if (u >= theta) != fired[-1]:
            raise ValueError("the integers fire otherwise than the floats")
        v, u = (0.0, 0) if fired[-1] else (v, u)
    return floats, integers, fired


def integers() -> str:
    """The potential of one neuron, in floats and in integers."""
    floats, whole, fired = recurrences()
    left, bottom, wide, high = 80, 190, 96, 130

    def level(y: float, style: str) -> str:
        return f'<line x1="{left}" y1="{y}" x2="{left + 8 * wide}" y2="{y}" {style}/>'

    parts = [
        level(bottom - high, f'stroke="{RED}" stroke-dasharray="6 4"'),
        text(left - 8, bottom - high + 5, "threshold", colour=RED, at="end", size=12),
        level(bottom, f'stroke="{GREY}"'),
        text(left - 8, bottom + 5, "0", at="end", size=12),
    ]
    for t, (v, u, spike) in enumerate(zip(floats, whole, fired, strict=True)):
        x, y = left + wide * t + 14, bottom - high * v
        colour = RED if spike else BLUE
        parts.append(
            f'<rect x="{x}" y="{y:g}" width="{wide - 28}" height="{bottom - y:g}" fill="{PALE}" '
            f'stroke="{colour}" stroke-width="1.5"/>'
        )
        middle = x + wide / 2 - 14
        parts.append(text(middle, bottom + 20, f"V = {v:.4g}", size=12))
        parts.append(text(middle, bottom + 40, f"U = {u}", size=12, weight="bold"))
        parts.append(text(middle, bottom + 60, f"t = {t}", size=12, colour=GREY))
        if spike:
            parts.append(text(middle, y + 24, "spike", size=12, colour=RED, weight="bold"))
    return svg(880, 265, "The potential of a neuron, in floats and in integers", parts)


LATENCIES = {"input": 0, "conv 1": 1, "conv 2": 2, "residual sum": 2, "conv 3": 3}
STEPS = 4


def time() -> str:
    """Which sample, at which of its time steps, every layer works on at each clock step."""
    left, top, wide, high = 130, 50, 48, 34
    parts = [text(left, 24, "clock step", at="start", size=12, colour=GREY)]
    clocks = 16
    parts += [
        text(left + wide * (clock + 0.5), top - 8, str(clock), size=12, colour=GREY)
        for clock in range(clocks)
    ]
    for row, (name, latency) in enumerate(LATENCIES.items()):
        y = top + high * row
        parts.append(text(left - 10, y + 22, f"{name}  L={latency}", at="end", size=12))
        for clock in range(clocks):
            sample, step = divmod(clock - latency, STEPS)
            known = clock >= latency
            fill = SAMPLES[sample % len(SAMPLES)] if known else "#f3f4f6"
            parts.append(
                f'<rect x="{left + wide * clock}" y="{y}" width="{wide - 3}" height="{high - 5}" '
                f'rx="3" fill="{fill}"/>'
            )
            if known:
                middle = left + wide * clock + (wide - 3) / 2
                parts.append(text(middle, y + 19, f"t={step}", size=11, colour="#ffffff"))
    foot = top + high * len(LATENCIES) + 20
    words = "each colour is a sample; the short way into the sum waits two steps in a delay line"
    parts.append(text(left, foot, words, at="start", size=12, colour=GREY))
    return svg(910, 250, "A pipeline with four time steps a sample", parts)


FIGURES: Mapping[str, Callable[[], str]] = {
    "pipeline.svg": pipeline,
    "domains.svg": domains,
    "integers.svg": integers,
    "time.svg": time,
}

if __name__ == "__main__":
    for name, draw in FIGURES.items():
        (HERE / name).write_text(draw(), encoding="utf-8")
