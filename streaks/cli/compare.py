"""`streaks synth compare`: real cutouts beside synthetic ones, and what tells them apart."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.cutouts import Cutouts
    from streaks.synth.realism.comparison import Comparison, LabelledCutouts

__all__ = ["compare"]

_HALVES = ("all", "even", "odd")
#: Synthetic pictures are as large as ZTF's streak pictures.
_SIZE_PX = 157


def compare(
    real: Annotated[Path, typer.Option(help="Folder of real cutouts, as pictures.")],
    truth: Annotated[Path, typer.Option(help="Table with their names, classes and nights.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder.")],
    n: Annotated[int, typer.Option(min=1, help="Synthetic cutouts of each class.")] = 150,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    name_column: Annotated[str, typer.Option(help="Column of file names in --truth.")] = "name",
    label_column: Annotated[str, typer.Option(help="Column of classes in --truth.")] = "label",
    group_column: Annotated[str, typer.Option(help="Column of nights in --truth.")] = "night",
    confidence_column: Annotated[
        str, typer.Option(help="Column of the labels' confidence; none when empty.")
    ] = "",
    min_confidence: Annotated[float, typer.Option(help="Labels below it are left out.")] = 2.0,
    half: Annotated[
        str,
        typer.Option(help="all, or every other of the nights in order: even or odd, to hold out."),
    ] = "all",
    per_class: Annotated[int, typer.Option(min=1, help="Pictures of each kind and class.")] = 20,
    workers: Annotated[int, typer.Option("--workers", "-w", help="Processes.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Real cutouts beside synthetic ones of the same classes: page, statistics, who can tell.

    Synthetic cutouts are drawn and stored as ZTF's streak pictures, and read as the real ones are.
    """
    from streaks.errors import ConfigError
    from streaks.synth.realism.comparison import compare as compare_cutouts

    if half not in _HALVES:
        raise ConfigError(f"--half is {half!r}; expected one of {', '.join(_HALVES)}")
    rows = _rows(truth, name_column, label_column, group_column, confidence_column, min_confidence)
    ours = _real(real, _of_half(rows, half))
    theirs = _synthetic(sorted(set(ours.labels.tolist())), n, seed, workers, quiet)
    found = compare_cutouts(ours, theirs)
    about = {
        "real": f"{len(ours.cutouts)} cutouts of {truth.name}",
        "nights": half,
        "synthetic": f"{n} a class",
        "seed": seed,
    }
    _write(output, found, ours, theirs, about, per_class, seed)
    for tell in found.tells:
        features = ", ".join(f"{name} {auc:.2f}" for name, auc, _, _ in tell.features[:3])
        print(
            f"{tell.label:12} {tell.n_real:4} real of {tell.n_groups} nights: AUC {tell.auc:.2f} "
            f"on other nights, {tell.auc_mixed:.2f} nights mixed; {features}"
        )
    print(f"page in {output / 'realism.html'}")


def _rows(
    path: Path, name: str, label: str, group: str, confidence: str, lowest: float
) -> list[tuple[str, str, str]]:
    """File name, class and night of each row; the class is empty where it is not sure."""
    from streaks.errors import ReadError
    from streaks.readers import read_table

    table = read_table(path)
    wanted = [name, label, group, *([confidence] if confidence else [])]
    lacking = [column for column in wanted if column not in table.colnames]
    if lacking:
        raise ReadError(
            f"{path} has no column {', '.join(lacking)}; it has {', '.join(table.colnames)}"
        )
    return [
        (str(row[name]), _label_of(row, label, confidence, lowest), str(row[group]))
        for row in table
    ]


def _label_of(row: Any, label: str, confidence: str, lowest: float) -> str:
    import numpy as np

    values = [row[label], *([row[confidence]] if confidence else [])]
    if any(value is np.ma.masked for value in values):
        return ""
    if confidence:
        sure = str(row[confidence]).strip()
        if not sure or not float(sure) >= lowest:
            return ""
    return str(row[label]).strip()


