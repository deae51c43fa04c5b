"""`streaks train forest / cnn / ensemble / all`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.labelled_sets import (
    synthetic_parts,
    synthetic_source,
    training_set,
)
from streaks.cli.learning import (
    Campaign,
    check_labels,
    check_libraries,
    check_target,
    gain_of,
    network_library,
    read_campaign,
    say_gain,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streaks.cutouts import Cutouts
    from streaks.models.store import TrainedModel

__all__ = [
    "train_all_command",
    "train_calibrate_command",
    "train_cnn_command",
    "train_ensemble_command",
    "train_forest_command",
]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
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
Doubtful = Annotated[
    bool,
    typer.Option(
        help="Whether synthetic cutouts whose class no picture can tell are among them, as on "
        "the sky: they teach how sure one may be."
    ),
]
NewFolder = Annotated[Path, typer.Option("--output", "-o", help="Folder for weights and card.")]
Trees = Annotated[int, typer.Option(min=1, help="Trees of the forest.")]
Leaves = Annotated[int, typer.Option(min=2, help="Most leaves of a tree.")]
OwnLabels = Annotated[
    Path | None,
    typer.Option(
        help="Your own labels (as `streaks labels import` writes them): learn from them, among "
        "some synthetic cutouts, and compare with --start on nights kept back."
    ),
]
OwnCutouts = Annotated[
    list[Path] | None,
    typer.Option(help="The cutouts that --labels are of: a night's folder; repeat."),
]
HeldOut = Annotated[
    list[Path] | None,
    typer.Option(
        help="Cutouts of nights to measure on, not to learn from; repeat. When not given, a fifth "
        "of the nights of --cutouts."
    ),
]
HeldLabels = Annotated[
    Path | None, typer.Option(help="Labels of --held-out, where it is not --labels.")
]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the set.")]

#: What the card of a model trained on synthetic cutouts says of its limits.
_LIMITS = [
    "Trained on synthetic cutouts alone: figures in this card are about such cutouts; measure on "
    "your own with `streaks evaluate`.",
    "Made for difference images of a seeing-limited survey: FWHM 1.6 to 4.5 px, streaks of 3 to "
    "110 px, cutouts of 31 to 512 px of which the inner 128 px are seen.",
    "Classes are balanced in training; on the sky asteroids are a few in a thousand: "
    "`streaks classify --mix` corrects for it.",
]
#: Of fine-tuning: gentler than from nothing, so that what was learnt is kept.
_TUNING_RATE = 1e-4
#: Twenty of each output: fewer fit no probabilities.
_LEAST_DOUBTFUL = 160
#: A few cutouts shown more often than this are learnt by heart.
_MOST_TIMES = 4


def train_forest_command(
    output: NewFolder,
    n: Annotated[
        int | None,
        typer.Option("--n", min=1, help="Synthetic cutouts: 20000; 4000 beside --labels."),
    ] = None,
    seed: Seed = 1,
    data: Data = None,
    labels: OwnLabels = None,
    cutouts: OwnCutouts = None,
    held_out: HeldOut = None,
    held_out_labels: HeldLabels = None,
    start: Annotated[
        str, typer.Option(help="With --labels: what to compare with, a model or its folder.")
    ] = "forest",
    min_snr: LeastSnr = 6.0,
    trees: Trees = 120,
    leaves: Leaves = 400,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Random forest on features of cutouts."""
    from streaks.models import train_forest

    _check_options(labels, cutouts, held_out, held_out_labels, data)
    check_libraries("onnx")
    _check_output(output)
    if labels is None or not cutouts:
        count = n or 20000
        made, names, about = training_set(data, count, seed, min_snr, workers, quiet)
        model = train_forest(
            made, names, seed=seed, n_trees=trees, max_leaves=leaves, workers=workers
        )
        options = f"{_origin(data, count, min_snr)} --seed {seed} --trees {trees} --leaves {leaves}"
        _save(model, output, f"streaks train forest {options} -o DIR", about, quiet)
        return

    def train(learner: _Learner) -> Any:
        return train_forest(
            learner.cutouts,
            learner.labels,
            seed=seed,
            n_trees=trees,
            max_leaves=leaves,
            workers=workers,
            weight=learner.repeat,
        )

    options = f"--seed {seed} --trees {trees} --leaves {leaves}"
    own = _Own(labels, cutouts, held_out or [], held_out_labels, start)
    _learn("forest", own, n or 4000, seed, min_snr, workers, quiet, train, output, options)


