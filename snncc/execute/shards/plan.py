"""Which samples are still to be run, cut into shards while they are handed out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from snncc.execute.counts import BATCH

SHARD_SECONDS = 3.0
"""How long a shard should take: what an interrupt or a lost worker costs at most."""

SHARD_BYTES = 2**26
"""What the samples of a shard may weigh where they are sent; one batch always."""


class Span(NamedTuple):
    """Samples ``start`` up to, without, ``stop``."""

    start: int
    stop: int


class Plan:
    """Hands out shards: the first ones a batch each, later ones as long as the time suggests."""

    def __init__(
        self, samples: int, done: Iterable[Span] = (), *, sample_bytes: int = 0, runners: int = 1
    ) -> None:
        """Take the number of samples, what is done of them, and how many run shards at once."""
        self.total = samples
        self.gaps = list(_gaps(samples, sorted(done)))
        self.runners = runners
        self.seconds_a_batch: float | None = None
        self.most = max(1, SHARD_BYTES // max(1, BATCH * sample_bytes))

    def take(self) -> Span | None:
        """Return the next shard; None where all are handed out."""
        if not self.gaps:
            return None
        start, stop = self.gaps[0]
        end = min(start + BATCH * self._batches(), stop)
        self.gaps[:1] = [Span(end, stop)] if end < stop else []
        return Span(start, end)

    def took(self, span: Span, seconds: float) -> None:
        """Learn how long a shard took: the latest says most, the first one starts slowly."""
        count = math.ceil((span.stop - span.start) / BATCH)
        self.seconds_a_batch = max(seconds, 1e-6) / count

    def _batches(self) -> int:
        """Return how many batches the next shard has; towards the end all runners get a share."""
        if self.seconds_a_batch is None:
            return 1
        left = sum(stop - start for start, stop in self.gaps)
        share = math.ceil(left / BATCH / (2 * self.runners)) if self.runners > 1 else self.most
        return max(1, min(int(SHARD_SECONDS / self.seconds_a_batch), self.most, share))


def _gaps(samples: int, done: list[Span]) -> Iterable[Span]:
    """Yield what no span covers."""
    at = 0
    for start, stop in (*done, Span(samples, samples)):
        if at < start:
            yield Span(at, start)
        at = max(at, stop)
