"""``streaks periods``: rotation periods from reduced light curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.known import Quiet

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.lightcurves import PeriodConfig, PeriodFit

__all__ = ["find_periods", "folded_curves", "periods"]


def periods(
    tables: Annotated[
        list[Path], typer.Argument(help="Light curves, as `streaks lightcurve -o` writes them.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Table; its suffix is the format.")
    ],
    object_name: Annotated[
        list[str] | None, typer.Option("--object", help="Only this asteroid; repeat.")
    ] = None,
    shortest: Annotated[float, typer.Option(min=0.05, help="Of rotation, h.")] = 2.0,
    longest: Annotated[float, typer.Option(min=0.1, help="Of rotation, h.")] = 200.0,
    harmonics: Annotated[int, typer.Option(min=2, max=8, help="Of the rotation.")] = 4,
    permutations: Annotated[
        int, typer.Option(min=0, help="For the false-alarm probability; 0 for none.")
    ] = 20,
    plot: Annotated[
        Path | None, typer.Option(help="Picture (PNG) of the light curves, folded.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The rows as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Periods by Fourier fits with bands, apparitions and phase slope; aliases named."""
    from astropy.table import vstack

    from streaks.errors import InputError
    from streaks.lightcurves import PERIOD_COLUMNS, PeriodConfig
    from streaks.readers import read_table
    from streaks.reporting import write_table

    config = PeriodConfig(
        shortest_h=shortest, longest_h=longest, n_harmonics=harmonics, permutations=permutations
    )
    light = vstack([read_table(path) for path in tables], metadata_conflicts="silent")
    fits, failures = find_periods(light, config, wanted=object_name)
    for failure in failures:
        typer.echo(failure, err=True)
    if not fits:
        raise InputError(
            "no light curve is long enough for a period"
            if failures else "no such asteroid in these tables; give --object as in their names"
        )  # fmt: skip
    table = table_of(fits)
    write_table(table, output)
    if plot is not None:
        _write_picture(fits, plot)
    if as_json:
        import json

        from streaks.cli.known import _plain

        names = [spec.name for spec in PERIOD_COLUMNS]
        typer.echo(json.dumps([{n: _plain(row[n]) for n in names} for row in table]))
    elif not quiet:
        for row in table:
            typer.echo(_line(row))
        typer.echo(f"{len(table)} periods -> {output}")
    if failures:
        raise typer.Exit(1)


def find_periods(
    light: QTable, config: PeriodConfig, *, wanted: list[str] | None = None
) -> tuple[list[PeriodFit], list[str]]:
    """The period of each asteroid of a table, and why some have none.

    Parameters
    ----------
    light
        `streaks.lightcurves.LIGHTCURVE_COLUMNS`.
    config
        Of the search.
    wanted
        Only these names.

    Returns
    -------
    fits : list of PeriodFit
    failures : list of str
        One line each.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    from streaks.errors import TableError
    from streaks.lightcurves import find_period, series_of

    names = sorted(set(np.asarray(light["name"]).astype(str).tolist()))
    fits, failures = [], []
    # Small products of matrices: more threads only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        for name in names:
            if wanted is not None and name not in wanted:
                continue
            try:
                fits.append(find_period(series_of(light, name), config))
            except TableError as error:
                failures.append(str(error))
    return fits, failures


def table_of(fits: list[PeriodFit]) -> QTable:
    """The rows of some periods with their reliability by the package's own model.

    Parameters
    ----------
    fits
        Of `find_periods`.

    Returns
    -------
    QTable
        `streaks.lightcurves.PERIOD_COLUMNS`.
    """
    import numpy as np

    from streaks.lightcurves import numbers_of, period_table
    from streaks.models.period_store import load_reliability

    numbers = np.array([numbers_of(fit) for fit in fits])
    return period_table(fits, load_reliability().probability(numbers).tolist())


def folded_curves(fits: list[PeriodFit], subtitles: list[str]) -> list[Any]:
    """What `streaks.plotting.light_curves` draws.

    Parameters
    ----------
    fits
        Of `find_periods`.
    subtitles
        A line under the title of each.

    Returns
    -------
    list of Folded
    """
    from streaks.plotting.light_curves import Folded

    return [
        Folded(
            f"{fit.name}: {fit.period_h:.4f} h", subtitle, fit.turn, fit.corrected_mag, fit.band,
            fit.model_turn, fit.model_mag,
        )
        for fit, subtitle in zip(fits, subtitles, strict=True)
    ]  # fmt: skip


def _write_picture(fits: list[PeriodFit], path: Path) -> None:
    from streaks.disk import written_whole
    from streaks.plotting.drawing import encode_png
    from streaks.plotting.light_curves import folded_picture

    subtitles = [
        f"{fit.n_epochs} epochs, amplitude {fit.amplitude_mag:.2f}, scatter {fit.scatter_mag:.3f}"
        for fit in fits
    ]
    with written_whole(path) as part:
        part.write_bytes(encode_png(folded_picture(folded_curves(fits, subtitles)), compression=6))


def _line(row: Any) -> str:
    name, period, error = row["name"], row["period"].to_value("h"), row["period_err"].to_value("h")
    return (
        f"{name}: {period:.5g} +- {error:.1g} h, reliability {float(row['reliability']):.2f}, "
        f"false alarm {float(row['false_alarm']):.1g}, amplitude "
        f"{row['amplitude'].to_value('mag'):.2f} mag, {int(row['epochs'])} epochs\n"
        f"    else: {row['aliases']}"
    )