def train_cnn_command(
    output: NewFolder,
    n: Annotated[
        int | None,
        typer.Option("--n", min=1, help="Synthetic cutouts: 20000; 4000 beside --labels."),
    ] = None,
    seed: Seed = 1,
    data: Data = None,
    labels: OwnLabels = None,
    cutouts: OwnCutouts = None,
    held_out: HeldOut = None,
    held_out_labels: HeldLabels = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="The network to go on from: cnn, or a folder of weights. With --labels cnn, else "
            "none when not given."
        ),
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            help="Of the synthetic cutouts: a=b,... so that what is hard is shown more often; "
            "balanced when not given. `streaks train calibrate` sets the probabilities right."
        ),
    ] = None,
    rate: Annotated[float, typer.Option(help="Highest learning rate.", min=1e-6)] = 3e-3,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Kept after each epoch; the same command again goes on from there."),
    ] = None,
    min_snr: LeastSnr = 6.0,
    epochs: Epochs = 10,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Convolutional network on cutouts; needs the extra `train`."""
    from streaks.models import train_cnn

    _check_options(labels, cutouts, held_out, held_out_labels, data)
    check_libraries(network_library(), "onnx")
    _check_output(output, checkpoint)
    say = None if quiet else _say_epochs(epochs)
    if labels is None or not cutouts:
        count = n or 20000
        made, names, about = training_set(data, count, seed, min_snr, workers, quiet, mix)
        model = train_cnn(
            made,
            names,
            seed=seed,
            epochs=epochs,
            learning_rate=rate,
            workers=workers,
            progress=say,
            start=None if start is None else _weights(start),
            checkpoint=checkpoint,
        )
        options = f"{_origin(data, count, min_snr)} --seed {seed} --epochs {epochs} --rate {rate:g}"
        options += f" --mix {shlex.quote(mix)}" if mix else ""
        options += f" --start {shlex.quote(start)}" if start else ""
        about |= {"start": start} if start else {}
        recipe = f"streaks train cnn {options} -o DIR"
        if start is not None:
            recipe = f"{_recipe_of(start)}; {recipe}"
        _save(model, output, recipe, about, quiet)
        return
    weights = _weights(start or "cnn")

    def tune(learner: _Learner) -> Any:
        return train_cnn(
            learner.cutouts,
            learner.labels,
            seed=seed,
            epochs=epochs,
            learning_rate=_TUNING_RATE,
            workers=workers,
            progress=say,
            start=weights,
            repeat=learner.repeat,
            checkpoint=checkpoint,
        )

    own = _Own(labels, cutouts, held_out or [], held_out_labels, start or "cnn")
    options = f"--seed {seed} --epochs {epochs}"
    _learn("cnn", own, n or 4000, seed, min_snr, workers, quiet, tune, output, options)


@dataclass(frozen=True)
class _Own:
    """What the options say of a user's own labels."""

    labels: Path
    cutouts: list[Path]
    held_out: list[Path]
    held_out_labels: Path | None
    start: str


@dataclass(frozen=True, eq=False)
class _Learner:
    """What is learnt from: own cutouts, then synthetic ones, and how often each is shown."""

    cutouts: Cutouts
    labels: list[str]
    repeat: NDArray[np.int64]


def _check_options(
    labels: Path | None,
    cutouts: list[Path] | None,
    held_out: list[Path] | None,
    held_out_labels: Path | None,
    data: Path | None,
) -> None:
    from streaks.errors import ConfigError

    if (labels is None) != (not cutouts) or (labels is not None and data is not None):
        raise ConfigError("--labels needs --cutouts and no --data; --cutouts needs --labels")
    if (held_out and labels is None) or (held_out_labels is not None and not held_out):
        raise ConfigError("--held-out needs --labels; --held-out-labels needs --held-out")


def _check_output(output: Path, checkpoint: Path | None = None) -> None:
    """That the model can be written, before hours are spent on it."""
    from streaks.models.store import check_model_folder

    check_model_folder(output)
    check_target(output, checkpoint)


