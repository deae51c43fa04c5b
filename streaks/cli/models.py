"""`streaks classify`, `streaks train forest / cnn`, `streaks evaluate`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import QTable

    from streaks.cutouts import Cutouts
    from streaks.models.evaluation import Evaluation
    from streaks.models.store import TrainedModel

__all__ = ["classify", "evaluate", "train_app"]

train_app = typer.Typer(
    no_args_is_help=True, help="Train a classifier and write its weights with a card."
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Model = Annotated[
    str, typer.Option("--model", "-m", help="forest, cnn, default (both), or a folder of weights.")
]
Polarity = Annotated[
    str, typer.Option(help="Of 8-bit pictures: dark or light is positive, or auto.")
]
Data = Annotated[
    Path | None,
    typer.Option(help="A labelled set: a folder of cutouts with truth.parquet, .ecsv or .csv."),
]
Count = Annotated[int, typer.Option("--n", min=1, help="Synthetic cutouts to make.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the synthetic cutouts and of training.")]
Workers = Annotated[int, typer.Option("--workers", "-w", min=1, help="Processes and threads.")]
LeastSnr = Annotated[
    float,
    typer.Option(
        "--min-snr",
        min=0.0,
        help="Leave out synthetic asteroids and satellites below this S/N: no finder would have "
        "cut them out, and they teach that blank sky is an asteroid.",
    ),
]
NewFolder = Annotated[Path, typer.Option("--output", "-o", help="Folder for weights and card.")]

#: What the card of a model trained on synthetic cutouts says of its limits.
_LIMITS = [
    "Trained on synthetic cutouts alone: figures in this card are about such cutouts; measure on "
    "your own with `streaks evaluate`.",
    "Made for difference images of a seeing-limited survey: FWHM 1.6 to 4.5 px, streaks of 3 to "
    "110 px, cutouts of 31 to 512 px of which the inner 128 px are seen.",
    "Classes are balanced in training; on the sky asteroids are a few in a thousand, so that "
    "p_asteroid of 0.5 there is far less than an even chance.",
]


def classify(
    cutouts: Annotated[
        list[Path],
        typer.Argument(help="Folders, PNG/JPEG, FITS stamps, .npz stacks or Avro alerts."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Table; its suffix is the format.")
    ],
    model: Model = "default",
    polarity: Polarity = "auto",
    quiet: Quiet = False,
) -> None:
    """Name what cutouts show: one row each with label and probabilities."""
    from streaks.models import load_classifier
    from streaks.readers import read_cutouts
    from streaks.reporting import write_table

    classifier = load_classifier(model)
    found = read_cutouts(cutouts, polarity=polarity)
    table = _classified(classifier, found.cutouts)
    if len(table) == 0:
        _name_failures(found.failures)
        typer.echo("error: no cutout could be read; nothing was written", err=True)
        raise typer.Exit(2)
    write_table(table, output)
    if not quiet:
        _say_classes(table, output)
    _name_failures(found.failures)
    if found.failures:
        raise typer.Exit(1)


def _classified(classifier: Any, stacks: list[Cutouts]) -> QTable:
    """All stacks in one table, in order of name."""
    from astropy.table import vstack

    from streaks.classification import classify_cutouts
    from streaks.cutouts import stack_cutouts

    parts = [classify_cutouts(classifier, stack) for stack in stacks]
    parts = parts or [classify_cutouts(classifier, stack_cutouts([]))]
    table = vstack(parts, metadata_conflicts="silent")
    table.rename_column("streak_id", "name")  # they are not (only) streaks of ours
    table.sort("name")
    return table


def _say_classes(table: QTable, output: Path) -> None:
    import numpy as np

    names, counts = np.unique(np.asarray(table["label"]), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    listed = ", ".join(f"{names[i]} {counts[i]}" for i in order)
    typer.echo(f"{len(table)} cutouts: {listed}")
    typer.echo(f"written to {output}")


def _name_failures(failures: list[tuple[str, str]]) -> None:
    for name, reason in failures:
        typer.echo(f"failed: {name}: {reason}", err=True)


@train_app.command("forest")
def train_forest_command(
    output: NewFolder,
    n: Count = 20000,
    seed: Seed = 1,
    data: Data = None,
    min_snr: LeastSnr = 0.0,
    trees: Annotated[int, typer.Option(min=1, help="Trees of the forest.")] = 120,
    leaves: Annotated[int, typer.Option(min=2, help="Most leaves of a tree.")] = 400,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Random forest on features of cutouts."""
    from streaks.models import train_forest

    cutouts, labels, source = _training_set(data, n, seed, min_snr, workers, quiet)
    model = train_forest(
        cutouts, labels, seed=seed, n_trees=trees, max_leaves=leaves, workers=workers
    )
    options = f"--trees {trees} --leaves {leaves}"
    _save(model, output, _recipe("forest", data, n, seed, min_snr, options), source, quiet)


