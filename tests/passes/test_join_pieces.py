"""What is cut from what was joined: pieces, zeros, surrogates, equal ops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from snncc.ir.graph import Array, Graph, IRError
from snncc.ir.interpret import interpret
from snncc.ir.text import dump, parse
from snncc.passes.base import run_passes
from snncc.passes.join_pieces import JoinPieces


def after(text: str, **weights: Array) -> str:
    """The text of a graph without detours; its values are held against those before."""
    lines = "\n".join(f"  {line}" for line in text.strip().splitlines())
    graph = typed(f"graph tensor T1 {{\n{lines}\n}}\n", weights)
    found = run_passes(graph, [JoinPieces()]).graph
    x = np.random.default_rng(0).normal(size=graph.type_of("x").shape)
    wanted, got = interpret(graph, x)["y"], interpret(found, x)["y"]
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    return "\n".join(line.strip().split(" : ")[0] for line in dump(found).splitlines()[1:-1])


def typed(text: str, weights: dict[str, Array]) -> Graph:
    """Parse a graph whose types are left out: what is found is put in."""
    lines = text.splitlines()
    for i, line in enumerate(lines[1:-1], start=1):
        try:
            parse("\n".join([*lines[:i], f"{line} : <0; real>", "}"]), weights)
        except IRError as error:
            lines[i] = f"{line} : {str(error).split(' is ')[1].split(', the text')[0]}"
    return parse("\n".join(lines), weights)


INPUT = "%x = input(shape=(4, 2))"


def test_a_slice_of_a_concatenation_is_the_piece() -> None:
    found = after(
        f"""{INPUT}
%a = scale(%x, factor=2.0)
%b = scale(%x, factor=3.0)
%c = concat(%a, %b, axis=0)
%y = output(%d)""".replace("%y", "%d = slice(%c, axis=0, start=4, stop=8)\n%y")
    )
    assert found == f"{INPUT}\n%b = scale(%x, factor=3.0)\n%y = output(%b)"


def test_places_written_one_after_the_other() -> None:
    """`y = zeros; y[0] = a; y[1] = b`, as it is traced."""
    found = after(
        f"""{INPUT}
%z = constant(value='z')
%a = slice(%x, axis=0, start=3, stop=4)
%b = slice(%x, axis=0, start=0, stop=1)
%zr = slice(%z, axis=0, start=1, stop=3)
%c = concat(%a, %zr, axis=0)
%c0 = slice(%c, axis=0, start=0, stop=1)
%c2 = slice(%c, axis=0, start=2, stop=3)
%d = concat(%c0, %b, %c2, axis=0)
%d0 = slice(%d, axis=0, start=0, stop=2)
%y = output(%d0)""",
        z=np.zeros((3, 2)),
    )
    assert found == (
        f"{INPUT}\n%a = slice(%x, axis=0, start=3, stop=4)\n"
        "%b = slice(%x, axis=0, start=0, stop=1)\n%d0 = concat(%a, %b, axis=0)\n%y = output(%d0)"
    )


def test_pieces_that_follow_each_other_are_one() -> None:
    found = after(
        f"""{INPUT}
%a = slice(%x, axis=0, start=0, stop=1)
%b = slice(%x, axis=0, start=1, stop=4)
%c = concat(%a, %b, axis=0)
%y = output(%c)"""
    )
    assert found == f"{INPUT}\n%y = output(%x)"


def test_what_was_expanded_is_the_same_in_all_places() -> None:
    found = after(
        f"""{INPUT}
