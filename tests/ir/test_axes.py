"""Atoms through reshapes and sums: what was flattened comes apart again."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from snncc.ir.axes import Atoms, Layout
from snncc.ir.edit import Editor
from snncc.ir.graph import Absent, Graph
from snncc.ir.ops import Input, Linear, Output, Scale

sizes: st.SearchStrategy[list[int]] = st.lists(
    st.sampled_from((1, 2, 3, 4)), min_size=1, max_size=6
)


def flat(atoms: Atoms, layout: Layout) -> list[int]:
    """All uncut atoms of more than one place, in order."""
    found = (a for axis in layout for a in atoms.leaves(axis))
    return [a for a in found if atoms.size(a) > 1]


def shape(atoms: Atoms, layout: Layout) -> tuple[int, ...]:
    return tuple(math.prod(atoms.size(a) for a in atoms.leaves(axis)) for axis in layout)


@st.composite
def groupings(draw: st.DrawFn) -> tuple[list[int], tuple[int, ...]]:
    """A shape, and another that flattens some of its neighbours."""
    wide = draw(sizes)
    groups: list[int] = []
    for n in wide:
        joined: bool = draw(st.booleans())
        if groups and joined:
            groups[-1] *= n
        else:
            groups.append(n)
    return wide, tuple(groups)


@given(groupings())
def test_flattening_keeps_all_atoms(case: tuple[list[int], tuple[int, ...]]) -> None:
    wide, grouped = case
    atoms = Atoms()
    before = atoms.axes(tuple(wide))
    after, mixed = atoms.regroup(before, grouped, "r")
    assert mixed == ()
    assert shape(atoms, after) == grouped
    assert flat(atoms, after) == flat(atoms, before)
    back, mixed = atoms.regroup(after, tuple(wide), "r")
    assert mixed == ()
    assert shape(atoms, back) == tuple(wide)
    assert flat(atoms, back) == flat(atoms, before)
    assert not any(atoms.cut_by(a) for axis in before for a in axis)


@given(groupings())
def test_unflattening_cuts_and_flattens_again(case: tuple[list[int], tuple[int, ...]]) -> None:
    wide, grouped = case
    atoms = Atoms()
    before = atoms.axes(grouped)
    after, mixed = atoms.regroup(before, tuple(wide), "r")
    assert mixed == ()
    assert shape(atoms, after) == tuple(wide)
    assert flat(atoms, after) == flat(atoms, before)


@given(st.permutations((2, 3, 4, 5)), st.permutations((2, 3, 4, 5)))
def test_axes_that_cut_across_each_other_are_new(a: list[int], b: list[int]) -> None:
    atoms = Atoms()
    before = atoms.axes(tuple(a))
    after, mixed = atoms.regroup(before, tuple(b), "r")
    assert shape(atoms, after) == tuple(b)
    lost = set(flat(atoms, before)) - set(flat(atoms, after))
    assert lost <= {leaf for atom in mixed for leaf in atoms.leaves((atom,))}


def test_what_cuts_is_named() -> None:
    atoms = Atoms()
    ((time,),) = atoms.axes((4,))
    atoms.regroup(((time,),), (2, 2), "halves")
    assert atoms.cut_by(time) == "halves"


def test_axes_that_are_added_are_one() -> None:
    atoms = Atoms()
    merged, alone = atoms.axes((6,)), atoms.axes((2, 3))
    assert atoms.unify(merged[0], (*alone[0], *alone[1]), "add")
    assert atoms.leaves(merged[0]) == atoms.leaves((*alone[0], *alone[1]))
    assert atoms.cut_by(merged[0][0]) == "add"


def test_axes_that_do_not_meet() -> None:
    atoms = Atoms()
    a, b = atoms.axes((2, 3)), atoms.axes((3, 2))
    assert not atoms.unify((*a[0], *a[1]), (*b[0], *b[1]), "add")


def test_long_chains_of_equal_atoms() -> None:
    atoms = Atoms()
    made = [atoms.new(4) for _ in range(5000)]
    for a, b in itertools.pairwise(made):
        atoms.unify((a,), (b,), "add")
    assert len({atoms.find(a) for a in made}) == 1


def test_an_empty_value() -> None:
    atoms = Atoms()
    after, _ = atoms.regroup(atoms.axes((0, 3)), (3, 0), "r")
    assert shape(atoms, after) == (3, 0)


def edited() -> Editor:
    ops = (
        Input(name="x", shape=(2,)),
        Scale(name="a", inputs=("x",), factor=2.0),
        Linear(name="b", inputs=("a",), weight="w"),
        Linear(name="c", inputs=("a",), weight="w"),
        Output(name="y", inputs=("b",)),
        Output(name="z", inputs=("c",)),
    )
    return Editor(Graph(ops, {"w": Absent((2, 2))}))


def test_an_editor_knows_who_reads_what() -> None:
    edit = edited()
    assert [op.name for op in edit.users("a")] == ["b", "c"]
    assert edit.only_user("a") is None
    edit.bypass("a")
    assert "a" not in edit
    assert [op.name for op in edit.users("x")] == ["b", "c"]
    assert edit["b"].inputs == ("x",)
    assert [op.name for op in edit.graph().ops] == ["x", "b", "c", "y", "z"]


def test_an_editor_keeps_weights_apart() -> None:
    edit = edited()
    first, second = edit.add_weight("w", Absent((1,))), edit.add_weight("w", Absent((2,)))
    assert (first, second) == ("w.2", "w.3")
    assert set(edit.graph().weights) == {"w"}
