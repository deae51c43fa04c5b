"""``streaks tracklets``: a night's tracklets, with digest2's scores and as 80-column lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streaks.cli.known import Quiet

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.night_folder import Night

__all__ = ["tracklets"]


def tracklets(
    night: Annotated[Path, typer.Argument(help="Folder that `streaks night` wrote.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Table; its suffix is the format.")
    ],
    digest2: Annotated[
        bool,
        typer.Option(
            "--digest2",
            help="Add a column digest2: how like a near-Earth asteroid each moves "
            "(0 to 100). Needs: pip install digest2.",
        ),
    ] = False,
    obs80: Annotated[
        Path | None,
        typer.Option(help="Write the observations in the MPC's 80 columns too (.txt)."),
    ] = None,
    observatory: Annotated[
        str | None, typer.Option(help="MPC code, where the night's headers do not tell.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """What moves in a night: one row an object, its observations for the Minor Planet Center."""
    from streaks.disk import written_whole
    from streaks.night import read_night
    from streaks.reporting import write_table

    read = read_night(night)
    table, lines = read.tracklets, []
    if digest2 or obs80 is not None:
        lines = _lines(read, observatory or "")
    if digest2:
        table = _scored(table, lines)
    write_table(table, output)
    if obs80 is not None:
        with written_whole(obs80) as part:
            part.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    if not quiet:
        more = "" if obs80 is None else f"; {len(lines)} observations -> {obs80}"
        typer.echo(f"{len(table)} tracklets -> {output}{more}")


def _lines(night: Night, observatory: str) -> list[str]:
    """80-column lines of all streaks that belong to a motion, by name and time."""
    import numpy as np

    from streaks.reporting.obs80 import obs80_lines

    kinds = np.asarray(night.tracklets["kind"]).astype(str)
    names = np.asarray(night.tracklets["tracklet"]).astype(str)
    moving = set(names[kinds == "motion"].tolist())
    own = np.array([str(name) in moving for name in night.streaks["tracklet"]], dtype=bool)
    streaks = night.streaks[own]
    for column in ("observatory", "band"):
        told = dict(zip(map(str, night.frames["image"]), map(str, night.frames[column]),
                        strict=True)) if column in night.frames.colnames else {}  # fmt: skip
        streaks[column] = np.array(
            [told.get(str(image), "") for image in streaks["image"]] or [""], dtype="U32"
        )[: len(streaks)]
    return sorted(
        obs80_lines(streaks, observatory=observatory), key=lambda line: (line[5:12], line[15:32])
    )


def _scored(table: QTable, lines: list[str]) -> QTable:
    import numpy as np

    from streaks.known import find_observatory
    from streaks.reporting.obs80 import tracklet_80_name
    from streaks.reporting.orbit_class import digest2_scores

    sites = {}
    for code in sorted({line[77:80] for line in lines}):
        site = find_observatory(code)
        sites[code] = (site.longitude_deg, site.rho_cos_phi, site.rho_sin_phi)
    scores = digest2_scores(lines, sites) if lines else {}
    scored = table.copy()
    scored["digest2"] = np.array(
        [scores.get(tracklet_80_name(str(name)), np.nan) for name in table["tracklet"]], dtype=float
    )
    return scored
