"""What a trained model is saved with: where it comes from, its limits, and a line for the user."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streaks.cli.learning import check_target

if TYPE_CHECKING:
    from streaks.models.store import TrainedModel

__all__ = ["check_output", "origin_of", "save_trained", "say_epochs"]

#: What the card of a model trained on synthetic cutouts says of its limits.
_LIMITS = [
    "Trained on synthetic cutouts alone: figures in this card are about such cutouts; measure on "
    "your own with `streaks evaluate`.",
    "Made for difference images of a seeing-limited survey: FWHM 1.6 to 4.5 px, streaks of 3 to "
    "110 px, cutouts of 31 to 512 px of which the inner 128 px are seen.",
    "Classes are balanced in training; on the sky asteroids are a few in a thousand: "
    "`streaks classify --mix` corrects for it.",
]


def check_output(output: Path, checkpoint: Path | None = None) -> None:
    """That the model can be written, before hours are spent on it.

    Parameters
    ----------
    output
        Folder for weights and card.
    checkpoint
        File that keeps what is learnt meanwhile.
    """
    from streaks.models.store import check_model_folder

    check_model_folder(output)
    check_target(output, checkpoint)


def say_epochs(epochs: int) -> Callable[[int, float], None]:
    """What tells the terminal of each epoch.

    Parameters
    ----------
    epochs
        How many there will be.

    Returns
    -------
    callable
        Takes the number of an epoch and its loss.
    """

    def say(epoch: int, loss: float) -> None:
        typer.echo(f"epoch {epoch} of {epochs}: loss {loss:.4f}", err=True)

    return say


def origin_of(data: Path | None, n: int, min_snr: float, doubtful: bool | None = None) -> str:
    """The options that say where a training set came from, for a recipe.

    Parameters
    ----------
    data
        A labelled set; None for synthetic cutouts.
    n, min_snr, doubtful
        Of the synthetic ones; None leaves the last unsaid.

    Returns
    -------
    str
    """
    if data:
        return f"--data {shlex.quote(data.name)}"
    kind = "" if doubtful is None else f" --{'' if doubtful else 'no-'}doubtful"
    return f"--n {n} --min-snr {min_snr:g}{kind}"


def save_trained(
    model: TrainedModel, output: Path, recipe: str, about: dict[str, Any], quiet: bool
) -> None:
    """Write a model with its card, and say how good it is.

    Parameters
    ----------
    model
        As trained.
    output
        Folder for weights and card.
    recipe
        The command that makes it again.
    about
        The training set, as plain values.
    quiet
        Say nothing.
    """
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