def _learn(
    kind: str,
    own: _Own,
    n: int,
    seed: int,
    min_snr: float,
    workers: int,
    quiet: bool,
    train: Callable[[_Learner], TrainedModel],
    output: Path,
    options: str,
) -> None:
    """Train on a user's labels, and measure before and after on nights kept back."""
    from streaks.models import load_classifier

    labels = check_labels(own.labels)
    held_labels = None if own.held_out_labels is None else check_labels(own.held_out_labels)
    before = load_classifier(own.start, threads=workers)
    campaign = read_campaign(
        own.cutouts,
        labels,
        own.labels,
        held_out=own.held_out,
        held_labels=held_labels,
        seed=seed,
    )
    learner, about = _among_synthetic(campaign, n, seed, min_snr, workers, quiet)
    about |= {"start": own.start, "nights": list(campaign.nights)}
    model = train(learner)
    held = f" --held-out {len(campaign.held_nights)}-NIGHTS" if own.held_out else ""
    recipe = (
        f"streaks train {kind} --labels {shlex.quote(own.labels.name)} --cutouts CUTOUTS{held} "
        f"--start {shlex.quote(own.start)} --n {n} --min-snr {min_snr:g} {options} -o DIR"
    )
    # Its figures are of the very file that is written: loaded, then told in its card.
    _save(model, output, recipe, about, quiet)
    gain = gain_of(before, load_classifier(output, threads=workers), campaign)
    if gain is not None:
        gain |= {"nights": list(campaign.held_nights), "start": own.start}
        _save(model, output, recipe, about | {"gain": gain}, True)
    if not quiet:
        say_gain(gain, campaign, own.start)


def _among_synthetic(
    campaign: Campaign, n: int, seed: int, min_snr: float, workers: int, quiet: bool
) -> tuple[_Learner, dict[str, Any]]:
    """A user's cutouts, shown often, among synthetic ones.

    Without these a classifier would forget what the user has no examples of.
    """
    import numpy as np

    from streaks.cutouts import brought_to_usual_fwhm, stack_cutouts

    made, names, about = training_set(None, n, seed, min_snr, workers, quiet)
    # As they are shown when they are classified.
    own = brought_to_usual_fwhm(campaign.cutouts)
    times = min(max(round(len(made) / len(own)), 2), _MOST_TIMES)
    repeat = np.repeat([times, 1], [len(own), len(made)])
    about |= {"n_own": len(own), "own_shown_times": times}
    about |= {"set": "a user's own labels and streaks.synth.make_cutouts"}
    together = stack_cutouts([own, made])
    return _Learner(together, [*campaign.labels, *names], repeat), about


def _recipe_of(name: str) -> str:
    from streaks.models.store import read_card, weights_folder

    return str(read_card(weights_folder(name))["recipe"])


def _weights(name: str) -> bytes:
    from streaks.models.store import read_card, read_weights, weights_folder

    folder = weights_folder(name)
    return read_weights(folder, read_card(folder))


