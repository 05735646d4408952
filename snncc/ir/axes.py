"""What stands on each axis of each value: axes as ordered lists of atoms.

An atom is a factor of an axis that never needs to be cut: time, batch, or anything else. Flattening
puts atoms one behind the other on one axis, unflattening takes them apart again, and where a
reshape cuts through an atom it splits into two. Two values that are added have the same atoms, so
an atom made by an expansion turns out to be time when it meets time further down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from snncc.ir.graph import Shape

Axis: TypeAlias = tuple[int, ...]
Layout: TypeAlias = tuple[Axis, ...]


@dataclass
class _Atom:
    """An atom; ``link`` is the atom it was found equal to, ``parts`` what ``cut_by`` made of it."""

    size: int
    link: int | None = None
    parts: tuple[int, int] | None = None
    cut_by: str = ""


class Atoms:
    """All atoms of a graph: a union-find in which a class can also be split in two."""

    def __init__(self) -> None:
        self._atoms: list[_Atom] = []

    def new(self, size: int) -> int:
        """Return a new atom."""
        self._atoms.append(_Atom(size))
        return len(self._atoms) - 1

    def axes(self, shape: Shape) -> Layout:
        """Return a layout of new atoms, one an axis."""
        return tuple((self.new(n),) for n in shape)

    def size(self, atom: int) -> int:
        """Return how many places an atom has."""
        return self._atoms[atom].size

    def find(self, atom: int) -> int:
        """Return the representative of all atoms found equal to this one."""
        root = atom
        while (link := self._atoms[root].link) is not None:
            root = link
        while (link := self._atoms[atom].link) is not None:
            self._atoms[atom].link, atom = root, link
        return root

    def cut_by(self, atom: int) -> str:
        """Return the op that has cut this atom in two, or nothing."""
        return self._atoms[self.find(atom)].cut_by

    def leaves(self, axis: Axis) -> Axis:
        """Return the uncut atoms that the atoms of an axis have become, in order."""
        found: list[int] = []
        waiting = list(reversed(axis))
        while waiting:
            root = self.find(waiting.pop())
            parts = self._atoms[root].parts
            if parts is None:
                found.append(root)
            else:
                waiting += reversed(parts)
        return tuple(found)

    def cut(self, atom: int, front: int, by: str) -> tuple[int, int]:
        """Split an uncut atom into one of ``front`` places and the rest; return both."""
        node = self._atoms[atom]
        node.parts = (self.new(front), self.new(node.size // front))
        node.cut_by = by
        return node.parts

    def unify(self, a: Axis, b: Axis, by: str) -> bool:
        """Take two axes of equal length to be the same; false where their atoms do not meet."""
        left, right = self._wide(a), self._wide(b)
        if not left and not right:
            return self._unify_narrow(a, b)
        while left and right:
            x, y = self.find(left[-1]), self.find(right[-1])
            if x == y or self.size(x) == self.size(y):
                left.pop()
                right.pop()
                self._link(x, y)
            elif not self._cut_larger(left, right, by):
                return False
        return True

    def _wide(self, axis: Axis) -> list[int]:
        return [a for a in reversed(self.leaves(axis)) if self.size(a) > 1]

    def _unify_narrow(self, a: Axis, b: Axis) -> bool:
        if len(a) == len(b) == 1:
            self._link(self.find(a[0]), self.find(b[0]))
        return True

    def _link(self, x: int, y: int) -> None:
        if x != y:
            self._atoms[x].link = y

    def _cut_larger(self, left: list[int], right: list[int], by: str) -> bool:
        small, large = sorted((left, right), key=lambda stack: self.size(stack[-1]))
        front, whole = self.size(small[-1]), self.size(large[-1])
        if whole % front:
            return False
        first, rest = self.cut(self.find(large.pop()), front, by)
        large += (rest, first)
        return True

    def regroup(self, layout: Layout, shape: Shape, by: str) -> tuple[Layout, Axis]:
        """Return the layout after a reshape, and the atoms that it mixes beyond recovery.

        Atoms are handed out in order. Where the new axes cut across the old ones so that no
        splitting helps (6x4 to 8x3), those axes get new atoms.
        """
        return _Regrouping(self, layout, shape, by).run()


class _Regrouping:
    """One reshape under way: the atoms still to hand out and the axes still to fill."""

    def __init__(self, atoms: Atoms, layout: Layout, shape: Shape, by: str) -> None:
        self.atoms = atoms
        self.waiting = [a for axis in reversed(layout) for a in reversed(atoms.leaves(axis))]
        self.shape = shape
        self.by = by
        self.done: list[Axis] = []
        self.mixed: list[int] = []

    def run(self) -> tuple[Layout, Axis]:
        if 0 in self.shape:
            return self.atoms.axes(self.shape), tuple(self.waiting)
        while len(self.done) < len(self.shape):
            if self.shape[len(self.done)] == 1:
                self._fill_narrow()
            else:
                self._fill()
        if self.waiting and self.done:
            self.done[-1] = (*self.done[-1], *reversed(self.waiting))
        return tuple(self.done), tuple(self.mixed)

    def _front(self) -> int:
        return self.atoms.size(self.waiting[-1])

    def _fill_narrow(self) -> None:
        narrow = bool(self.waiting) and self._front() == 1
        self.done.append((self.waiting.pop() if narrow else self.atoms.new(1),))

    def _fill(self) -> None:
        taken: list[int] = []
        wanted, size = self.shape[len(self.done)], 1
        while size < wanted:
            left = wanted // size
            if self._front() > left and self._front() % left == 0:
                first, rest = self.atoms.cut(self.waiting.pop(), left, self.by)
                self.waiting += (rest, first)
            elif left % self._front():
                self._give_up(taken)
                return
            size *= self._front()
            taken.append(self.waiting.pop())
        while self._surplus():
            taken.append(self.waiting.pop())
        self.done.append(tuple(taken))

    def _surplus(self) -> bool:
        """Whether more atoms of one place wait than axes of one place follow."""
        wide = (i for i, a in enumerate(reversed(self.waiting)) if self.atoms.size(a) > 1)
        narrow = next(wide, len(self.waiting))
        after = self.shape[len(self.done) + 1 :]
        free = next((i for i, n in enumerate(after) if n > 1), len(after))
        return narrow > free

    def _give_up(self, taken: list[int]) -> None:
        """Fill as many axes as it takes for both sides to agree again with new atoms."""
        filled, wanted = math.prod(self.atoms.size(a) for a in taken), 1
        self.mixed += taken
        while filled != wanted or wanted == 1:
            if filled <= wanted:
                filled *= self._front()
                self.mixed.append(self.waiting.pop())
            else:
                size = self.shape[len(self.done)]
                wanted *= size
                self.done.append((self.atoms.new(size),))
