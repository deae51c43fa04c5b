"""Labelled cutouts for training and evaluation: made, read from a folder, or a user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.cutouts import Cutouts

T = TypeVar("T")

__all__ = [
    "column_by_name",
    "first_column",
    "match_name",
    "name_failures",
    "read_labelled",
    "read_set",
    "synthetic_parts",
    "synthetic_set",
    "synthetic_source",
    "training_set",
]


def training_set(
    data: Path | None,
    n: int,
    seed: int,
    min_snr: float,
    workers: int,
    quiet: bool,
    mix: str | None = None,
    doubtful: bool = False,
) -> tuple[Cutouts, list[str], dict[str, Any]]:
    """Cutouts, labels, and what the card says of them.

    Parameters
    ----------
    data
        Folder as `read_set` takes it; None to make cutouts.
    n, seed, mix, workers, doubtful
        Of those to make, as `streaks.synth.make_cutouts` takes them.
    min_snr
        Made subjects below this S/N are left out.
    quiet
        Whether the line for each tenth is left out.

    Returns
    -------
    cutouts : Cutouts
        Given or made.
    labels : list of str
        In their order.
    source : dict
        Plain values for JSON: where they come from.

    Raises
    ------
    ReadError
        If `data` is no labelled set.
    """
    if data is not None:
        cutouts, labels = read_set(data)
        return cutouts, labels, {"set": data.name, "cutouts": "given by the user"}
    cutouts, truth = synthetic_set(n, seed, mix, workers, quiet, doubtful)
    cutouts, labels = _bright_enough(cutouts, truth, min_snr)
    return cutouts, labels, synthetic_source(n, seed, min_snr, mix, doubtful)


def synthetic_source(
    n: int, seed: int, min_snr: float, mix: str | None = None, doubtful: bool = False
) -> dict[str, Any]:
    """What a card says of a synthetic set.

    Parameters
    ----------
    n, seed, mix, doubtful
        As `streaks.synth.make_cutouts` took them.
    min_snr
        Subjects below this S/N were left out.

    Returns
    -------
    dict
        Plain values for JSON, with this package's version.
    """
    from streaks import __version__

    source: dict[str, Any] = {
        "set": "streaks.synth.make_cutouts",
        "n_made": n,
        "min_snr": min_snr,
        "seed": seed,
        "streaks": __version__,
    }
    if mix is not None:
        source["mix"] = mix
    if doubtful:
        source["doubtful"] = True
    return source


def _bright_enough(cutouts: Cutouts, truth: QTable, min_snr: float) -> tuple[Cutouts, list[str]]:
    """Those that a finder would have cut out, and their labels."""
    import numpy as np

    faint = np.isin(truth["label"], ["asteroid", "satellite"]) & ~(truth["snr"] >= min_snr)
    return cutouts.select(~faint), np.asarray(truth["label"], dtype=str)[~faint].tolist()


def synthetic_parts(
    n: int, seed: int, min_snr: float, workers: int, quiet: bool, doubtful: bool = False
) -> Iterator[tuple[Cutouts, list[str]]]:
    """The cutouts and labels of `training_set`, some at a time: memory does not grow with n.

    Parameters
    ----------
    n
        How many are made.
    seed
        The same seed gives the same cutouts.
    min_snr
        Subjects below this S/N are left out.
    workers
        Processes.
    quiet
        Whether the line for each tenth is left out.
    doubtful
        Whether what no picture can tell stays in.

    Yields
    ------
    cutouts : Cutouts
        Some of them.
    labels : list of str
        As many.
    """
    import numpy as np

    from streaks.cutouts import Cutouts
    from streaks.synth import iter_cutouts
    from streaks.synth.cutout_sets.making import truth_table

    say = _tenths(n, quiet)
    made = iter_cutouts(n, seed=seed, workers=workers, progress=say, doubtful=doubtful)
    for part in _batched(made, _PART):
        truth = truth_table(one.truth for one in part)
        images = np.stack([one.difference for one in part])
        masks = np.stack([one.mask for one in part])
        names = tuple(str(name) for name in truth["streak_id"])
        yield _bright_enough(Cutouts(images, masks, names), truth, min_snr)


#: Cutouts held at a time: 80 MB.
_PART = 1000


def _batched(items: Iterable[T], n: int) -> Iterator[list[T]]:
    """Lists of n items, the last one shorter (itertools has it from Python 3.12 on)."""
    remaining = iter(items)
    while part := list(islice(remaining, n)):
        yield part


def synthetic_set(
    n: int, seed: int, mix: str | None, workers: int, quiet: bool, doubtful: bool = False
) -> tuple[Cutouts, QTable]:
    """Synthetic cutouts with their truth, and a line for each tenth.

    Parameters
    ----------
    n, seed, mix, workers, doubtful
        As `streaks.synth.make_cutouts` takes them.
    quiet
        Whether the lines are left out.

    Returns
    -------
    cutouts : Cutouts
        n of them.
    truth : QTable
        n rows, in their order.
    """
    from streaks.synth import make_cutouts

    say = _tenths(n, quiet)
    result: tuple[Cutouts, QTable] = make_cutouts(
        n, seed=seed, mix=mix, workers=workers, progress=say, doubtful=doubtful
    )
    return result


def _tenths(n: int, quiet: bool) -> Callable[[int], None]:
    step = max(n // 10, 1)
    said = 0

    def say(done: int) -> None:
        nonlocal said
        if not quiet and done // step > said:
            said = done // step
            typer.echo(f"{done} of {n} synthetic cutouts", err=True)

    return say


def read_set(folder: Path) -> tuple[Cutouts, list[str]]:
    """A folder of cutouts with a truth table that has `streak_id` (or `name`) and `label`.

    Parameters
    ----------
    folder
        Of the cutouts, with ``truth.parquet``, ``truth.ecsv`` or ``truth.csv``.

    Returns
    -------
    cutouts : Cutouts
        n of them, 128 px wide; only those with a label.
    labels : list of str
        n of them.

    Raises
    ------
    ReadError
        If there is no truth table, or no cutout has a label in it.
    TableError
        If the table lacks a column.
    """
    from streaks.errors import ReadError

    candidates = [folder / f"truth{suffix}" for suffix in (".parquet", ".ecsv", ".csv")]
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        raise ReadError(
            f"{folder} holds no labelled set: expected cutouts beside truth.parquet, .ecsv or .csv"
        )
    return read_labelled([folder], path)


def read_labelled(paths: list[Path], table: Path) -> tuple[Cutouts, list[str]]:
    """Those of some cutouts to which a table gives a label, by name.

    The table has ``streak_id``, ``name`` or ``filename``, and ``label``.

    Parameters
    ----------
    paths
        Folders or files of cutouts.
    table
        File with ``streak_id``, ``name`` or ``filename``, and ``label``.

    Returns
    -------
    cutouts : Cutouts
        n of them, 128 px wide.
    labels : list of str
        n of them, none empty.

    Raises
    ------
    ReadError
        If no cutout has a label.
    TableError
        If the table lacks a column.
    """
    import numpy as np

    from streaks.cutouts import fit_to_size, stack_cutouts
    from streaks.errors import ReadError
    from streaks.readers import read_cutouts, read_table

    truth = read_table(table)
    id_column = first_column(truth, table, "streak_id", "name", "filename")
    labels = column_by_name(truth, table, "label", id_column)
    found = read_cutouts(paths)
    name_failures(found.failures)
    cutouts = stack_cutouts([fit_to_size(c, 128) for c in found.cutouts])
    known = [i for i, name in enumerate(cutouts.names) if match_name(name, labels)]
    if not known:
        where = ", ".join(str(path) for path in paths)
        raise ReadError(f"no cutout in {where} has a label in {table.name}; names must agree")
    picked = cutouts.select(np.array(known))
    return picked, [match_name(name, labels) for name in picked.names]


def first_column(table: QTable, path: Path, *names: str) -> str:
    """The first of these columns that a table has.

    Parameters
    ----------
    table
        As read.
    path
        Where it was read, for the error.
    *names
        In order of preference.

    Returns
    -------
    str
        One of `names`.

    Raises
    ------
    TableError
        If it has none of them.
    """
    from streaks.errors import TableError

    for name in names:
        if name in table.colnames:
            return name
    raise TableError(
        f"{path} has no column {' or '.join(names)}; it has {', '.join(table.colnames)}"
    )


def column_by_name(table: QTable, path: Path, column: str, id_column: str) -> dict[str, str]:
    """Values of a column as text, by the names in another; empty where masked.

    Parameters
    ----------
    table
        As read.
    path
        Where it was read, for the error.
    column
        Whose values are wanted.
    id_column
        With the names; folders before a name are dropped.

    Returns
    -------
    dict
        Text by name.

    Raises
    ------
    TableError
        If the table lacks a column.
    """
    first_column(table, path, column)
    names, values = _texts(table[first_column(table, path, id_column)]), _texts(table[column])
    return {Path(name).name: value for name, value in zip(names, values, strict=True)}


def _texts(column: Any) -> list[str]:
    import numpy as np

    missing = np.ma.getmaskarray(column) if hasattr(column, "mask") else [False] * len(column)
    return ["" if gone else str(v) for v, gone in zip(np.ma.getdata(column), missing, strict=True)]


def match_name(name: str, by_name: dict[str, str]) -> str:
    """The value for a cutout, by its file name with or without its suffix.

    Parameters
    ----------
    name
        Of the cutout, perhaps with folders before it.
    by_name
        Values by file name, with or without suffix.

    Returns
    -------
    str
        Empty where there is no value.
    """
    key = Path(name).name
    return by_name.get(key) or by_name.get(Path(key).stem) or ""


def name_failures(failures: list[tuple[str, str]]) -> None:
    """One line a file that could not be used.

    Parameters
    ----------
    failures
        Name and reason of each; written to standard error.
    """
    for name, reason in failures:
        typer.echo(f"failed: {name}: {reason}", err=True)
