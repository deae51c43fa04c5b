"""The tree of commands. Each command's own libraries are imported when it runs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

__all__ = ["build_app", "usage_error"]


#: Each command's module in `streaks.cli` and its name there; a group of commands is an ``app``.
_COMMANDS = {
    "demo": ("demo", "demo"),
    "sample": ("sample", "sample"),
    "detect": ("detect", "detect"),
    "night": ("night", "night"),
    "classify": ("models", "classify"),
    "known": ("known", "app"),
    "alerts": ("alerts", "app"),
    "synth": ("synth", "app"),
    "train": ("train", "app"),
    "evaluate": ("evaluation", "evaluate"),
    "completeness": ("completeness", "completeness"),
    "labels": ("labels", "app"),
    "lightcurve": ("lightcurve", "lightcurve"),
    "periods": ("periods", "periods"),
    "tracklets": ("tracklets", "tracklets"),
    "report": ("report", "report"),
    "vet": ("vet", "vet"),
    "store": ("store", "app"),
}


def build_app(words: Sequence[str] = ()) -> typer.Typer:
    """All commands, mounted; or only the one that is called.

    Parameters
    ----------
    words
        Of the command line. Where the first is a command's name, the others are not needed, and
        stay unread.

    Returns
    -------
    typer.Typer
    """
    app = typer.Typer(
        name="streaks",
        help="Find streaks in difference images, name them, and check them against known objects.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Exit codes: 0 done; 1 done, but some inputs failed (each is named); "
        "2 wrong usage or nothing done. --debug shows tracebacks.",
    )
    app.callback()(_options)
    called = words[0] if words else ""
    for name in [called] if called in _COMMANDS else _COMMANDS:
        _mount(app, name)
    _guard_inputs(app)
    return app


def _mount(app: typer.Typer, name: str) -> None:
    module, attribute = _COMMANDS[name]
    command = getattr(importlib.import_module(f"streaks.cli.{module}"), attribute)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


#: Options that name what is written; any other path is read.
_WRITTEN = frozenset({"output", "out", "plot", "obs80", "disagreements", "export", "ades"})


class _Command(TyperCommand):
    """A command that writes over none of the files that it is to read."""

    def invoke(self, ctx: Any) -> Any:
        from streaks.errors import ConfigError

        for option in sorted(_WRITTEN & ctx.params.keys()):
            for target in _paths(ctx.params[option]):
                for name in ctx.params.keys() - _WRITTEN:
                    if any(_is_same(target, path) for path in _paths(ctx.params[name])):
                        raise ConfigError(
                            f"{_flag(option)} {target} is a file to be read; nothing was written: "
                            "give another name"
                        )
        return super().invoke(ctx)


def _flag(parameter: str) -> str:
    return "--output" if parameter == "out" else f"--{parameter}"


def _guard_inputs(app: typer.Typer) -> None:
    for command in app.registered_commands:
        command.cls = _Command
        # The overview shows whole sentences; its own rule cuts them after sixty letters.
        command.short_help = _first_sentence(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _guard_inputs(group.typer_instance)


def _first_sentence(command: Any) -> str:
    """The first paragraph of what a command says of itself, as one line."""
    return " ".join((command.__doc__ or "").strip().partition("\n\n")[0].split())


def _paths(value: Any) -> Iterator[Path]:
    """The paths in an option's value; names of models and profiles may be paths too."""
    if isinstance(value, Path | str):
        if str(value):
            yield Path(value)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _paths(one)


def _is_same(target: Path, path: Path) -> bool:
    """Whether both are one file; ``FILE[SCI,2]`` is in FILE, and a night is its own files."""
    names = [path, Path(str(path).partition("[")[0])]
    if target.exists() and path.is_dir():
        from streaks.night_folder import NightFolder

        night = NightFolder(path)
        names += [night.streaks, night.frames, night.tracklets]
        names += [night.ledger, night.judgements, night.settings]
    for name in names:
        try:
            if target.is_file() and target.samefile(name):
                return True
        except (OSError, ValueError):
            continue
    return False


def usage_error() -> Any:
    """What the option parser raises for wrong words.

    Typer's parser is click or its own copy of it, by version; its public exceptions tell which.

    Returns
    -------
    type
        The class ``ClickException`` of that parser.
    """
    return next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def _version(wanted: bool) -> None:
    if wanted:
        from streaks import __version__

        typer.echo(f"streaks {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass
