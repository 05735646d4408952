"""Loops compiled by numba, kept on disk between runs, and shared out among threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar, cast

from numba import njit

_Loop = TypeVar("_Loop", bound=Callable[..., Any])

_FEWEST_JOBS = 16
"""Fewer chunks than this are not worth a second thread."""


def compiled(loop: _Loop) -> _Loop:
    """Compile a loop at its first call; kept on disk where there is a place for it."""
    try:
        return cast(_Loop, njit(loop, nogil=True, cache=True))
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return cast(_Loop, njit(loop, nogil=True))


def share_out(work: Callable[[int, int], None], jobs: int) -> None:
    """Call ``work(first, stop)`` on parts of ``range(jobs)``, one a thread, and wait for all."""
    count = min(_threads(), max(1, jobs // _FEWEST_JOBS))
    if count == 1:
        work(0, jobs)
        return
    ends = [jobs * i // count for i in range(count + 1)]
    parts = itertools.pairwise(ends[1:])
    waiting = [_pool(count).submit(work, first, stop) for first, stop in parts]
    work(0, ends[1])
    for part in waiting:
        part.result()


def _threads() -> int:
    """As many as torch may use."""
    import torch  # noqa: PLC0415 - seconds

    return torch.get_num_threads()


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="snncc")
