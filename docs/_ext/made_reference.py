"""Writes the reference's pages from the code, at each build.

`docs/reference/commands.md`, `settings.md`, `columns.md`, `flags.md` and `docs/api/*.md` are made;
git does not keep them. What they say of a command, setting, column or flag stands at that thing in
the code, and nowhere else.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from enum import IntFlag
from pathlib import Path
from typing import Any

__all__ = ["pages", "setup"]

#: Tables of `streaks.tables.ColumnSpec`: heading, words, module and name.
TABLES = (
    ("Streaks", "What the detector gives: `streaks detect`, `streaks.parquet`.",
     "streaks.tables", "STREAK_COLUMNS"),
    ("Classes", "Added by a classifier. `label` is one of the seven classes, `unresolved`, `skip`.",
     "streaks.tables", "CLASS_COLUMNS"),
    ("Verdict", "Added by the verdict ([what it weighs](../verdict.md)).",
     "streaks.tables", "VERDICT_COLUMNS"),
    ("Known objects", "Added where orbits are given; ZTF's conventions: -999 and `null` for none.",
     "streaks.tables", "MATCH_COLUMNS"),
    ("How well a known object fits", "Behind the columns above.",
     "streaks.matching", "MATCH_QUALITY_COLUMNS"),
    ("Satellites and tracklets", "Added by two-line elements and by what spans frames.",
     "streaks.tables", "NIGHT_COLUMNS"),
    ("Tracklets", "`tracklets.parquet`: one row an object of several exposures.",
     "streaks.tracklets", "TRACKLET_COLUMNS"),
    ("Predictions", "`streaks known query`, `streaks.known.predict`.",
     "streaks.known", "PREDICTION_COLUMNS"),
    ("Satellite candidates", "`streaks known satellites`.",
     "streaks.satellites", "CANDIDATE_COLUMNS"),
    ("Alerts", "Our word on an alert: `streaks alerts filter`.",
     "streaks.streams", "WORD_COLUMNS"),
)  # fmt: skip

#: A line of stages.md, for pages that are newer than its list.
FURTHER = "(further pages)"

#: Rooms whose public names are in the API, with what they are for.
ROOMS = (
    ("frame", "One image with all that is known of it"),
    ("readers", "Files in: images, cutouts, alerts, tables"),
    ("detection", "Streaks in an image"),
    ("cutouts", "Cutouts around streaks"),
    ("features", "Numbers of a cutout"),
    ("classification", "Classes from probabilities"),
    ("models", "Classifiers: load, train, evaluate"),
    ("verdict", "All evidence weighed"),
    ("matching", "Streaks and known objects"),
    ("known", "Orbits and ephemerides"),
    ("satellites", "Artificial satellites"),
    ("tracklets", "One object in several exposures"),
    ("completeness", "How much of a truth was found"),
    ("lightcurves", "Brightness over time, and rotation"),
    ("store", "Nights over years"),
    ("search", "One frame's whole way"),
    ("night", "A whole night"),
    ("streams", "Alerts in and out"),
    ("vetting", "People's judgements"),
    ("labelling", "Zooniverse: sets out, answers back"),
    ("reporting", "Tables, ADES, regions, pages out"),
    ("plotting", "Pictures"),
    ("synth", "Skies with their truth"),
    ("tables", "Columns and flags"),
    ("sky", "Between pixels and ICRS"),
    ("geometry", "Segments and angles"),
    ("config", "Settings"),
    ("errors", "What may be raised"),
)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx's door: the pages are written before the sources are read."""
    app.connect("builder-inited", lambda sphinx: write_pages(Path(sphinx.srcdir)))
    app.connect("source-read", list_further_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(docs: Path) -> None:
    """Write each page that differs from what is there."""
    for name, text in pages():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def list_further_pages(app: Any, name: str, source: list[str]) -> None:
    """Put pages that no list of contents names in the place of `FURTHER`."""
    if FURTHER in source[0]:
        docs = Path(app.srcdir)
        listed = set(re.findall(r"^(\w+)$", "\n".join(
            (docs / f"{page}.md").read_text(encoding="utf-8") for page in ("index", "about", name)
        ), re.MULTILINE))  # fmt: skip
        found = {path.stem for path in docs.glob("*.md")} - {"index"} - listed
        source[0] = source[0].replace(FURTHER, "\n".join(sorted(found)))


def pages() -> Iterator[tuple[str, str]]:
    """Name (below docs/) and text of every page."""
    yield "reference/commands.md", commands_page()
    yield "reference/settings.md", settings_page()
    yield "reference/columns.md", columns_page()
    yield "reference/flags.md", flags_page()
    yield "api/index.md", api_index()
    for room, title in ROOMS:
        if has_room(room):
            yield f"api/{room}.md", api_page(room, title)


def cell(text: Any) -> str:
    """Text for a cell of a table."""
    words = " ".join(str(text).split())
    return words.replace("\\", "\\\\").replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


def plain(text: str) -> str:
    """A docstring's paragraphs as Markdown; code in double backticks gets single ones."""
    return inspect.cleandoc(text).replace("``", "`").replace("*", "\\*")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    heads = list(heads)
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


# Commands


def commands_page() -> str:
    """Every command with its options, as `--help` tells them."""
    import typer

    from streaks.cli.application import build_app

    root = typer.main.get_command(build_app())
    parts = [
        "# Commands\n\nMade from the code. Exit codes: 0 done; 1 done, but some inputs failed "
        "(each is named); 2 wrong usage, or nothing could be done; 130 stopped. `--debug` shows "
        "tracebacks. Options that may be repeated are marked with *.\n"
    ]
    parts += [command_text(name, command) for name, command in leaves(root, "streaks")]
    return "\n".join(parts)


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Commands that do something, with their whole names."""
    for word, one in getattr(command, "commands", {}).items():
        if hasattr(one, "commands"):
            yield from leaves(one, f"{name} {word}")
        else:
            yield f"{name} {word}", one


def command_text(name: str, command: Any) -> str:
    """A command's part of the page."""
    rows = [option_row(one) for one in command.params if not getattr(one, "hidden", False)]
    usage = [
        name,
        "[OPTIONS]",
        *(argument_word(one) for one in command.params if not is_option(one)),
    ]
    help_text = plain(command.help or "")
    return f"## {name}\n\n```text\n{' '.join(usage)}\n```\n\n{help_text}\n\n" + table(
        ("option", "default", "meaning"), rows
    )


def is_option(parameter: Any) -> bool:
    return parameter.param_type_name == "option"


def argument_word(parameter: Any) -> str:
    word = (parameter.metavar or parameter.name).upper().strip("{}[].")
    return word + ("..." if parameter.nargs == -1 else "")


def option_row(parameter: Any) -> tuple[str, str, str]:
    """Name, default and help of a parameter."""
    if is_option(parameter):
        names = ", ".join(f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts))
        names += " *" if parameter.multiple else ""
        names = names.replace(" *", " \\*")
    else:
        names = f"`{argument_word(parameter)}`"
    return names, default_of(parameter), cell(getattr(parameter, "help", "") or "")


