"""Units in which the weights of a group are whole numbers already, so that nothing is rounded.

Looked for in this order: the unit that a file of integers has itself, one if the stored weights are
whole, the largest step of which all of them are multiples. A unit may be a power of two finer than
the step where only then biases are whole, or thresholds that would be rounded to a count. All
members of a group have to agree, else none is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from snncc.ir.graph import Array
from snncc.passes.grids import MOST_MULTIPLE, most_shift, on_grid, steps_of

_MOST_SHIFT = 8
"""Weights wider than their bits are kept where so many of their lowest are zero."""


@dataclass(frozen=True)
class Member:
    """What a weighted op puts into a group, in real units of the group.

    ``rows`` and ``bias`` have a row for each channel, or one for all; ``whole`` is the unit in
    which its stored weights count.
    """

    name: str
    rows: Array
    bias: Array
    whole: float


@dataclass(frozen=True)
class Kept:
    """The unit of a group whose weights are kept, one a row, and the shift of each member.

    ``biases``: they are whole as well. ``given``: the unit is that of the file; ``reason`` says why
    it is another.
    """

    unit: Array
    shifts: Mapping[str, int]
    biases: bool
    given: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Group:
    """Members that share units, the stored tensors that they meet, and the bounds of the units.

    ``constants`` have rows as members have.
    ``given`` is the unit of a file of integers; ``least`` the least that thresholds allow;
    ``peak`` the largest weight; ``levels`` the thresholds that are rounded to a count.
    """

    members: Sequence[Member]
    constants: Sequence[Array]
    given: Array | None
    least: float
    peak: int
    levels: Sequence[float] = ()

    def kept(self) -> Kept | str:
        """Return units in which all weights are whole, or why there are none."""
        reason = "" if self.given is None else self._kept_as_given()
        if isinstance(reason, Kept):
            return reason
        for unit in (*self._whole(), self._steps()):
            shifts = "they are multiples of no step" if unit is None else self._shifts(unit)
            if unit is None or isinstance(shifts, str):
                reason = reason or str(shifts)
            elif unit.min() >= self.least:
                return replace(self._refined(unit, shifts), reason=reason)
            else:
                reason = reason or "their thresholds outgrow the register in that unit"
        return reason

    def _kept_as_given(self) -> Kept | str:
        """Return the unit of the file, in which biases have to be whole too, else what is not."""
        unit = np.broadcast_to(cast(Array, self.given), (len(self.members[0].rows),))
        shifts = self._shifts(unit)
        if isinstance(shifts, str):
            return shifts
        if not self._whole_biases(unit).all():
            return "biases are no whole multiples of it"
        return Kept(unit, shifts, biases=True, given=True)

    def _whole(self) -> list[Array]:
        """Return the units in which stored weights count themselves, where all are whole."""
        found = dict.fromkeys(member.whole for member in self.members if member.whole > 0)
        whole = [u for u in found if all(on_grid(member.rows, u) for member in self.members)]
        return [np.full(len(self.members[0].rows), unit) for unit in whole]

    def _steps(self) -> Array | None:
        """Return the largest step of each row; a row of zeros has a usual one."""
        found = [steps_of(member.rows, self.peak) for member in self.members]
        each = [steps for steps in found if steps is not None]
        if len(each) < len(found):
            return None
        common = steps_of(np.stack(each, axis=1), MOST_MULTIPLE)
        if common is None or not common.any():
            return None
        return np.where(common > 0, common, np.median(common[common > 0]))

    def _shifts(self, unit: Array) -> dict[str, int] | str:
        """Return by how much each member's weights are shifted to fit; else why they do not."""
        shifts = {}
        for member in self.members:
            if not on_grid(member.rows, unit[:, None]):
                return f"those of `{member.name}` are no whole multiples of it"
            counts = np.rint(member.rows / unit[:, None])
            largest = int(np.abs(counts).max(initial=0))
            shift = max(0, (largest // (self.peak + 1)).bit_length())
            shift += (largest >> shift) > self.peak
            if shift > min(_MOST_SHIFT, most_shift(counts)) and largest:
                return f"those of `{member.name}` reach {largest}, wanted {self.peak} at most"
            shifts[member.name] = int(shift)
        if not all(on_grid(rows, unit[:, None]) for rows in self.constants):
            return "a stored tensor that they meet is on no grid of theirs"
        return shifts

    def _refined(self, unit: Array, shifts: Mapping[str, int]) -> Kept:
        """Return the unit made finer by powers of two, as far as needed and as weights allow."""
        room = np.full(len(unit), _MOST_SHIFT)
        for member in self.members:
            largest = np.abs(np.rint(member.rows / unit[:, None])).max(axis=1, initial=0)
            spare = (self.peak << shifts[member.name]) / np.maximum(largest, 1)
            room = np.minimum(room, np.log2(spare).astype(int))
        if self.least > 0:
            room = np.minimum(room, np.log2(unit / self.least).astype(int))
        finer = room.copy()
        for bits in range(_MOST_SHIFT, -1, -1):
            whole = self._whole_biases(unit / 2.0**bits) & self._whole_levels(unit / 2.0**bits)
            finer = np.where(whole & (bits <= room), bits, finer)
        unit = unit / 2.0**finer
        return Kept(unit, shifts, bool(self._whole_biases(unit).all()))

    def _whole_biases(self, unit: Array) -> Array:
        whole = [
            [on_grid(bias, u) for bias, u in zip(member.bias, unit, strict=True)]
            for member in self.members
        ]
        return np.all(whole, axis=0)

    def _whole_levels(self, unit: Array) -> Array:
        return np.array([on_grid(np.array(self.levels), u) for u in unit])


def unlike_given(kept: Kept | str, exact: bool) -> str:
    """Return in what the integers of a layer are not those of its file, nothing where they are."""
    if not isinstance(kept, Kept):
        return f"its weights are rounded: {kept}"
    if not kept.given:
        return f"its weights count in another unit: {kept.reason}"
    if not kept.biases:
        return "its biases are rounded"
    return "" if exact else "its threshold or decay is rounded"
