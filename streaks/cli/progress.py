"""How far a long command is: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streaks.cli.terminal import raw

if TYPE_CHECKING:
    from streaks.night import Progress

__all__ = ["progress_shown", "show_progress"]

#: Plain lines are for logs: not one a frame on nights of thousands.
_LINES = 50


@contextmanager
def progress_shown(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """What to call after each frame.

    Parameters
    ----------
    quiet
        Whether nothing is to be shown.

    Yields
    ------
    callable
        Takes the `Progress` of a night.
    """
    if not quiet and sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        yield functools.partial(_plain_line, quiet=quiet)


def _plain_line(state: Progress, *, quiet: bool) -> None:
    finished = state.done + state.failed
    step = max(1, state.total // _LINES)
    if not quiet and state.image and (finished % step == 0 or finished == state.total):
        print(
            f"{finished}/{state.total} frames, {_found(state)}, {_pace(state)}: {state.image}",
            file=sys.stderr,
        )


def _found(state: Progress) -> str:
    return f"{state.failed} failed, {state.n_streaks} streaks, {state.n_asteroids} named asteroid"


def _pace(state: Progress) -> str:
    """Frames a second and the time left at that rate."""
    if not math.isfinite(state.rate):
        return ""
    left = round(state.seconds_left)
    hours, minutes, seconds = left // 3600, left // 60 % 60, left % 60
    return f"{state.rate:.2f} frames/s, {hours}:{minutes:02d}:{seconds:02d} left"


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("frames"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("{task.fields[found]}"),
    )
    with Bar(*columns, console=Console(file=raw(sys.stderr))) as bar:
        task = bar.add_task("frames", total=None, found="", pace="")

        def tell(state: Progress) -> None:
            finished = state.done + state.failed
            bar.update(
                task,
                total=state.total,
                completed=finished,
                found=_found(state),
                pace=_pace(state),
            )

        yield tell


@contextmanager
def show_progress(total: int, what: str, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """A bar on a terminal, a line every tenth otherwise.

    Parameters
    ----------
    total
        Of what is to be done.
    what
        Is done: a word before the bar.
    quiet
        Whether nothing is to be shown.

    Yields
    ------
    callable or None
        Takes how many are done so far; None where nothing is to be shown.
    """
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _plain_progress(total, what)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=raw(sys.stderr))) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _plain_progress(total: int, what: str) -> Callable[[int], None]:
    step = max(1, total // 10)
    last = 0

    def report(done: int) -> None:
        nonlocal last
        if done >= total or done - last >= step:
            last = done
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    return report