def train_ensemble_command(
    output: NewFolder,
    members: Annotated[
        list[str],
        typer.Option("--member", help="Name of a model's folder beside the output; repeat."),
    ] = ["cnn", "forest"],  # noqa: B006 - typer's way to a list
    n: Annotated[
        int,
        typer.Option(
            "--n",
            min=1,
            help="Synthetic cutouts to make. A fifth as many again, some of a class that no "
            "picture can tell, fit the probabilities.",
        ),
    ] = 80000,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Of the cutouts, and the next one; others than the members' own."),
    ] = 2,
    data: Data = None,
    min_snr: LeastSnr = 6.0,
    pool: Annotated[
        bool,
        typer.Option(
            help="Only weigh the members, on the fifth: for sets of your own that are too small "
            "to fit trees."
        ),
    ] = False,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Several models as one: trees that hear their answers and see the features."""
    check_libraries("onnx")
    _check_output(output)
    model, about = _together(output.parent, members, data, n, seed, min_snr, pool, workers, quiet)
    named = " ".join(f"--member {shlex.quote(name)}" for name in members)
    options = f"{_origin(data, n, min_snr)} --seed {seed} {'--pool ' if pool else ''}{named}"
    _save(model, output, f"streaks train ensemble {options} -o DIR", about, quiet)


def _together(
    folder: Path,
    members: list[str],
    data: Path | None,
    n: int,
    seed: int,
    min_snr: float,
    pool: bool,
    workers: int,
    quiet: bool,
) -> tuple[TrainedModel, dict[str, Any]]:
    from streaks.models import load_classifier, train_ensemble, train_stack

    classifiers = [load_classifier(folder / name) for name in members]
    n_doubtful = max(n // 5, _LEAST_DOUBTFUL)
    if pool:
        cutouts, labels, about = training_set(
            data, n_doubtful, seed + 1, min_snr, workers, quiet, doubtful=True
        )
        return train_ensemble(classifiers, cutouts, labels, seed=seed), about
    if data is not None:
        cutouts, labels, about = training_set(data, n, seed, min_snr, workers, quiet)
        return train_stack(classifiers, [(cutouts, labels)], seed=seed, workers=workers), about
    model = train_stack(
        classifiers,
        synthetic_parts(n, seed, min_snr, workers, quiet),
        seed=seed,
        doubtful=synthetic_parts(n_doubtful, seed + 1, min_snr, workers, quiet, doubtful=True),
        workers=workers,
    )
    source = synthetic_source(n_doubtful, seed + 1, min_snr, doubtful=True)
    return model, synthetic_source(n, seed, min_snr) | {"calibration_set": source}


def train_calibrate_command(
    model: Annotated[str, typer.Argument(help="A network: cnn, or a folder of weights.")],
    output: NewFolder,
    n: Count = 6000,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the cutouts; another one than the model's own.")
    ] = 3,
    data: Data = None,
    min_snr: LeastSnr = 6.0,
    doubtful: Doubtful = True,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """The same network, its probabilities, candidates and novelty fitted to other cutouts."""
    from streaks.models import recalibrate_network
    from streaks.models.store import read_card, read_weights, weights_folder

    folder = weights_folder(model)
    card = read_card(folder)
    weights = read_weights(folder, card)
    cutouts, labels, about = training_set(data, n, seed, min_snr, workers, quiet, doubtful=doubtful)
    fitted = recalibrate_network(weights, card, cutouts, labels, seed=seed)
    options = f"{_origin(data, n, min_snr, doubtful)} --seed {seed}"
    recipe = f"{card['recipe']}; streaks train calibrate DIR {options} -o DIR"
    source = {"set": card["training"]["set"], "calibration_set": about["set"]}
    _save(fitted, output, recipe, source, quiet)


def train_all_command(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for forest/, cnn/ and default/.")
    ],
    n: Count = 32000,
    n_pool: Annotated[int, typer.Option(min=100, help="Cutouts that fit the ensemble.")] = 80000,
    seed: Annotated[int, typer.Option(min=0, help="The ensemble's cutouts get the next two.")] = 1,
    min_snr: LeastSnr = 6.0,
    epochs: Epochs = 12,
    trees: Trees = 120,
    leaves: Leaves = 600,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """The whole recipe of the shipped weights: forest, network, and both together."""
    from streaks.models import train_cnn, train_forest

    check_libraries(network_library(), "onnx")
    for name in ("forest", "cnn", "default"):
        _check_output(output / name)
    cutouts, labels, about = training_set(None, n, seed, min_snr, workers, quiet)
    recipe = (
        f"streaks train all --n {n} --n-pool {n_pool} --seed {seed} --min-snr {min_snr:g} "
        f"--epochs {epochs} --trees {trees} --leaves {leaves} -o DIR"
    )
    forest = train_forest(
        cutouts, labels, seed=seed, n_trees=trees, max_leaves=leaves, workers=workers
    )
    _save(forest, output / "forest", recipe, about, quiet)
    say = None if quiet else _say_epochs(epochs)
    network = train_cnn(cutouts, labels, seed=seed, epochs=epochs, workers=workers, progress=say)
    _save(network, output / "cnn", recipe, about, quiet)
    del cutouts
    pool, about = _together(
        output, ["cnn", "forest"], None, n_pool, seed + 1, min_snr, False, workers, quiet
    )
    _save(pool, output / "default", recipe, about, quiet)


def _say_epochs(epochs: int) -> Callable[[int, float], None]:
    def say(epoch: int, loss: float) -> None:
        typer.echo(f"epoch {epoch} of {epochs}: loss {loss:.4f}", err=True)

    return say


def _origin(data: Path | None, n: int, min_snr: float, doubtful: bool | None = None) -> str:
    if data:
        return f"--data {shlex.quote(data.name)}"
    kind = "" if doubtful is None else f" --{'' if doubtful else 'no-'}doubtful"
    return f"--n {n} --min-snr {min_snr:g}{kind}"


def _save(
    model: TrainedModel, output: Path, recipe: str, about: dict[str, Any], quiet: bool
) -> None:
    from dataclasses import replace
    from datetime import UTC, datetime

    from streaks.models import save_model

    model = replace(model, training={**about, **model.training})
    created = datetime.now(UTC).date().isoformat()
    limits = _LIMITS if about["set"] == "streaks.synth.make_cutouts" else _LIMITS[1:]
    save_model(model, output, name=output.name, recipe=recipe, created=created, limits=limits)
    if not quiet:
        figures = model.figures
        typer.echo(
            f"{output}: accuracy {figures['accuracy']:.3f}, macro-F1 {figures['macro_f1']:.3f}, "
            f"{_asteroids_said(figures)} ({figures['measured_on']})"
        )


def _asteroids_said(figures: Any) -> str:
    kept = figures["asteroid_tpr"]["0.01"]
    if kept is None:
        return "no asteroids among them"
    return f"asteroids kept at 1 % false positives {kept:.3f}"
