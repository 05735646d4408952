"""Which answer a network gives, and how often it is right."""

from __future__ import annotations

import numpy as np

from snncc.execute.accuracy import chosen, right_share


def test_the_largest_of_several_axes_is_one_place() -> None:
    outputs = np.zeros((2, 3, 4))
    outputs[0, 1, 2], outputs[1, 2, 3] = 1, 1
    assert chosen(outputs).tolist() == [6, 11]
    assert chosen(np.eye(3)).tolist() == [0, 1, 2]


def test_the_share_of_right_answers() -> None:
    assert right_share(np.eye(4), np.array([0, 1, 2, 0])) == 0.75
