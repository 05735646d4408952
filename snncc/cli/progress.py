"""What a terminal shows of work in progress: what is done and, after two seconds, what is left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from snncc.cli.screen import say, stderr

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE_SECONDS = 2
"""Work that takes longer shows how far it is, and how much time is left."""

_SPEED_SECONDS = 600
"""The speed of the work, from which the time left follows, is a mean over so long."""


@contextlib.contextmanager
def working(task: str) -> Iterator[None]:
    """Show what is being done and for how long, where stderr is a terminal."""
    bar = Bar(task)
    bar.start()
    try:
        yield
    finally:
        bar.stop()


@contextlib.contextmanager
def stages(shares: Mapping[str, float]) -> Iterator[Callable[[str], None]]:
    """Give what is called with the name of each stage as it begins.

    ``shares`` are the stages in order, each with about the share of the time that it takes; the
    time left is estimated from them.
    """
    starts = {name: sum(list(shares.values())[:n]) for n, name in enumerate(shares)}
    bar = Bar(next(iter(shares)), unit="")

    def watch(stage: str) -> None:
        bar.show(starts[stage], sum(shares.values()), stage)

    bar.start()
    try:
        yield watch
    finally:
        bar.stop()


class Bar:
    """A line with the task and its time; after two seconds also how much is done and left."""

    def __init__(self, task: str, unit: str = "samples") -> None:
        """Name a task; ``unit`` is what is counted, nothing where only shares are known."""
        self.task = task
        self.unit = unit
        self.progress: Progress | None = None

    def start(self) -> None:
        """Show the task; nothing where stderr is no terminal."""
        console = stderr()
        if self.progress is not None or not console.is_terminal:
            return
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self.progress = Progress(
            *columns, console=console, transient=True, speed_estimate_period=_SPEED_SECONDS
        )
        self.progress.add_task(self.task, total=None)
        self.progress.start()

    def show(self, done: float, total: float, task: str | None = None) -> None:
        """Show how much is done, and what is being done now."""
        if self.progress is None:
            return
        shown = self.progress.tasks[0]
        self.progress.update(shown.id, completed=done, total=total, description=task)
        if (shown.elapsed or 0) > PATIENCE_SECONDS and len(self.progress.columns) == 3:
            self.progress.columns = (*self.progress.columns, *self._more())

    def _more(self) -> Iterator[Any]:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        yield BarColumn(20)
        if self.unit:
            yield MofNCompleteColumn()
            yield TextColumn(self.unit)
        yield TimeRemainingColumn()
        yield TextColumn("left")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.stop()
        say(text)
        self.start()

    def stop(self) -> None:
        """Take the bar away."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