@train_app.command("cnn")
def train_cnn_command(
    output: NewFolder,
    n: Count = 20000,
    seed: Seed = 1,
    data: Data = None,
    min_snr: LeastSnr = 0.0,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the set.")] = 10,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Convolutional network on cutouts; needs the extra `train`."""
    from streaks.models import train_cnn

    cutouts, labels, source = _training_set(data, n, seed, min_snr, workers, quiet)

    def say(epoch: int, loss: float) -> None:
        if not quiet:
            typer.echo(f"epoch {epoch} of {epochs}: loss {loss:.4f}", err=True)

    model = train_cnn(cutouts, labels, seed=seed, epochs=epochs, workers=workers, progress=say)
    _save(
        model, output, _recipe("cnn", data, n, seed, min_snr, f"--epochs {epochs}"), source, quiet
    )


@train_app.command("ensemble")
def train_ensemble_command(
    output: NewFolder,
    members: Annotated[
        list[str],
        typer.Option("--member", help="Name of a model's folder beside the output; repeat."),
    ] = ["cnn", "forest"],  # noqa: B006 - typer's way to a list
    n: Count = 4000,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the cutouts; another one than the members' own.")
    ] = 2,
    data: Data = None,
    min_snr: LeastSnr = 0.0,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """How much each of several models counts in their common answer."""
    from streaks.models import load_classifier, train_ensemble

    classifiers = [load_classifier(output.parent / name) for name in members]
    cutouts, labels, source = _training_set(data, n, seed, min_snr, workers, quiet)
    model = train_ensemble(classifiers, cutouts, labels, seed=seed)
    options = " ".join(f"--member {shlex.quote(name)}" for name in members)
    _save(model, output, _recipe("ensemble", data, n, seed, min_snr, options), source, quiet)


def _training_set(
    data: Path | None, n: int, seed: int, min_snr: float, workers: int, quiet: bool
) -> tuple[Cutouts, list[str], dict[str, Any]]:
    """Cutouts, labels, and what the card says of them."""
    if data is not None:
        cutouts, labels = _read_set(data)
        return cutouts, labels, {"set": data.name, "cutouts": "given by the user"}
    import numpy as np

    from streaks import __version__

    cutouts, truth = _synthetic(n, seed, None, workers, quiet)

    faint = np.isin(truth["label"], ["asteroid", "satellite"]) & ~(truth["snr"] >= min_snr)
    source = {
        "set": "streaks.synth.make_cutouts",
        "n_made": n,
        "min_snr": min_snr,
        "seed": seed,
        "streaks": __version__,
    }
    labels = np.asarray(truth["label"], dtype=str)[~faint]
    return cutouts.select(~faint), labels.tolist(), source


def _synthetic(
    n: int, seed: int, mix: str | None, workers: int, quiet: bool
) -> tuple[Cutouts, QTable]:
    from streaks.synth import make_cutouts

    step = max(n // 10, 1)
    said = 0

    def say(done: int) -> None:
        nonlocal said
        if not quiet and done // step > said:
            said = done // step
            typer.echo(f"{done} of {n} synthetic cutouts", err=True)

    return make_cutouts(n, seed=seed, mix=mix, workers=workers, progress=say)


def _read_set(folder: Path) -> tuple[Cutouts, list[str]]:
    """A folder of cutouts with a truth table that has `streak_id` (or `name`) and `label`."""
    from streaks.cutouts import fit_to_size, stack_cutouts
    from streaks.errors import ReadError
    from streaks.readers import read_cutouts, read_table

    candidates = [folder / f"truth{suffix}" for suffix in (".parquet", ".ecsv", ".csv")]
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        raise ReadError(
            f"{folder} holds no labelled set: expected cutouts beside truth.parquet, .ecsv or .csv"
        )
    truth = read_table(path)
    labels = _column_by_name(truth, path, "label", _first_column(truth, path, "streak_id", "name"))
    cutouts = stack_cutouts([fit_to_size(c, 128) for c in read_cutouts(folder).cutouts])
    known = [i for i, name in enumerate(cutouts.names) if _match(name, labels)]
    if not known:
        raise ReadError(f"no cutout in {folder} has a label in {path.name}; names must agree")
    import numpy as np

    picked = cutouts.select(np.array(known))
    return picked, [_match(name, labels) for name in picked.names]


def _first_column(table: QTable, path: Path, *names: str) -> str:
    from streaks.errors import TableError

    for name in names:
        if name in table.colnames:
            return name
    raise TableError(
        f"{path} has no column {' or '.join(names)}; it has {', '.join(table.colnames)}"
    )


def _column_by_name(table: QTable, path: Path, column: str, id_column: str) -> dict[str, str]:
    """Values of a column as text, by the names in another; empty where masked."""
    _first_column(table, path, column)
    names, values = _texts(table[_first_column(table, path, id_column)]), _texts(table[column])
    return {Path(name).name: value for name, value in zip(names, values, strict=True)}


def _texts(column: Any) -> list[str]:
    import numpy as np

    missing = np.ma.getmaskarray(column) if hasattr(column, "mask") else [False] * len(column)
    return ["" if gone else str(v) for v, gone in zip(np.ma.getdata(column), missing, strict=True)]


def _match(name: str, by_name: dict[str, str]) -> str:
    """The value for a cutout, by its file name with or without its suffix."""
    key = Path(name).name
    return by_name.get(key) or by_name.get(Path(key).stem) or ""


def _recipe(kind: str, data: Path | None, n: int, seed: int, min_snr: float, options: str) -> str:
    floor = f" --min-snr {min_snr:g}" if min_snr else ""
    origin = f"--data {shlex.quote(data.name)}" if data else f"--n {n}{floor}"
    return f"streaks train {kind} {origin} --seed {seed} {options} -o DIR"


def _save(
    model: TrainedModel, output: Path, recipe: str, source: dict[str, Any], quiet: bool
) -> None:
    from dataclasses import replace
    from datetime import UTC, datetime

    from streaks.models import save_model

    model = replace(model, training={**source, **model.training})
    created = datetime.now(UTC).date().isoformat()
    limits = _LIMITS if source["set"] == "streaks.synth.make_cutouts" else _LIMITS[1:]
    save_model(model, output, name=output.name, recipe=recipe, created=created, limits=limits)
    if not quiet:
        figures = model.figures
        typer.echo(
            f"{output}: accuracy {figures['accuracy']:.3f}, macro-F1 {figures['macro_f1']:.3f}, "
            f"asteroids kept at 1 % false positives {figures['asteroid_tpr']['0.01']:.3f} "
            f"({figures['measured_on']})"
        )


def evaluate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the figures.")],
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="As in classify; repeat to compare.")
    ] = ["default"],  # noqa: B006 - typer's way to a list
    n: Count = 4000,
    seed: Seed = 1000,
    mix: Annotated[
        str, typer.Option(help="Of synthetic cutouts: balanced, astreaks, or a=b,...")
    ] = "balanced",
    data: Data = None,
    cutouts: Annotated[
        Path | None, typer.Option(help="Folder of cutouts that --truth speaks of.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Table with names and labels.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of names in --truth.")] = "name",
    label_column: Annotated[str, typer.Option(help="Column of labels in --truth.")] = "label",
    confidence_column: Annotated[
        str, typer.Option(help="Column of the labels' confidence; none when empty.")
    ] = "",
    min_confidence: Annotated[float, typer.Option(help="Labels below it are left out.")] = 2.0,
    asteroids: Annotated[
        str,
        typer.Option(
            help="COLUMN=VALUE in --truth that marks known asteroids; all others but those "
            "labelled asteroid, or with another value there, are then taken for none."
        ),
    ] = "",
    exclude: Annotated[
        Path | None, typer.Option(help="Text file of names to leave out, one a line; # comments.")
    ] = None,
    min_count: Annotated[
        int, typer.Option(min=1, help="Classes with fewer examples are not in the macro-F1.")
    ] = 1,
    polarity: Polarity = "auto",
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Figures about classifiers, on synthetic cutouts, a labelled set, or your own cutouts."""
    import numpy as np

    from streaks.errors import ConfigError

    if (cutouts is None) != (truth is None):
        raise ConfigError("--cutouts and --truth belong together; give both or neither")
    marks: dict[str, Any] = {}
    if cutouts is not None and truth is not None:
        stacks, about = _read_pictures(cutouts, polarity)
        names = [name for stack in stacks for name in stack.names]
        labels, marks = _truth_of(
            truth, names, id_column, label_column, confidence_column, min_confidence, asteroids
        )
        about |= {"truth": truth.name}
    elif data is not None:
        one, labels = _read_set(data)
        stacks, about = [one], {"set": data.name}
    else:
        one, table = _synthetic(n, seed, mix, workers, quiet)
        stacks, labels = [one], [str(label) for label in table["label"]]
        about = {"set": "synthetic", "n": n, "seed": seed, "mix": mix}
    keep = _kept(stacks, exclude)
    marks = {key: value[keep] for key, value in marks.items()}
    kept_labels = np.asarray(labels, dtype=str)[keep].tolist()
    evaluations = []
    for one_model in model:
        p, found = _probabilities(one_model, stacks)
        evaluations.append(_judge(p[keep], kept_labels, found, marks | {"min_count": min_count}))
        # Two models may bear one name: a number tells their tables apart.
        number = sum(e.model == found for e in evaluations)
        tag = found if number == 1 else f"{found}-{number}"
        _write_scores(output / f"scores-{tag}.csv", stacks, p, labels)
    _write_evaluation(output, evaluations, about, quiet)


def _read_pictures(cutouts: Path, polarity: str) -> tuple[list[Cutouts], dict[str, Any]]:
    from streaks.readers import read_cutouts

    found = read_cutouts(cutouts, polarity=polarity)
    _name_failures(found.failures)
    return found.cutouts, {"set": cutouts.name, "failed": len(found.failures)}


def _truth_of(
    path: Path,
    names: list[str],
    id_column: str,
    label_column: str,
    confidence_column: str,
    min_confidence: float,
    asteroids: str,
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Labels by name, and which cutouts are asteroids or are taken for none."""
    import numpy as np

    from streaks.errors import ConfigError
    from streaks.readers import read_table

    table = read_table(path)
    by_name = _column_by_name(table, path, label_column, id_column)
    labels = [_match(name, by_name) for name in names]
    if confidence_column:
        sure = _column_by_name(table, path, confidence_column, id_column)
        labels = [
            label if float(_match(name, sure) or 0) >= min_confidence else ""
            for name, label in zip(names, labels, strict=True)
        ]
    if not asteroids:
        return labels, {}
    column, _, value = asteroids.partition("=")
    if not value:
        raise ConfigError(f"--asteroids is {asteroids!r}; expected COLUMN=VALUE")
    known = _column_by_name(table, path, column, id_column)
    marks = np.array([_match(name, known) for name in names])
    eye = np.array([_match(name, by_name) for name in names])
    listed = np.array([Path(name).name in by_name or Path(name).stem in by_name for name in names])
    positive = marks == value
    return labels, {"positive": positive, "negative": listed & (marks == "") & (eye != "asteroid")}