def _of_half(rows: list[tuple[str, str, str]], half: str) -> dict[str, tuple[str, str]]:
    """Class and night by name, of the labelled rows in every other night."""
    nights = sorted({group for _, _, group in rows})
    start, step = {"all": (0, 1), "even": (0, 2), "odd": (1, 2)}[half]
    kept = set(nights[start::step])
    return {name: (label, group) for name, label, group in rows if label and group in kept}


def _real(folder: Path, known: dict[str, tuple[str, str]]) -> LabelledCutouts:
    import numpy as np

    from streaks.errors import InputError
    from streaks.synth.realism.comparison import LabelledCutouts

    if not folder.is_dir():
        raise InputError(f"--real {folder} is no folder of cutouts; check the name")
    files = [file for file in sorted(folder.rglob("*")) if file.name in known]
    if not files:
        raise InputError(
            f"{folder} holds none of the {len(known)} labelled cutouts; check the columns of names "
            "and classes, and --half"
        )
    cutouts = _read(files)
    labels, groups = zip(*(known[name] for name in cutouts.names), strict=True)
    return LabelledCutouts(cutouts, np.array(labels), np.array(groups))


def _read(paths: list[Path]) -> Cutouts:
    """All at one size; those that cannot be read are named."""
    from streaks.cutouts import fit_to_size, stack_cutouts
    from streaks.readers import read_cutouts

    found = read_cutouts(paths)
    for name, reason in found.failures:
        print(f"streaks synth compare: {name}: {reason}", file=sys.stderr)
    return stack_cutouts([fit_to_size(stack, 128) for stack in found.cutouts])


def _synthetic(classes: list[str], n: int, seed: int, workers: int, quiet: bool) -> LabelledCutouts:
    import numpy as np

    from streaks.cli.progress import show_progress
    from streaks.readers import read_table
    from streaks.synth import write_pictures
    from streaks.synth.realism.comparison import LabelledCutouts

    total = n * len(classes)
    with (
        tempfile.TemporaryDirectory(prefix="streaks-") as scratch,
        show_progress(total, "synthetic cutouts", quiet) as progress,
    ):
        folder = write_pictures(
            Path(scratch) / "set",
            total,
            seed=seed,
            mix=dict.fromkeys(classes, 1.0),
            size_px=_SIZE_PX,
            workers=workers,
            progress=progress,
            doubtful=True,  # as among the real ones
        )
        truth = read_table(folder / "truth.ecsv")
        cutouts = _read([folder / "jpg"])
    label_of = dict(zip(truth["streak_id"], truth["label"], strict=True))
    labels = np.array([str(label_of[name]) for name in cutouts.names])
    return LabelledCutouts(cutouts, labels, np.full(len(labels), ""))


def _write(
    output: Path,
    found: Comparison,
    real: LabelledCutouts,
    synthetic: LabelledCutouts,
    about: dict[str, Any],
    per_class: int,
    seed: int,
) -> None:
    from streaks.disk import folder_written_whole
    from streaks.synth.realism.page import realism_page

    page = realism_page(found, real, synthetic, about=about, per_class=per_class, seed=seed)
    with folder_written_whole(output) as stage:
        (stage / "realism.html").write_text(page, encoding="utf-8")
        found.statistics.write(stage / "statistics.ecsv", format="ascii.ecsv")
        _tells_table(found).write(stage / "tells.ecsv", format="ascii.ecsv")


def _tells_table(found: Comparison) -> QTable:
    from astropy.table import QTable

    names = ("label", "n_real", "n_groups", "n_synthetic", "auc", "auc_mixed")
    columns = {name: [getattr(tell, name) for tell in found.tells] for name in names}
    told = [" ".join(f"{name}={auc:.3f}" for name, auc, _, _ in t.features) for t in found.tells]
    return QTable({**columns, "features": told})
