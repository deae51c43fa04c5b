"""``streaks labels``: subject sets for volunteers, and their answers back."""

from __future__ import annotations

import typer

from streaks.cli import labels_export, labels_import, labels_status, labels_upload

__all__ = ["app"]

app = typer.Typer(help="Sets of pictures for volunteers on Zooniverse.", no_args_is_help=True)

app.command("export")(labels_export.export)
app.command("upload")(labels_upload.upload)
app.command("import")(labels_import.import_answers)
app.command("status")(labels_status.status)