%e = expand(%x, shape=(3, 4, 2))
%s = slice(%e, axis=0, start=1, stop=2)
%w = slice(%e, axis=0, start=0, stop=2)
%c = concat(%w, %s, axis=0)
%m = slice(%e, axis=1, start=1, stop=2)
%t = sum(%m, axes=(0, 1, 2))
%f = add(%c, %t)
%y = output(%f)"""
    )
    assert "expand(%x, shape=(2, 4, 2))" in found
    assert "%s = reshape(%x, shape=(1, 4, 2))" in found
    assert "%m = slice(%e, axis=1, start=1, stop=2)" in found


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("%f = add(%x, %zero)", "%y = output(%x)"),
        ("%f = add(%wide, %x)", "%y = output(%x)"),
        ("%f = mask(%half, %x)", "%f = scale(%x, factor=0.5)\n%y = output(%f)"),
    ],
)
def test_numbers(line: str, wanted: str) -> None:
    constants = "\n".join(
        f"%{name} = constant(value='{name}')" for name in ("zero", "wide", "half")
    )
    weights = {"zero": np.array(0.0), "wide": np.zeros((4, 2)), "half": np.full((1, 2), 0.5)}
    found = after(f"{INPUT}\n{constants}\n{line}\n%y = output(%f)", **weights)
    assert found == f"{INPUT}\n{wanted}"


@pytest.mark.parametrize(
    "lines",
    [
        "%n = scale(%e, factor=-1.0)\n%d = add(%h, %n)\n%f = add(%d, %e)",
        "%d = add(%e, %h)\n%n = scale(%e, factor=-1.0)\n%f = add(%n, %d)",
    ],
)
def test_a_surrogate_gradient_cancels(lines: str) -> None:
    """`(hard - soft).detach() + soft` is `hard`."""
    made = "%h = compare(%x, threshold=0.5)\n%e = scale(%x, factor=4.0)"
    found = after(f"{INPUT}\n{made}\n{lines}\n%y = output(%f)")
    assert found == f"{INPUT}\n%h = compare(%x, threshold=0.5)\n%y = output(%h)"


def test_equal_ops_of_one_module_are_one() -> None:
    found = after(
        f"""{INPUT}
%a = scale(%x, factor=2.0)
%b = scale(%x, factor=2.0)
%c = mask(%a, %b)
%y = output(%c)"""
    )
    assert found == f"{INPUT}\n%a = scale(%x, factor=2.0)\n%c = mask(%a, %a)\n%y = output(%c)"


@pytest.mark.parametrize("seed", range(12))
def test_networks_keep_their_values(
    seed: int, random_network: Callable[[int], Graph], images: Callable[[Graph, int], Array]
) -> None:
    graph = random_network(seed)
    found = run_passes(graph, [JoinPieces()]).graph
    x = images(graph, seed)
    assert np.array_equal(interpret(found, x)["y"], interpret(graph, x)["y"])


@pytest.mark.parametrize("most", [1, 3, 8, 4096])
@pytest.mark.parametrize("seed", range(6))
def test_no_concatenation_gets_more_pieces_than_the_bound(
    seed: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joined and cut at random: values stay, and only a node that joins more itself has more."""
    monkeypatch.setattr("snncc.passes.join_pieces._MOST_PIECES", most)
    rng = np.random.default_rng(seed)
    lines, length, widest = [INPUT], {"x": 4}, 1
    for number in range(12):
        name, made = f"v{number}", list(length)
        if rng.random() < 0.5:
            chosen = [made[i] for i in rng.integers(len(made), size=rng.integers(2, 5))]
            lines.append(f"%{name} = concat({', '.join(f'%{c}' for c in chosen)}, axis=0)")
            length[name], widest = sum(length[c] for c in chosen), max(widest, len(chosen))
        else:
            read = made[rng.integers(len(made))]
            start = int(rng.integers(length[read]))
            stop = int(rng.integers(start, length[read])) + 1
            lines.append(f"%{name} = slice(%{read}, axis=0, start={start}, stop={stop})")
            length[name] = stop - start
    every = ", ".join(f"%{name}" for name in length)
    found = after("\n".join([*lines, f"%f = concat({every}, axis=0)", "%y = output(%f)"]))
    joined = [line for line in found.splitlines() if " = concat(" in line]
    assert joined
    assert all(line.count("%") - 1 <= max(most, len(length)) for line in joined)


def test_a_thousand_times_a_thousand_pieces_are_not_written_out() -> None:
    """Three pieces, joined 64 times, and that 64 times again."""
    cut = "\n".join(f"%x{i} = slice(%x, axis=0, start={i}, stop={i + 1})" for i in range(4))
    once = "%a = concat(%x3, %x1, %x2, %x0, axis=0)"
    many = [f"%{new} = concat({', '.join([f'%{old}'] * 64)}, axis=0)" for new, old in ("ba", "cb")]
    found = after("\n".join([INPUT, cut, once, *many, "%y = output(%c)"]))
    joined = {
        line.split()[0]: line.count("%") - 1 for line in found.splitlines() if "concat" in line
    }
    assert joined == {"%b": 192, "%c": 64}