def default_of(parameter: Any) -> str:
    """The default in words."""
    value = parameter.default
    if parameter.required:
        return "(needed)"
    if (
        value is None
        or value is False
        or value in ("", (), [])
        or callable(value)
        or "Sentinel" in repr(type(value))
    ):
        return ""
    if "UNSET" in repr(value).upper():
        return ""
    if isinstance(value, tuple | list):
        return "`" + " ".join(str(one) for one in value) + "`"
    return "yes" if value is True else f"`{value}`"


# Settings


def settings_page() -> str:
    """Every setting of a TOML file, with its default and the reason of it."""
    from streaks import config

    comments = field_comments(inspect.getsource(config))
    parts = [
        "# Settings\n\nA TOML file for `--config`; each heading below is a table of it. What is "
        "not named keeps its default. Values out of range are refused. Made from the code "
        "(`streaks.config`).\n\n```toml\n[detection]\nmin_score = 0\n\n[detection.noise]\n"
        "box_px = 32\n\n[match]\nradius_arcsec = 10\n```\n"
    ]
    for name, kind in sections(config.Settings, ""):
        rows = []
        for one in dataclasses.fields(kind):
            value = getattr(kind(), one.name)
            if dataclasses.is_dataclass(value):
                continue
            low_high = _range(config, kind, one.name)
            rows.append(
                (f"`{one.name}`", f"`{value!r}`", low_high,
                 cell(comments.get((kind.__name__, one.name), "")).replace("\\*", "*"))
            )  # fmt: skip
        doc = plain(kind.__doc__ or "")
        parts.append(
            f"## [{name}]\n\n{doc}\n\n" + table(("setting", "default", "range", "meaning"), rows)
        )
    return "\n".join(parts)


def sections(kind: Any, above: str) -> Iterator[tuple[str, Any]]:
    """Tables of a settings file and the dataclass of each."""
    for one in dataclasses.fields(kind):
        value = getattr(kind(), one.name)
        if dataclasses.is_dataclass(value):
            name = f"{above}{one.name}"
            yield name, type(value)
            yield from sections(type(value), f"{name}.")


def _range(config: Any, kind: type, name: str) -> str:
    """The range that is checked, as words; of settings with one."""
    room = kind.__name__.removesuffix("Config").lower()
    found = config._RANGES.get(room, {}).get(name)
    return "" if found is None else f"{found[0]:,.12g} to {found[1]:,.12g}"


