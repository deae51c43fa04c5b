"""``streaks sample``: a small night to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["sample"]


def sample(
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder.")] = Path(
        "sample-night"
    ),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Write a small simulated night to try everything on: the tutorials' examples use it.

    Three exposures of one field under ZTF's file names, with masks, science images, a
    reference, orbits of known asteroids, alert packets, and the truth.
    """
    from streaks.synth import write_sample

    files = write_sample(output)
    if quiet:
        return
    n = sum(path.name.endswith("_scimrefdiffimg.fits.fz") for path in files)
    print(f"{n} difference images, their masks and science images, a reference: {output}")
    print("orbits.dat: known asteroids; alerts.avro: alert packets; truth.ecsv: what was put in")
    print(f"next: streaks night {output} -o night --orbits {output / 'orbits.dat'}")
