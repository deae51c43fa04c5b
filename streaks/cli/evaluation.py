"""`streaks evaluate`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.labelled_sets import (
    column_by_name,
    match_name,
    name_failures,
    read_set,
    synthetic_set,
)
from streaks.cli.models import Polarity
from streaks.cli.training_options import Count, Data, Quiet, Workers

if TYPE_CHECKING:
    import numpy as np

    from streaks.classification import Classifier, LabelRule
    from streaks.cutouts import Cutouts
    from streaks.models.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the figures.")],
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="As in classify; repeat to compare.")
    ] = ["default"],  # noqa: B006 - typer's way to a list
    n: Count = 4000,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the synthetic cutouts; another one than in training.")
    ] = 1000,
    min_snr: Annotated[
        float, typer.Option(min=0.0, help="Leave out synthetic subjects below this S/N.")
    ] = 0.0,
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
    object_column: Annotated[
        str,
        typer.Option(
            help="Column of the asteroid's name in --truth: intervals then draw objects, and "
            "shares kept are also averaged over them."
        ),
    ] = "",
    scene_column: Annotated[
        str, typer.Option(help="Column of the image's name: what one image shows goes together.")
    ] = "",
    night_column: Annotated[str, typer.Option(help="Column of the night, for a table.")] = "",
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

    from streaks.cli.gallery import draw_gallery
    from streaks.errors import ConfigError
    from streaks.models import load_classifier
    from streaks.models.evaluation import evaluate_probabilities

    # Before minutes are spent on cutouts: a name that is none is said at once.
    classifiers = [load_classifier(one_model) for one_model in model]
    if (cutouts is None) != (truth is None):
        raise ConfigError("--cutouts and --truth belong together; give both or neither")
    if cutouts is not None and truth is not None:
        columns = _Columns(
            id_column, label_column, confidence_column, min_confidence, asteroids,
            object_column, scene_column, night_column,
        )  # fmt: skip
        judged = _users_set(cutouts, truth, columns, polarity)
    elif data is not None:
        one, labels = read_set(data)
        judged = _Judged([one], np.array(labels), {"set": data.name})
    else:
        judged = _synthetic_set(n, seed, mix, min_snr, workers, quiet)
    judged = judged.without(exclude)
    evaluations, galleries = [], []
    for classifier in classifiers:
        p, novelty = _answers(classifier, judged.stacks)
        rule = getattr(classifier, "rule", None)
        evaluation = evaluate_probabilities(
            p[judged.keep],
            judged.labels[judged.keep].tolist(),
            model=classifier.name,
            rule=rule,
            min_count=min_count,
            **judged.kept_options(),
        )
        evaluations.append(evaluation)
        galleries.append(draw_gallery(judged.stacks, p, judged.labels, judged.keep, judged.options))
        # Two models may bear one name: a number tells their tables apart.
        number = sum(e.model == classifier.name for e in evaluations)
        tag = classifier.name if number == 1 else f"{classifier.name}-{number}"
        _write_scores(output / f"scores-{tag}.csv", judged, p, novelty, rule)
    _write_evaluation(output, evaluations, galleries, judged.about, quiet)


@dataclass(frozen=True)
class _Columns:
    """What columns of a truth table are called; empty where there is none."""

    name: str
    label: str
    confidence: str
    min_confidence: float
    asteroids: str
    objects: str
    scenes: str
    nights: str


@dataclass(frozen=True, eq=False)
class _Judged:
    """Cutouts, one label each, and what else is known of each."""

    stacks: list[Cutouts]
    labels: np.ndarray
    about: dict[str, Any]
    options: dict[str, np.ndarray] = field(default_factory=dict)
    measures: dict[str, np.ndarray] = field(default_factory=dict)
    left_out: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        return [Path(name).name for stack in self.stacks for name in stack.names]

    @property
    def keep(self) -> np.ndarray:
        import numpy as np

        return np.ones(len(self.labels), bool) if self.left_out is None else ~self.left_out

    def kept_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {key: v[self.keep] for key, v in self.options.items()}
        if self.measures:
            options["measures"] = {key: v[self.keep] for key, v in self.measures.items()}
        return options

    def without(self, path: Path | None) -> _Judged:
        """Those that a file names left out; they stay in the table of scores."""
        import numpy as np

        if path is None:
            return self
        out = _names_in(path)
        left_out = [name in out or Path(name).stem in out for name in self.names]
        about = self.about | {"left out": int(np.sum(left_out))}
        return replace(self, left_out=np.array(left_out, dtype=bool), about=about)


def _synthetic_set(
    n: int, seed: int, mix: str, min_snr: float, workers: int, quiet: bool
) -> _Judged:
    import numpy as np

    cutouts, truth = synthetic_set(n, seed, mix, workers, quiet)
    faint = np.asarray(truth["snr"], dtype=float) < min_snr  # NaN, for blanks, stays
    truth, cutouts = truth[~faint], cutouts.select(~faint)
    measures = {
        "snr": np.asarray(truth["snr"], dtype=float),
        "length": np.asarray(truth["length"].to_value("pix")),
    }
    about = {"set": "synthetic", "n": n, "seed": seed, "mix": mix, "min_snr": min_snr}
    labels = np.asarray(truth["label"], dtype=str)
    return _Judged([cutouts], labels, about, measures=measures)


def _users_set(cutouts: Path, truth: Path, columns: _Columns, polarity: str) -> _Judged:
    import numpy as np

    from streaks.readers import read_cutouts, read_table

    found = read_cutouts(cutouts, polarity=polarity)
    name_failures(found.failures)
    names = [Path(name).name for stack in found.cutouts for name in stack.names]
    table = read_table(truth)

    def column(wanted: str) -> np.ndarray:
        by_name = column_by_name(table, truth, wanted, columns.name)
        return np.array([match_name(name, by_name) for name in names], dtype=str)

    eye = labels = column(columns.label)
    if columns.confidence:
        sure = np.array([float(c or 0) for c in column(columns.confidence)])
        labels = np.where(sure >= columns.min_confidence, labels, "")
    options: dict[str, np.ndarray] = {}
    if columns.asteroids:
        listed = column(columns.name) != ""
        options = _asteroid_marks(columns.asteroids, column, listed, eye)
    if columns.objects:
        fallback = column(columns.scenes) if columns.scenes else np.array(names)
        objects = column(columns.objects)
        options["objects"] = np.where(objects != "", objects, fallback)
    if columns.nights:
        options["nights"] = column(columns.nights)
    about = {"set": cutouts.name, "failed": len(found.failures), "truth": truth.name}
    return _Judged(found.cutouts, labels, about, options)


def _asteroid_marks(
    text: str, column: Any, listed: np.ndarray, eye: np.ndarray
) -> dict[str, np.ndarray]:
    """Which cutouts are asteroids, and which are taken for none."""
    from streaks.errors import ConfigError

    name, _, value = text.partition("=")
    if not value:
        raise ConfigError(f"--asteroids is {text!r}; expected COLUMN=VALUE")
    marks = column(name)
    return {"positive": marks == value, "negative": listed & (marks == "") & (eye != "asteroid")}


def _names_in(path: Path) -> set[str]:
    from streaks.errors import ReadError

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"--exclude {path} cannot be read: {error}") from None
    return {line.split("#")[0].strip() for line in lines} - {""}


def _answers(classifier: Classifier, stacks: list[Cutouts]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and novelties of all cutouts."""
    import numpy as np

    from streaks.classification import predict

    parts = [predict(classifier, stack) for stack in stacks]
    return np.concatenate([p for p, _ in parts]), np.concatenate([n for _, n in parts])