def _kept(stacks: list[Cutouts], exclude: Path | None) -> np.ndarray:
    """False for the cutouts that a file names."""
    import numpy as np

    from streaks.errors import ReadError

    names = [Path(name).name for stack in stacks for name in stack.names]
    if exclude is None:
        return np.ones(len(names), bool)
    try:
        lines = exclude.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"--exclude {exclude} cannot be read: {error}") from None
    out = {line.split("#")[0].strip() for line in lines} - {""}
    return np.array([name not in out and Path(name).stem not in out for name in names])


def _probabilities(model: str, stacks: list[Cutouts]) -> tuple[np.ndarray, str]:
    import numpy as np

    from streaks.models import load_classifier

    classifier = load_classifier(model)
    return np.concatenate([classifier.predict_proba(stack) for stack in stacks]), classifier.name


def _judge(p: np.ndarray, labels: list[str], name: str, options: dict[str, Any]) -> Evaluation:
    from streaks.models.evaluation import evaluate_probabilities

    return evaluate_probabilities(p, labels, model=name, **options)


def _write_scores(path: Path, stacks: list[Cutouts], p: np.ndarray, labels: list[str]) -> None:
    """What the model said of each cutout beside the truth, surest asteroids first."""
    import numpy as np
    from astropy.table import QTable

    from streaks.classification import OUTPUTS, labels_from_probabilities
    from streaks.reporting import write_table

    table = QTable()
    table["name"] = [name for stack in stacks for name in stack.names]
    table["truth"] = labels
    table["label"] = labels_from_probabilities(p)
    for k, output_name in enumerate(OUTPUTS):
        table[f"p_{output_name}"] = np.round(p[:, k], 6)
    path.parent.mkdir(parents=True, exist_ok=True)
    order = np.argsort(-p[:, 0], kind="stable")
    write_table(table[order], path)


def _write_evaluation(
    output: Path, evaluations: list[Evaluation], about: dict[str, Any], quiet: bool
) -> None:
    import json

    from streaks.models.evaluation_page import evaluation_page

    output.mkdir(parents=True, exist_ok=True)
    report = {"about": about, "models": [e.to_dict() for e in evaluations]}
    (output / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    page = evaluation_page(evaluations, title="Classifiers judged", about=about)
    (output / "evaluation.html").write_text(page, encoding="utf-8")
    if quiet:
        return
    for e in evaluations:
        kept = ", ".join(
            f"{100 * v:.1f} % at {100 * float(k):g} %" for k, v in e.asteroid_tpr.items()
        )
        typer.echo(
            f"{e.model}: accuracy {e.accuracy:.3f}, macro-F1 {e.macro_f1:.3f}, calibration error "
            f"{e.calibration_error:.3f}; asteroids kept at false-positive rates: {kept} "
            f"({e.n_positive} against {e.n_negative})"
        )
    typer.echo(f"written to {output / 'evaluation.html'}")
