"""``streaks lightcurve``: an asteroid's measurements over nights, reduced."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.known import EphemerisFile, OrbitFile, Quiet, Site, SiteFile, TwoBody

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.known import Dynamics, Observatory, Orbits
    from streaks.lightcurves import PhaseFit

__all__ = ["lightcurve", "measurements_of", "places_of", "reduced_curves"]

_TABLES = frozenset({".csv", ".ecsv", ".parquet", ".vot", ".fits", ".sqlite"})
#: ZTF's numbers of filters.
_ZTF_BANDS = {1: "g", 2: "r", 3: "i"}
#: FWHM of ZTF's images, arcsec, where a packet does not tell it: for the light that a PSF fit
#: misses, which is a per cent for what moves a fifth of it in an exposure.
_ZTF_FWHM_ARCSEC, _ZTF_SCALE_ARCSEC = 2.0, 1.01
_SECONDS_A_DAY = 86_400.0
#: Unknown names that are told one by one.
_NAMED = 10
_COLOURS = (("g", "r"), ("r", "i"), ("g", "i"))
#: ZTF's -999 and the like.
_NONE = -99.0
_UNCALIBRATED = {
    "field": "", "zero_point": math.nan, "zero_point_err": math.nan, "colour_term": math.nan,
    "colour_index": "",
}  # fmt: skip


def lightcurve(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of nights, alert packets (files, folders, archives), or tables with the "
            "columns jd (start), ra, dec, fid or band, magpsf or mag, ssnamenr."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Table; its suffix is the format.")
    ],
    orbits: OrbitFile = None,
    object_name: Annotated[
        list[str] | None,
        typer.Option("--object", help="Only this asteroid, in any spelling; repeat. Default: all."),
    ] = None,
    phase: Annotated[str, typer.Option(help="Phase function: HG, HG12, HG1G2.")] = "HG12",
    exposure: Annotated[
        float, typer.Option(min=0.0, help="Length of an exposure where it is not told, s.")
    ] = 30.0,
    error: Annotated[
        float, typer.Option(min=0.001, help="Error of a magnitude where it is not told.")
    ] = 0.03,
    max_sep: Annotated[
        float, typer.Option(min=0.1, help="Flag what is farther from its place, arcsec.")
    ] = 3.0,
    colour_gr: Annotated[
        float,
        typer.Option(help="g-r of the asteroids, for colour terms that exposures tell, mag."),
    ] = 0.55,
    colour_ri: Annotated[float, typer.Option(help="The same for r-i.")] = 0.17,
    observatory: Site = "I41",
    obscodes: SiteFile = None,
    ephemeris: EphemerisFile = None,
    two_body: TwoBody = False,
    as_json: Annotated[bool, typer.Option("--json", help="Figures of each asteroid.")] = False,
    quiet: Quiet = False,
) -> None:
    """Reduced magnitudes of known asteroids over nights: distances, phase function, colours."""
    import json

    from streaks.cli.known import _dynamics, _ephemeris, _read_orbits, _site
    from streaks.errors import InputError
    from streaks.lightcurves import LightCurveConfig
    from streaks.reporting import write_table

    config = LightCurveConfig(
        phase_model=phase, default_error_mag=error, max_sep_arcsec=max_sep, colour_gr=colour_gr,
        colour_ri=colour_ri,
    )  # fmt: skip
    measured, failures = measurements_of(sources, exposure_s=exposure)
    for failure in failures:
        typer.echo(f"cannot read {failure}", err=True)
    bodies = _ephemeris(ephemeris)
    catalogue = _read_orbits(orbits, quiet=quiet or as_json)
    table, fits, unknown = reduced_curves(
        measured, catalogue, _site(observatory, obscodes), _dynamics(bodies, two_body=two_body),
        config, wanted=object_name,
    )  # fmt: skip
    if len(table) == 0:
        raise InputError(
            f"none of {len(measured)} measurements is of an asteroid of the catalogue"
            + (f" called {', '.join(object_name)}" if object_name else "")
            + "; give sources with names (ssnamenr) and a catalogue that has them"
        )
    write_table(table, output)
    if as_json:
        typer.echo(json.dumps({"output": str(output), "objects": _summary(table, fits)}))
    elif not quiet:
        for line in _lines(table, fits):
            typer.echo(line)
        if unknown:
            more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
            typer.echo(f"not in the catalogue: {', '.join(unknown[:_NAMED])}{more}")
        for line in _calibration_lines(measured, table):
            typer.echo(line)
        typer.echo(f"{len(table)} measurements of {len(fits)} asteroids -> {output}")
    if failures:
        raise typer.Exit(1)


def measurements_of(
    sources: Sequence[Path], *, exposure_s: float = 30.0
) -> tuple[QTable, list[Any]]:
    """What nights, packets and tables say of named asteroids.

    Parameters
    ----------
    sources
        Folders of nights, packets, tables.
    exposure_s
        Where it is not told.

    Returns
    -------
    table : QTable
        `streaks.lightcurves.MEASUREMENT_COLUMNS` and `CALIBRATION_INPUTS`.
    failures : list
        What could not be read.
    """
    from astropy.table import vstack

    from streaks.lightcurves import CALIBRATION_INPUTS, MEASUREMENT_COLUMNS
    from streaks.night_folder import NightFolder
    from streaks.tables import build_table, empty_table

    columns = (*MEASUREMENT_COLUMNS, *CALIBRATION_INPUTS)
    parts = [empty_table(columns)]
    failures: list[Any] = []
    packets = []
    for source in sources:
        if source.is_dir() and NightFolder(source).streaks.is_file():
            rows: list[dict[str, Any]] = list(_of_night(source, exposure_s))
        elif source.suffix.lower() in _TABLES:
            rows = list(_of_table(source, exposure_s))
        else:
            packets.append(source)
            continue
        parts.append(_table(rows, columns, build_table))
    if packets:
        from streaks.readers.alerts import read_alerts

        alerts, failures = read_alerts(packets, stamps=False)
        rows = [_of_alert(alert, exposure_s) for alert in alerts if alert.ssnamenr]
        parts.append(_table(rows, columns, build_table))
    return vstack(parts, metadata_conflicts="silent"), failures


def _table(rows: list[dict[str, Any]], columns: Any, build: Any) -> QTable:
    return build(columns, {spec.name: [row[spec.name] for row in rows] for spec in columns})


def _of_night(folder: Path, exposure_s: float) -> Iterator[dict[str, Any]]:
    """The named streaks of a night: fluxes of whole trails, which lose nothing."""
    from astropy.time import Time

    from streaks.matching import NO_NAME
    from streaks.night_folder import read_night

    night = read_night(folder)
    told = _of_frames(night.frames)
    nothing = dict(zip(("band", *_UNCALIBRATED), ("", *_UNCALIBRATED.values()), strict=True))
    table = night.streaks
    for row in table:
        name = str(row["ssnamenr"]) if "ssnamenr" in table.colnames else ""
        if name in ("", NO_NAME) or not str(row["time"]):
            continue
        yield {
            "name": name,
            "jd": float(Time(str(row["time"]), scale="utc").jd),
            "mag": float(row["mag"].to_value("mag")),
            "mag_err": float(row["mag_err"].to_value("mag")),
            "ra": float(row["ra"].to_value("deg")),
            "dec": float(row["dec"].to_value("deg")),
            "exposure": exposure_s,
            "fwhm": math.nan,
            "source": str(row["streak_id"]),
            **told.get(str(row["image"]), nothing),
        }


def _of_frames(frames: QTable) -> dict[str, dict[str, Any]]:
    """Band and calibration of each image of a night."""
    from streaks.tables import bare_column, text_column

    names = (
        text_column(frames, name)
        for name in ("band", "field", "ccd", "quadrant", "colour_index", "image")
    )
    numbers = (
        bare_column(frames, name) for name in ("zero_point_mag", "zero_point_err", "colour_term")
    )
    return {
        str(image): {
            "band": str(band),
            "field": _chip(str(field), str(ccd), str(quadrant)),
            "zero_point": float(zero_point),
            "zero_point_err": float(error),
            "colour_term": float(term),
            "colour_index": _colour(str(index)),
        }
        for band, field, ccd, quadrant, index, image, zero_point, error, term in zip(
            *names, *numbers, strict=True
        )
    }


def _chip(field: str, *chip: str) -> str:
    """Field and chip in one name; empty without a field."""
    return " ".join((field, *filter(None, chip))) if field else ""


def _colour(index: str) -> str:
    """A colour as we spell it: ``g-r`` of ``g - r``."""
    return index.replace(" ", "").lower()


def _of_alert(alert: Any, exposure_s: float) -> dict[str, Any]:
    told = alert.exposure_s if math.isfinite(alert.exposure_s) else exposure_s
    return {
        "name": alert.ssnamenr,
        "jd": alert.mid_jd(told),
        "band": alert.band,
        "mag": alert.mag,
        "mag_err": alert.mag_err,
        "ra": alert.ra,
        "dec": alert.dec,
        "exposure": told,
        "fwhm": _alert_fwhm(alert),
        "source": alert.name,
        **_alert_calibration(alert),
    }


def _alert_calibration(alert: Any) -> dict[str, Any]:
    """What a packet of ZTF's tells; fluxes of other surveys are calibrated to the end."""
    if alert.survey != "ztf":
        return dict(_UNCALIBRATED)
    told = alert.candidate
    field, chip = told.get("field"), told.get("rcid")
    return {
        "field": _chip(str(field or ""), "" if chip is None else str(chip)),
        "zero_point": _told_number(told.get("magzpsci")),
        "zero_point_err": _told_number(told.get("magzpsciunc")),
        "colour_term": _told_number(told.get("clrcoeff")),
        "colour_index": "",
    }


