"""`streaks train forest / cnn`: from synthetic cutouts, one's own, or volunteers' labels."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.labelled_sets import training_set
from streaks.cli.learning import (
    Campaign,
    check_labels,
    check_libraries,
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
from streaks.cli.training_options import (
    Data,
    Epochs,
    HeldLabels,
    HeldOut,
    LeastSnr,
    Leaves,
    NewFolder,
    OwnCutouts,
    OwnLabels,
    Quiet,
    Seed,
    Trees,
    Workers,
)
from streaks.cli.training_saving import check_output, origin_of, save_trained, say_epochs

__all__ = ["train_cnn_command", "train_forest_command"]

#: Of fine-tuning: gentler than from nothing, so that what was learnt is kept.
_TUNING_RATE = 1e-4
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
    check_output(output)
    if labels is None or not cutouts:
        count = n or 20000
        made, names, about = training_set(data, count, seed, min_snr, workers, quiet)
        model = train_forest(
            made, names, seed=seed, n_trees=trees, max_leaves=leaves, workers=workers
        )
        options = (
            f"{origin_of(data, count, min_snr)} --seed {seed} --trees {trees} --leaves {leaves}"
        )
        save_trained(model, output, f"streaks train forest {options} -o DIR", about, quiet)
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
    check_output(output, checkpoint)
    say = None if quiet else say_epochs(epochs)
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
        options = (
            f"{origin_of(data, count, min_snr)} --seed {seed} --epochs {epochs} --rate {rate:g}"
        )
        options += f" --mix {shlex.quote(mix)}" if mix else ""
        options += f" --start {shlex.quote(start)}" if start else ""
        about |= {"start": start} if start else {}
        recipe = f"streaks train cnn {options} -o DIR"
        if start is not None:
            recipe = f"{_recipe_of(start)}; {recipe}"
        save_trained(model, output, recipe, about, quiet)
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
    save_trained(model, output, recipe, about, quiet)
    gain = gain_of(before, load_classifier(output, threads=workers), campaign)
    if gain is not None:
        gain |= {"nights": list(campaign.held_nights), "start": own.start}
        save_trained(model, output, recipe, about | {"gain": gain}, True)
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
