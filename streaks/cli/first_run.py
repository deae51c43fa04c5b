"""The first run after an installation: what is compiled once, with a bar that says so."""

from __future__ import annotations

import sys
from typing import Literal

from streaks.cli.progress import show_progress

__all__ = ["compile_once"]

_SAID = "first run: compiling"


def compile_once(quiet: bool, purpose: Literal["frames", "alerts"] = "frames") -> None:
    """Compile the kernels of a search where that has not been done; later runs find them.

    Parameters
    ----------
    quiet
        Say nothing.
    purpose
        Of a search of frames, or of a filter of alerts.
    """
    from streaks.compiling import needed, warm_up

    if not needed(purpose):
        return
    if not quiet and not sys.stderr.isatty():
        print(f"{_SAID} (once, a minute or two)", file=sys.stderr, flush=True)
    with show_progress(100, _SAID, quiet) as progress:
        # In per cent: how many there are is known when compiling begins.
        told = None if progress is None else lambda done, total: progress(100 * done // total)
        warm_up(told, purpose)
