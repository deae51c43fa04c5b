"""The command line: options, composition, exit codes. The only room that prints.

Exit codes: 0 done; 1 done, but some inputs failed (each is named); 2 wrong usage, or nothing
could be done; 130 stopped by the user.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence

__all__ = ["app", "main"]


def __getattr__(name: str) -> object:
    # Built on demand: `import streaks.cli` stays cheap for those who only look.
    if name == "app":
        from streaks.cli.application import build_app

        return build_app()
    raise AttributeError(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (as a script: exit with it).

    Parameters
    ----------
    arguments
        Words after the program's name; those of the process when not given.

    Returns
    -------
    int
        0 done, 1 done but some inputs failed, 2 nothing could be done, 130 stopped.
    """
    from streaks.cli.collector import spare_collector
    from streaks.cli.terminal import plain_streams

    with plain_streams():
        code = _guarded(list(sys.argv[1:] if arguments is None else arguments))
    if arguments is None:
        spare_collector()
        sys.exit(code)
    return code


def _guarded(words: list[str]) -> int:
    """The exit code, whatever happens."""
    debug = _take(words, "--debug")
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(levelname)s: %(message)s" if not debug else "%(name)s: %(message)s",
        stream=sys.stderr,
    )
    _quieten(debug)
    try:
        code = _run(words)
    except KeyboardInterrupt:
        print("streaks: stopped", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        # The reader of a pipe went away; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        else:
            print(f"streaks: {_one_line(error)}", file=sys.stderr)
        code = 2
    return code


def _run(words: list[str]) -> int:
    import typer

    from streaks.cli.application import build_app, usage_error

    try:
        result = build_app(words)(args=words, prog_name="streaks", standalone_mode=False)
    except usage_error() as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "streaks"
        if type(error).__name__ == "NoArgsIsHelpError":
            # Its message is the page of help, whose lines are to stay lines.
            print(str(error.format_message()).rstrip(), file=sys.stderr)
            return 2
        text = " ".join(str(error.format_message()).split())
        if text:
            print(f"{where}: {text} (see '{where} --help')", file=sys.stderr)
        return 2
    except typer.Exit as stop:
        return int(stop.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    return int(result) if isinstance(result, int) and not isinstance(result, bool) else 0


def _take(words: list[str], flag: str) -> bool:
    """Whether a flag stands anywhere before a lone ``--``; it is removed."""
    stop = words.index("--") if "--" in words else len(words)
    if flag not in words[:stop]:
        return False
    words.remove(flag)
    return True


def _one_line(error: Exception) -> str:
    from streaks.errors import StreaksError

    text = " ".join(str(error).split())
    if isinstance(error, StreaksError):
        return text
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or text}"
    return f"unexpected {type(error).__name__}: {text} (run again with --debug for the traceback)"


def _quieten(debug: bool) -> None:
    """Astropy's repairs of odd headers are not the user's business."""
    if debug:
        return
    import warnings

    warnings.filterwarnings("ignore", category=UserWarning, module="astropy|erfa")
    # Not astropy's logger: asked for before astropy has made it, it is of the wrong class, and
    # astropy then fails to import. Its warnings go by the filter above.
    logging.getLogger("numba").setLevel(logging.ERROR)