def _told_number(value: Any) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool) and value > _NONE
    return float(value) if known else math.nan


def _alert_fwhm(alert: Any) -> float:
    if alert.survey != "ztf":
        return math.nan
    value = alert.candidate.get("fwhm")
    known = isinstance(value, int | float) and value > 0
    return _ZTF_SCALE_ARCSEC * float(value) if known else _ZTF_FWHM_ARCSEC


def _of_table(path: Path, exposure_s: float) -> Iterator[dict[str, Any]]:
    """ZTF's names of columns, or ours."""
    from streaks.errors import TableError
    from streaks.readers import read_table

    table = read_table(path)
    names = set(table.colnames)

    def first(*wanted: str) -> str | None:
        return next((name for name in wanted if name in names), None)

    name, mag = first("ssnamenr", "name"), first("magpsf", "mag")
    start, middle = first("jd"), first("mid_jd")
    if name is None or mag is None or (start is None and middle is None):
        raise TableError(
            f"{path} has the columns {', '.join(table.colnames)}; expected jd (start of the "
            "exposure) or mid_jd, magpsf or mag, and ssnamenr or name"
        )
    error, band = first("sigmapsf", "mag_err"), first("band", "filter", "fid")
    calibration = {
        "zero_point": first("magzpsci", "zero_point"),
        "zero_point_err": first("magzpsciunc", "zero_point_err"),
        "colour_term": first("clrcoeff", "colour_term"),
    }
    field = first("field")
    half = 0.5 * exposure_s / _SECONDS_A_DAY
    for i, row in enumerate(table):
        jd = _number(row, middle) if middle else _number(row, start) + half
        yield {
            "name": _plain_name(row[name]),
            "jd": jd,
            "band": _band(row[band]) if band else "",
            "mag": _number(row, mag),
            "mag_err": _number(row, error),
            "ra": _number(row, "ra" if "ra" in names else None),
            "dec": _number(row, "dec" if "dec" in names else None),
            "exposure": exposure_s,
            "fwhm": _ZTF_FWHM_ARCSEC if mag == "magpsf" else math.nan,
            "source": f"{path.name} row {i + 1}",
            **{key: _told_number(_number(row, column)) for key, column in calibration.items()},
            "field": _plain_name(row[field]) if field else "",
            "colour_index": _colour(str(row["colour_index"])) if "colour_index" in names else "",
        }


