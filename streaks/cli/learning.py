"""Learning from a campaign: what is checked before, what is kept back, what it gained."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streaks.cli.labelled_sets import column_by_name, first_column, match_name, name_failures

if TYPE_CHECKING:
    from streaks.classification import Classifier
    from streaks.cutouts import Cutouts

__all__ = [
    "Campaign",
    "check_labels",
    "check_libraries",
    "check_target",
    "gain_of",
    "network_library",
    "read_campaign",
    "say_gain",
]

#: Weights, card, and the neighbour that they are written to: far less in truth.
_LEAST_FREE_BYTES = 200_000_000
#: Share of the labelled cutouts that whole nights are kept back for.
_HELD_OUT = 0.2
#: Fewer frames drawn again give intervals that are too narrow.
_FEW_FRAMES = 8
_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))")
_NUMBER = re.compile(r"[_-]\d+$")


@dataclass(frozen=True, eq=False)
class Campaign:
    """Labelled cutouts to learn from, and those of other nights to measure on.

    Parameters
    ----------
    cutouts, labels
        To learn from.
    held_cutouts, held_labels
        Of the nights kept back; none where there is one night only.
    nights, held_nights
        Their names.
    n_points
        Labels ``unresolved`` that were left out: no classifier learns that class.
    """

    cutouts: Cutouts
    labels: list[str]
    held_cutouts: Cutouts
    held_labels: list[str]
    nights: tuple[str, ...]
    held_nights: tuple[str, ...]
    n_points: int


def check_libraries(*libraries: str) -> None:
    """That training can end, before anything is drawn.

    Parameters
    ----------
    *libraries
        Import names.

    Raises
    ------
    MissingExtraError
        If one of them is not installed.
    """
    from streaks.errors import MissingExtraError

    for library in libraries:
        try:
            found = importlib.util.find_spec(library)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise MissingExtraError(library, "train", "training a classifier")


def network_library() -> str:
    """What trains the network: TensorFlow, or Keras alone where its backend is another.

    Returns
    -------
    str
        Its import name.
    """
    other = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    return "keras" if other else "tensorflow"


def check_target(*paths: Path | None) -> None:
    """That what is to be written fits where it is to go.

    Parameters
    ----------
    *paths
        New folder for a model, or a file; None for none.

    Raises
    ------
    InputError
        If its disk is almost full, or no folder can be made there.
    """
    from streaks.errors import InputError

    for path in paths:
        if path is None:
            continue
        there = next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))
        if there != path and not there.is_dir():
            raise InputError(f"{path} cannot be made: {there} is a file; give another place")
        free = shutil.disk_usage(there).free
        if free < _LEAST_FREE_BYTES:
            raise InputError(
                f"{there} has {free / 1e6:.0f} MB free; a model needs "
                f"{_LEAST_FREE_BYTES / 1e6:.0f} MB: make room, or give another place"
            )


def check_labels(table: Path) -> dict[str, str]:
    """Labels by name, all of classes that can be learnt.

    Parameters
    ----------
    table
        As `streaks labels import` or `streaks vet --export` writes it.

    Returns
    -------
    dict
        Also ``unresolved``; undecided ones are empty.

    Raises
    ------
    InputError
        If it holds no label, or one of no class.
    TableError
        If it lacks a column.
    """
    from streaks.classification import OUTPUTS
    from streaks.errors import InputError
    from streaks.readers import read_table
    from streaks.tables import UNRESOLVED

    held = read_table(table)
    labels = column_by_name(
        held, table, "label", first_column(held, table, "streak_id", "name", "filename")
    )
    # A column that is empty throughout is read as one of numbers.
    found = set(labels.values()) - {""} if held["label"].dtype.kind in "UO" else set()
    if found and found <= {"real", "bogus", "skip"} and found != {"skip"}:
        raise InputError(
            f"{table} says real or bogus only; a classifier learns kinds: {', '.join(OUTPUTS)}. "
            f"Import the other workflow with --question kind"
        )
    other = sorted(found - {*OUTPUTS, UNRESOLVED})
    if other or not found:
        raise InputError(
            f"{table} has labels {', '.join(other) or '(none)'}; expected {', '.join(OUTPUTS)}"
        )
    return labels


def read_campaign(
    paths: Sequence[Path],
    labels: dict[str, str],
    table: Path,
    *,
    held_out: Sequence[Path] = (),
    held_labels: dict[str, str] | None = None,
    seed: int = 1,
) -> Campaign:
    """Cutouts with their labels; whole nights of them are kept back.

    A cutout's night is the date in its name (``..._20180310...``), else the folder that was given.

    Parameters
    ----------
    paths
        Folders that `streaks night` wrote, or of cutouts, or files.
    labels
        By name.
    table
        Where they were read, for the error.
    held_out
        Nights to measure on; when not given, a fifth of the nights in `paths`, drawn by lot.
    held_labels
        Of `held_out`, where others say the truth; `labels` when not given.
    seed
        Of the lot.

    Returns
    -------
    Campaign

    Raises
    ------
    ReadError
        If no cutout has a label.
    """
    import numpy as np

    from streaks.errors import ReadError

    own, names, nights, n_points = _labelled(paths, labels)
    if not names:
        where = ", ".join(str(path) for path in paths)
        raise ReadError(f"no cutout in {where} has a label in {table.name}; names must agree")
    if held_out:
        kept, kept_names, kept_nights, n_more = _labelled(held_out, held_labels or labels)
        if not kept_names:
            where = ", ".join(str(path) for path in held_out)
            raise ReadError(f"no cutout in {where} has a label to measure on; names must agree")
        # What is measured on is not learnt from, whoever gave it twice.
        free = ~np.isin(own.names, kept.names) & ~np.isin(nights, _dated(kept_nights))
        own, names, nights = _picked(own, names, nights, free)
        if not names:
            raise ReadError("all labelled cutouts are of nights held out; give --cutouts of others")
        return Campaign(
            own, names, kept, kept_names, _unique(nights), _unique(kept_nights), n_points + n_more
        )
    kept_of = np.isin(nights, _lot(nights, seed))
    kept, kept_names, kept_nights = _picked(own, names, nights, kept_of)
    own, names, nights = _picked(own, names, nights, ~kept_of)
    return Campaign(own, names, kept, kept_names, _unique(nights), _unique(kept_nights), n_points)


def _labelled(
    paths: Sequence[Path], labels: dict[str, str]
) -> tuple[Cutouts, list[str], list[str], int]:
    """Cutouts with a label, their labels and nights, and how many are unresolved."""
    import numpy as np

    from streaks.cutouts import fit_to_size, stack_cutouts
    from streaks.readers import read_cutouts
    from streaks.tables import UNRESOLVED

    stacks, given, nights, n_points = [], [], [], 0
    for path in paths:
        inside = path / "cutouts"
        found = read_cutouts([inside if inside.is_dir() else path])
        name_failures(found.failures)
        for stack in (fit_to_size(one, 128) for one in found.cutouts):
            said = [match_name(name, labels) for name in stack.names]
            n_points += said.count(UNRESOLVED)
            known = [i for i, label in enumerate(said) if label and label != UNRESOLVED]
            stacks.append(stack.select(np.array(known, dtype=int)))
            given += [said[i] for i in known]
            nights += [_night(stack.names[i], path) for i in known]
    return stack_cutouts(stacks), given, nights, n_points


def _night(name: str, path: Path) -> str:
    dated = _DATE.search(name)
    return dated.group(1) if dated else path.resolve().name


def _dated(nights: Sequence[str]) -> list[str]:
    """Those that are dates: folders of one name need not be one night."""
    return [night for night in nights if _DATE.fullmatch(night)]


def _picked(
    cutouts: Cutouts, labels: list[str], nights: list[str], rows: Any
) -> tuple[Cutouts, list[str], list[str]]:
    import numpy as np

    index = np.flatnonzero(rows)
    return cutouts.select(index), [labels[i] for i in index], [nights[i] for i in index]


def _unique(nights: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(nights)))


def _lot(nights: Sequence[str], seed: int) -> list[str]:
    """Whole nights, about a fifth of the cutouts: the same for the same seed. Never all."""
    order = sorted(set(nights), key=lambda night: (zlib.crc32(f"{seed} {night}".encode()), night))
    picked: list[str] = []
    for night in order[:-1]:
        if sum(nights.count(one) for one in picked) >= _HELD_OUT * len(nights):
            break
        picked.append(night)
    return picked


def gain_of(before: Classifier, after: Classifier, campaign: Campaign) -> dict[str, Any] | None:
    """Figures of two classifiers on the nights that were kept back.

    Parameters
    ----------
    before, after
        Classifiers.
    campaign
        With nights kept back.

    Returns
    -------
    dict or None
        As `streaks.models.gain.measure_gain` gives; None where no night was kept back.
    """
    from streaks.models.gain import measure_gain

    if not campaign.held_labels:
        return None
    frames = [_NUMBER.sub("", Path(name).stem) for name in campaign.held_cutouts.names]
    return measure_gain(
        campaign.held_labels,
        _answers(before, campaign.held_cutouts),
        _answers(after, campaign.held_cutouts),
        frames,
    )


def _answers(classifier: Classifier, cutouts: Cutouts) -> tuple[list[str], Any]:
    """Labels and (n, 8) probabilities as users see them; unresolved goes with skip."""
    import numpy as np

    from streaks.classification import classify_cutouts
    from streaks.tables import PROBABILITY_COLUMNS, SKIP, UNRESOLVED

    table = classify_cutouts(classifier, cutouts)
    p = np.stack([np.asarray(table[name], dtype=float) for name in PROBABILITY_COLUMNS], axis=1)
    skip = np.clip(1.0 - p.sum(axis=1), 0.0, 1.0)
    labels = [SKIP if label == UNRESOLVED else str(label) for label in table["label"]]
    return labels, np.column_stack([p, skip])


def say_gain(gain: dict[str, Any] | None, campaign: Campaign, start: str) -> None:
    """The figures in words.

    Parameters
    ----------
    gain
        As `gain_of` gives.
    campaign
        What was learnt from.
    start
        Name of the classifier before.
    """
    if campaign.n_points:
        typer.echo(f"{campaign.n_points} labels unresolved are left out: no classifier learns it")
    if gain is None:
        typer.echo(
            "all labels are of one night, none was kept back: no figures of before and after. "
            "Give another night with --held-out"
        )
        return
    nights = ", ".join(campaign.held_nights)
    typer.echo(f"on {gain['n']} cutouts of {gain['n_groups']} frames kept back (nights {nights}):")
    for name, words in (("accuracy", "accuracy"), ("macro_f1", "macro-F1"),
                        ("log_score", "log score")):  # fmt: skip
        one = gain[name]
        interval = (
            "interval unknown" if one["low"] is None else f"{one['low']:+.3f} to {one['high']:+.3f}"
        )
        typer.echo(
            f"  {words}: {_three(one['before'])} ({start}), {_three(one['after'])} after; "
            f"gain {_three(one['gain'], '+')} ({interval})"
        )
    if gain["n_groups"] < _FEW_FRAMES:
        typer.echo("  of so few frames the intervals are rough; hold out more nights")
    low = gain["accuracy"]["low"]
    if low is None or low <= 0:
        typer.echo(f"  no gain in accuracy is shown: keep {start} until there is")


def _three(value: float | None, sign: str = "") -> str:
    return "unknown" if value is None else f"{value:{sign}.3f}"
