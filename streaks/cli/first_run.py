"""The first run after an installation: what is compiled once, with a bar that says so."""

from __future__ import annotations

import sys

from streaks.cli.progress import show_progress

__all__ = ["compile_once"]

_SAID = "first run: compiling"


def compile_once(quiet: bool) -> None:
    """Compile the kernels of a search where that has not been done; later runs find them.

    Parameters
    ----------
    quiet
        Say nothing.
    """
    from streaks.compiling import needed, warm_up

    if not needed():
        return
    if not quiet and not sys.stderr.isatty():
        print(f"{_SAID} (once, a minute or two)", file=sys.stderr, flush=True)
    with show_progress(100, _SAID, quiet) as progress:
        # In per cent: how many there are is known when compiling begins.
        warm_up(None if progress is None else lambda done, total: progress(100 * done // total))