def _plain_name(value: Any) -> str:
    text = str(getattr(value, "value", value))
    # A column of numbers with gaps is read as floats.
    return text.removesuffix(".0")


def _number(row: Any, name: str | None) -> float:
    if name is None:
        return math.nan
    value = row[name]
    try:
        return float(getattr(value, "value", value))
    except (TypeError, ValueError):
        return math.nan


def _band(value: Any) -> str:
    text = str(getattr(value, "value", value))
    return _ZTF_BANDS.get(int(text), text) if text.isdigit() else text


def reduced_curves(
    measured: QTable,
    orbits: Orbits,
    site: Observatory,
    dynamics: Dynamics,
    config: Any,
    *,
    wanted: Sequence[str] | None = None,
) -> tuple[QTable, dict[str, PhaseFit], list[str]]:
    """Light curves of those measured asteroids that a catalogue knows.

    Parameters
    ----------
    measured
        `streaks.lightcurves.MEASUREMENT_COLUMNS`.
    orbits, site, dynamics
        As of `streaks.known.predict`.
    config
        A `streaks.lightcurves.LightCurveConfig`.
    wanted
        Only these, in any spelling.

    Returns
    -------
    table : QTable
        `streaks.lightcurves.LIGHTCURVE_COLUMNS`.
    fits : dict
        Phase function of each.
    unknown : list of str
        Names that the catalogue lacks.
    """
    import numpy as np

    from streaks.known import normalise_name
    from streaks.lightcurves import reduce_measurements

    spelled = {str(name): normalise_name(str(name)) for name in set(map(str, measured["name"]))}
    keys = np.array([spelled[str(name)] for name in measured["name"]], dtype="U64")
    asked = None if not wanted else {normalise_name(name) for name in wanted}
    known: dict[str, int] = {}
    unknown = []
    for key in sorted(set(keys.tolist()) - {""}):
        if asked is not None and key not in asked:
            continue
        found = orbits.find(key)
        if len(found):
            known[key] = int(found[0])
        else:
            unknown.append(key)
    rows = np.flatnonzero([key in known for key in keys])
    chosen = measured[rows]
    chosen["name"] = keys[rows] if len(rows) else np.zeros(0, "U1")
    places = places_of(chosen, orbits, known, site, dynamics)
    table, fits = reduce_measurements(chosen, places, config)
    return table, dict(fits), unknown


