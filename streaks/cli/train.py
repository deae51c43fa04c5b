"""``streaks train``: classifiers and the verdict, each written with a card."""

from __future__ import annotations

import typer

from streaks.cli import training, verdict_training

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Train a classifier and write its weights with a card."
)

app.command("forest")(training.train_forest_command)
app.command("cnn")(training.train_cnn_command)
app.command("ensemble")(training.train_ensemble_command)
app.command("calibrate")(training.train_calibrate_command)
app.command("all")(training.train_all_command)
app.command("verdict")(verdict_training.train_verdict_command)
