"""`streaks classify`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.labelled_sets import name_failures

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.cutouts import Cutouts

__all__ = ["Model", "Polarity", "classify"]

Model = Annotated[
    str, typer.Option("--model", "-m", help="forest, cnn, default (both), or a folder of weights.")
]
Polarity = Annotated[
    str, typer.Option(help="Of 8-bit pictures: dark or light is positive, or auto.")
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
    mix: Annotated[
        str,
        typer.Option(
            help="How the classes are mixed where the cutouts come from: balanced (as in "
            "training), astreaks, class=share,... or auto (estimated from the cutouts)."
        ),
    ] = "balanced",
    psf_fwhm: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=60.0,
            help="FWHM of the PSF, px, of cutouts that do not tell it: pictures, arrays. They are "
            "then shown at the sampling of the training. Not asked: they are taken as they are.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Name what cutouts show: one row each with label, probabilities, candidates and novelty.

    Candidates are the classes that cannot be ruled out (the model's card states the coverage);
    with none, or more than two, the label is skip. Novelty is the share of ordinary cutouts that
    look more like their class than this one: above 0.99, look at it yourself.
    """
    from streaks.models import load_classifier
    from streaks.readers import read_cutouts
    from streaks.reporting import write_table

    shares = _mix_shares(mix)
    classifier = load_classifier(model)
    found = read_cutouts(cutouts, polarity=polarity)
    stacks = _of_known_psf(found.cutouts, psf_fwhm, quiet)
    if mix == "auto":
        shares = _estimated_mix(classifier, stacks, quiet)
    table = _classified(classifier, stacks, shares)
    if len(table) == 0:
        name_failures(found.failures)
        typer.echo("error: no cutout could be read; nothing was written", err=True)
        raise typer.Exit(2)
    write_table(table, output)
    if not quiet:
        _say_classes(table, output)
    name_failures(found.failures)
    if found.failures:
        raise typer.Exit(1)


def _of_known_psf(stacks: list[Cutouts], fwhm_px: float | None, quiet: bool) -> list[Cutouts]:
    """The cutouts with the FWHM that they lack, and a line that says how many lack one."""
    import numpy as np

    from streaks.cutouts import USUAL_FWHM_PX, with_fwhm

    told = sum(0 if s.fwhm_px is None else int(np.isfinite(s.fwhm_px).sum()) for s in stacks)
    untold = sum(len(stack) for stack in stacks) - told
    if untold and not quiet:
        taken = (
            f"taken as they are, as with {USUAL_FWHM_PX:g} px; give --psf-fwhm if it is another"
            if fwhm_px is None
            else f"given {fwhm_px:g} px"
        )
        typer.echo(f"FWHM of the PSF: known of {told} cutouts, not of {untold}: {taken}")
    return stacks if fwhm_px is None else [with_fwhm(stack, fwhm_px) for stack in stacks]


def _mix_shares(text: str) -> Mapping[str, float] | None:
    from streaks.classification import parse_mix

    return None if text in ("balanced", "auto") else parse_mix(text)


def _estimated_mix(classifier: Any, stacks: list[Cutouts], quiet: bool) -> Mapping[str, float]:
    import numpy as np

    from streaks.classification import OUTPUTS, estimate_mix
    from streaks.cutouts import brought_to_usual_fwhm

    parts = [classifier.predict_proba(brought_to_usual_fwhm(stack)) for stack in stacks]
    shares = estimate_mix(np.concatenate([np.zeros((0, len(OUTPUTS))), *parts]))
    if not quiet:
        listed = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
        typer.echo(f"estimated mix: {listed}")
    return shares


def _classified(classifier: Any, stacks: list[Cutouts], mix: Mapping[str, float] | None) -> QTable:
    """All stacks in one table, in order of name."""
    from astropy.table import vstack

    from streaks.classification import classify_cutouts
    from streaks.cutouts import stack_cutouts

    stacks = stacks or [stack_cutouts([])]
    parts = [classify_cutouts(classifier, stack, mix=mix, details=True) for stack in stacks]
    table = vstack(parts, metadata_conflicts="silent")
    table.rename_column("streak_id", "name")  # they are not (only) streaks of ours
    table.sort("name")
    return table


def _say_classes(table: QTable, output: Path) -> None:
    import numpy as np

    from streaks.tables import counted

    names, counts = np.unique(np.asarray(table["label"]), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    listed = ", ".join(f"{names[i]} {counts[i]}" for i in order)
    typer.echo(f"{counted(len(table), 'cutout')}: {listed}")
    strange = int(np.sum(np.asarray(table["novelty"]) > 0.99))
    if strange:
        typer.echo(f"{strange} unlike anything trained on (novelty above 0.99)")
    typer.echo(f"written to {output}")