def places_of(
    measured: QTable, orbits: Orbits, rows: dict[str, int], site: Observatory, dynamics: Dynamics
) -> QTable:
    """Where each measured asteroid was: one prediction a row, in the order of the rows.

    Parameters
    ----------
    measured
        With ``name`` and ``jd``.
    orbits
        A catalogue.
    rows
        Of each name, its row there.
    site, dynamics
        As of `streaks.known.predict`.

    Returns
    -------
    QTable
        `streaks.known.PREDICTION_COLUMNS`.
    """
    import numpy as np
    from astropy.time import Time

    from streaks.known import predict_epochs

    time = Time(np.atleast_1d(measured["jd"].to_value("d")), format="jd", scale="utc")
    which = np.array([rows[str(name)] for name in measured["name"]], dtype=np.int64)
    return predict_epochs(orbits, which, time, site, dynamics=dynamics)


def _calibration_lines(measured: QTable, table: QTable) -> Iterator[str]:
    """What was done to magnitudes, and what is doubtful about them."""
    import numpy as np

    without = int(np.isnan(measured["mag"].to_value("mag")).sum())
    if without:
        yield (
            f"{without} measurements have no magnitude and are left out (no zero point in their "
            "exposures, or no positive flux); give streaks detect or night --zero-point"
        )
    corrected = np.isfinite(table["colour"].to_value("mag"))
    if corrected.any():
        used = sorted(
            {
                f"{index} {colour:.2f}"
                for index, colour in zip(
                    table["colour_index"][corrected],
                    table["colour"].to_value("mag")[corrected],
                    strict=True,
                )
            }
        )
        most = float(np.abs(table["colour_corr"].to_value("mag")).max())
        yield (
            f"colour terms of {int(corrected.sum())} of {len(table)} exposures, for "
            f"{', '.join(used)}: up to {most:.3f} mag"
        )
    flagged = int(np.asarray(table["zero_point_flag"]).sum())
    if flagged:
        yield (
            f"{flagged} measurements have a zero point far from the median of their field and "
            "filter (zero_point_flag): clouds, perhaps"
        )


def _summary(table: QTable, fits: dict[str, PhaseFit]) -> list[dict[str, Any]]:
    import numpy as np

    names = np.asarray(table["name"]).astype(str)
    told = []
    for name, fit in fits.items():
        own = names == name
        colours = {}
        for blue, red in _COLOURS:
            colour, colour_err = fit.colour(blue, red)
            if math.isfinite(colour):
                colours[f"{blue}-{red}"] = [round(colour, 4), round(colour_err, 4)]
        told.append({
            "name": name,
            "measurements": int(own.sum()),
            "outliers": int(np.asarray(table["outlier"])[own].sum()),
            "apparitions": len(set(np.asarray(table["apparition"])[own].tolist())),
            "colour_corrected": int(np.isfinite(table["colour"].to_value("mag")[own]).sum()),
            "zero_point_flags": int(np.asarray(table["zero_point_flag"])[own].sum()),
            "phase_function": fit.model,
            "H": {b: round(float(h), 4) for b, h in zip(fit.bands, fit.h_mag, strict=True)},
            "slopes": {k: round(v, 4) for k, v in fit.slopes.items()},
            "colours": colours,
        })  # fmt: skip
    return told


def _lines(table: QTable, fits: dict[str, PhaseFit]) -> Iterator[str]:
    for one in _summary(table, fits):
        h = ", ".join(f"H_{band or 'unknown'} {value:.2f}" for band, value in one["H"].items())
        slopes = ", ".join(f"{key} {value:.2f}" for key, value in one["slopes"].items())
        colours = ", ".join(f"{key} {v:.3f} +- {e:.3f}" for key, (v, e) in one["colours"].items())
        yield (
            f"{one['name']}: {one['measurements']} measurements, {one['apparitions']} apparitions, "
            f"{one['outliers']} outliers; {h}; {slopes}" + (f"; {colours}" if colours else "")
        )
