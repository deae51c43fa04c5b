"""`streaks train ensemble / calibrate / all`: models made of models, and the whole recipe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.labelled_sets import synthetic_parts, synthetic_source, training_set
from streaks.cli.learning import check_libraries, network_library

if TYPE_CHECKING:
    from streaks.models.store import TrainedModel
from streaks.cli.training_options import (
    Count,
    Data,
    Doubtful,
    Epochs,
    LeastSnr,
    Leaves,
    NewFolder,
    Quiet,
    Trees,
    Workers,
)
from streaks.cli.training_saving import check_output, origin_of, save_trained, say_epochs

__all__ = ["train_all_command", "train_calibrate_command", "train_ensemble_command"]

#: Twenty of each output: fewer fit no probabilities.
_LEAST_DOUBTFUL = 160


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
    check_output(output)
    model, about = _together(output.parent, members, data, n, seed, min_snr, pool, workers, quiet)
    named = " ".join(f"--member {shlex.quote(name)}" for name in members)
    options = f"{origin_of(data, n, min_snr)} --seed {seed} {'--pool ' if pool else ''}{named}"
    save_trained(model, output, f"streaks train ensemble {options} -o DIR", about, quiet)


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
    options = f"{origin_of(data, n, min_snr, doubtful)} --seed {seed}"
    recipe = f"{card['recipe']}; streaks train calibrate DIR {options} -o DIR"
    source = {"set": card["training"]["set"], "calibration_set": about["set"]}
    save_trained(fitted, output, recipe, source, quiet)


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
        check_output(output / name)
    cutouts, labels, about = training_set(None, n, seed, min_snr, workers, quiet)
    recipe = (
        f"streaks train all --n {n} --n-pool {n_pool} --seed {seed} --min-snr {min_snr:g} "
        f"--epochs {epochs} --trees {trees} --leaves {leaves} -o DIR"
    )
    forest = train_forest(
        cutouts, labels, seed=seed, n_trees=trees, max_leaves=leaves, workers=workers
    )
    save_trained(forest, output / "forest", recipe, about, quiet)
    say = None if quiet else say_epochs(epochs)
    network = train_cnn(cutouts, labels, seed=seed, epochs=epochs, workers=workers, progress=say)
    save_trained(network, output / "cnn", recipe, about, quiet)
    del cutouts
    pool, about = _together(
        output, ["cnn", "forest"], None, n_pool, seed + 1, min_snr, False, workers, quiet
    )
    save_trained(pool, output / "default", recipe, about, quiet)