def field_comments(source: str) -> dict[tuple[str, str], str]:
    """The `#:` comment above each field of each class; one comment may be of several fields."""
    lines, found = source.splitlines(), {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        last = ""
        for item in node.body:
            if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
                continue
            above, at = [], item.lineno - 2
            while at >= 0 and lines[at].strip().startswith("#:"):
                above.insert(0, lines[at].strip()[2:].strip())
                at -= 1
            last = " ".join(above) or last
            found[node.name, item.target.id] = last.replace("``", "`")
    return found


# Columns and flags


def columns_page() -> str:
    """Every column of every table that leaves the program."""
    parts = [
        "# Columns\n\nMade from the code. Unknown numbers are NaN, unknown text is empty; only "
        "ZTF's own `ss*` columns keep -999 and `null`. Pixels are 0-based "
        "([conventions](../conventions.md)). Nothing found is a table of no rows with all its "
        "columns.\n"
    ]
    for title, words, module, name in TABLES:
        specs = getattr(importlib.import_module(module), name)
        kinds = {str: "text", float: "number", bool: "yes or no"}
        rows = [
            (f"`{one.name}`", one.unit or "", kinds.get(one.dtype, "whole number"),
             cell(one.description))
            for one in specs
        ]  # fmt: skip
        parts.append(
            f"## {title}\n\n{words}\n\n" + table(("column", "unit", "kind", "meaning"), rows)
        )
    return "\n".join(parts)


def flags_page() -> str:
    """Bits of `flags`, and planes of masks."""
    from streaks.frame import MaskPlane
    from streaks.tables import StreakFlag

    return "\n".join(
        [
            "# Flags and mask planes\n\nMade from the code.\n",
            "## The column `flags`\n\nBits of `streaks.tables.StreakFlag`; "
            "`streaks.tables.flag_names(17)` is `edge_0 partly_masked`.\n",
            bits_table(StreakFlag),
            "## Mask planes\n\nBits of `streaks.frame.MaskPlane`, to which a survey's profile maps "
            "its own ([masks](../howto/masks.md)). Being in a plane does not make a pixel "
            "unusable: the profile says which do.\n",
            bits_table(MaskPlane),
        ]
    )


def bits_table(kind: type[IntFlag]) -> str:
    """Value, name and meaning, which is the comment behind each member."""
    source = inspect.getsource(kind)
    rows = []
    for bit in kind:
        found = re.search(rf"^\s+{bit.name} = \d+(?:\s+# (.*))?$", source, re.MULTILINE)
        words = (found[1] if found else "") or ""
        rows.append((str(bit.value), f"`{bit.name}`", cell(words)))
    return table(("value", "name", "meaning"), rows)


# API


def has_room(room: str) -> bool:
    return importlib.util.find_spec(f"streaks.{room}") is not None


def api_index() -> str:
    """The face, and the rooms."""
    import streaks

    rows = []
    for name in streaks.__all__:
        home = streaks._FACE.get(name)
        if home:
            room = home.split(".")[1]
            rows.append((f"[`streaks.{name}`]({room}.md)", first_line(getattr(streaks, name))))
    rooms = [f"{room}" for room, _ in ROOMS if has_room(room)]
    return (
        "# Python API\n\nThe short names, for `import streaks`; `import streaks` itself loads "
        "nothing heavy.\n\n"
        + table(("name", "is"), rows)
        + "\nNames below are public: they stand in their module's `__all__`. All others may change "
        "at any time ([stability](../stability.md)).\n\n```{toctree}\n:maxdepth: 1\n\n"
        + "\n".join(rooms)
        + "\n```\n"
    )


def first_line(found: Any) -> str:
    return cell((inspect.getdoc(found) or "").split("\n")[0]).replace("``", "`")


def api_page(room: str, title: str) -> str:
    """A room's public functions and classes."""
    module = importlib.import_module(f"streaks.{room}")
    doc = (inspect.getdoc(module) or "").split("\n\n")[0].replace("``", "`")
    directives, others = [], []
    for name in module.__all__:
        found = getattr(module, name)
        home = getattr(found, "__module__", "") or ""
        if inspect.isclass(found) and home.startswith("streaks"):
            directives += [f".. autoclass:: streaks.{room}.{name}", "   :members:", ""]
        elif callable(found) and home.startswith("streaks") and hasattr(found, "__qualname__"):
            directives += [f".. autofunction:: streaks.{room}.{name}", ""]
        else:
            others.append(f"`{name}`")
    names = f"\nConstants and types: {', '.join(others)}.\n" if others else ""
    return (
        f"# streaks.{room}\n\n**{title}.** {doc}\n{names}\n```{{eval-rst}}\n"
        + f".. currentmodule:: streaks.{room}\n\n"
        + "\n".join(directives)
        + "\n```\n"
    )
