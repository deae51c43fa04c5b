"""``streaks train``: classifiers and the verdict, each written with a card."""

from __future__ import annotations

import typer

from streaks.cli import training, training_stack, verdict_training

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Train a classifier and write its weights with a card."
)

app.command("forest")(training.train_forest_command)
app.command("cnn")(training.train_cnn_command)
app.command("ensemble")(training_stack.train_ensemble_command)
app.command("calibrate")(training_stack.train_calibrate_command)
app.command("all")(training_stack.train_all_command)
app.command("verdict")(verdict_training.train_verdict_command)