def _write_scores(
    path: Path, judged: _Judged, p: np.ndarray, novelty: np.ndarray, rule: LabelRule | None
) -> None:
    """What the model said of each cutout beside the truth, surest asteroids first."""
    import numpy as np
    from astropy.table import QTable

    from streaks.classification import OUTPUTS, labels_from_probabilities
    from streaks.reporting import write_table

    table = QTable()
    table["name"] = judged.names
    table["truth"] = judged.labels
    table["label"] = labels_from_probabilities(p) if rule is None else rule.labels(p)
    for k, output_name in enumerate(OUTPUTS):
        table[f"p_{output_name}"] = np.round(p[:, k], 6)
    table["novelty"] = np.round(novelty, 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    order = np.argsort(-p[:, 0], kind="stable")
    write_table(table[order], path)


def _write_evaluation(
    output: Path,
    evaluations: list[Evaluation],
    galleries: list[dict[str, list[tuple[str, str]]]],
    about: dict[str, Any],
    quiet: bool,
) -> None:
    import json

    from streaks.models.evaluation_page import evaluation_page

    output.mkdir(parents=True, exist_ok=True)
    report = {"about": about, "models": [e.to_dict() for e in evaluations]}
    (output / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    page = evaluation_page(
        evaluations, title="Classifiers judged", about=about, galleries=galleries
    )
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
        _say_details(e)
    typer.echo(f"written to {output / 'evaluation.html'}")


def _say_details(e: Evaluation) -> None:
    """What there is of intervals and sets, a line each."""
    for key, (low, high) in e.intervals.items():
        typer.echo(f"  {key}: 95 % interval by object {low:.3f} to {high:.3f}")
    if e.object_tpr:
        kept = ", ".join(
            f"{100 * v:.1f} % at {100 * float(k):g} %" for k, v in e.object_tpr.items()
        )
        typer.echo(f"  mean over {len(e.objects)} objects: {kept}")
    if e.sets:
        typer.echo(
            f"  sets hold the truth in {100 * e.sets['coverage']:.1f} % "
            f"({100 * e.sets['promised']:g} % promised), mean size {e.sets['mean_size']:.2f}; "
            f"named: {100 * e.named:.1f} %"
        )
