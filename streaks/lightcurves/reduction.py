"""From measurements of an asteroid over years to its reduced light curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.errors import ConfigError, TableError
from streaks.lightcurves.calibration import (
    CALIBRATION_COLUMNS,
    COLOURS,
    colour_of_band,
    zero_point_offsets,
)
from streaks.lightcurves.geometry import LIGHT_AU_PER_DAY, apparitions, viewing
from streaks.lightcurves.phase import PHASE_MODELS, PhaseFit, fit_phase
from streaks.lightcurves.series import Series, robust_spread
from streaks.lightcurves.trailing import psf_loss_mag
from streaks.tables import ColumnSpec, bare_column, build_table, check_table, text_column

__all__ = [
    "LIGHTCURVE_COLUMNS",
    "MEASUREMENT_COLUMNS",
    "LightCurveConfig",
    "reduce_measurements",
    "series_of",
]

Floats = NDArray[np.float64]

#: No asteroid is redder, mag: a slip of the point is told.
_REDDEST_MAG = 3.0
#: What comes in: one row a measurement.
MEASUREMENT_COLUMNS = (
    ColumnSpec("name", str, None, "of the asteroid"),
    ColumnSpec("jd", float, "d", "middle of the exposure, UTC"),
    ColumnSpec("band", str, None, "filter"),
    ColumnSpec("mag", float, "mag", "apparent"),
    ColumnSpec("mag_err", float, "mag", "NaN where unknown"),
    ColumnSpec("ra", float, "deg", "measured, ICRS; NaN where unknown"),
    ColumnSpec("dec", float, "deg", "measured"),
    ColumnSpec("exposure", float, "s", "NaN where unknown"),
    ColumnSpec("fwhm", float, "arcsec", "of the PSF that was fitted; NaN for a whole trail"),
    ColumnSpec("source", str, None, "where the measurement is from"),
)
#: What goes out.
LIGHTCURVE_COLUMNS = (
    ColumnSpec("name", str, None, "of the asteroid"),
    ColumnSpec("time", str, None, "middle of the exposure, UTC"),
    ColumnSpec("jd", float, "d", "when the light left the asteroid, UTC"),
    ColumnSpec("band", str, None, "filter"),
    ColumnSpec("mag", float, "mag", "apparent, as measured"),
    ColumnSpec("mag_err", float, "mag", "its error; that of the settings where it was unknown"),
    ColumnSpec("r", float, "AU", "distance from the Sun"),
    ColumnSpec("delta", float, "AU", "distance from the observer"),
    ColumnSpec("phase", float, "deg", "angle between Sun and observer"),
    ColumnSpec("bisector", float, "deg", "ecliptic longitude of the phase-angle bisector"),
    ColumnSpec("apparition", int, None, "which apparition, from 0"),
    ColumnSpec("loss", float, "mag", "light that a PSF fit missed of the trail; taken off"),
    ColumnSpec("reduced", float, "mag", "at 1 au from Sun and observer"),
    ColumnSpec("residual", float, "mag", "less absolute magnitude and phase function"),
    ColumnSpec("sep", float, "arcsec", "from the predicted place; NaN where not measured"),
    ColumnSpec("outlier", int, None, "1 where it is not to be trusted"),
    ColumnSpec("source", str, None, "where the measurement is from"),
)


@dataclass(frozen=True)
class LightCurveConfig:
    """How measurements are reduced.

    Parameters
    ----------
    phase_model
        Of `PHASE_MODELS`.
    default_error_mag
        Where a measurement has no error.
    max_sep_arcsec
        Farther from its predicted place a measurement is of something else.
    outlier_sigma
        Residuals beyond this, in robust sigmas of the asteroid (rotation included), are flagged.
    colour_gr, colour_ri
        Colours of the asteroids, for the colour terms of exposures that tell theirs, mag.
    max_zero_point_offset_mag
        Zero points farther than this from the median of their field and filter are flagged.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    phase_model: str = "HG12"
    default_error_mag: float = 0.03
    max_sep_arcsec: float = 3.0
    outlier_sigma: float = 5.0
    colour_gr: float = COLOURS["g-r"]
    colour_ri: float = COLOURS["r-i"]
    # Airmass 1 to 2 is 0.15 to 0.2 mag in g and r.
    max_zero_point_offset_mag: float = 0.3

    def __post_init__(self) -> None:
        if self.phase_model not in PHASE_MODELS:
            raise ConfigError(
                f"phase function {self.phase_model!r}; expected one of {', '.join(PHASE_MODELS)}"
            )
        for name in (
            "default_error_mag", "max_sep_arcsec", "outlier_sigma", "max_zero_point_offset_mag",
        ):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("colour_gr", "colour_ri"):
            if not abs(getattr(self, name)) <= _REDDEST_MAG:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; expected a colour between "
                    f"-{_REDDEST_MAG:g} and {_REDDEST_MAG:g} mag"
                )


def reduce_measurements(
    measured: QTable, places: QTable, config: LightCurveConfig | None = None
) -> tuple[QTable, Mapping[str, PhaseFit]]:
    """Reduced magnitudes of one or more asteroids.

    Parameters
    ----------
    measured
        `MEASUREMENT_COLUMNS`, n rows; with those of `CALIBRATION_INPUTS` where they are known.
    places
        n rows of predictions, in the same order: ``ra, dec, rate, r, delta, phase`` with units.
    config
        Phase function and limits.

    Returns
    -------
    table : QTable
        `LIGHTCURVE_COLUMNS` and `CALIBRATION_COLUMNS`, by name and time; rows without magnitude or
        prediction are left out.
    fits : mapping
        Phase function of each asteroid, by name.

    Raises
    ------
    TableError
        If columns are missing, or there are not as many predictions as measurements.
    """
    config = config or LightCurveConfig()
    check_table(measured, MEASUREMENT_COLUMNS)
    if len(places) != len(measured):
        raise TableError(
            f"{len(places)} predictions for {len(measured)} measurements; there must be one each"
        )
    values = _reduced(measured, places, config)
    good = np.isfinite(values["reduced"])
    values = {key: np.asarray(column)[good] for key, column in values.items()}
    fits: dict[str, PhaseFit] = {}
    n = int(good.sum())
    values["residual"] = np.full(n, np.nan)
    values["apparition"] = np.zeros(n, np.int64)
    values["outlier"] = np.zeros(n, np.int64)
    for name in np.unique(values["name"]) if n else ():
        own = np.flatnonzero(values["name"] == name)
        fits[str(name)] = _finish(values, own, config)
    order = np.lexsort((values["jd"], values["name"])) if n else np.zeros(0, np.int64)
    columns = (*LIGHTCURVE_COLUMNS, *CALIBRATION_COLUMNS)
    return build_table(columns, {k: v[order] for k, v in values.items()}), fits


def _reduced(measured: QTable, places: QTable, config: LightCurveConfig) -> dict[str, NDArray[Any]]:
    """All columns that follow from one row alone."""
    jd = measured["jd"].to_value("d")
    r, delta, phase = (
        places[name].to_value(unit)
        for name, unit in (("r", "AU"), ("delta", "AU"), ("phase", "deg"))
    )
    ra, dec = places["ra"].to_value("deg"), places["dec"].to_value("deg")
    error = measured["mag_err"].to_value("mag")
    trail = places["rate"].to_value("arcsec / s") * measured["exposure"].to_value("s")
    loss = psf_loss_mag(trail, measured["fwhm"].to_value("arcsec"))
    mag = measured["mag"].to_value("mag")
    told = _calibration(measured, config)
    with np.errstate(invalid="ignore", divide="ignore"):
        reduced = mag + told["colour_corr"] - loss - 5.0 * np.log10(r * delta)
    return {
        "name": np.asarray(measured["name"]).astype(str),
        "time": _isot(jd),
        "jd": jd - delta / LIGHT_AU_PER_DAY,
        "band": np.asarray(measured["band"]).astype(str),
        "mag": mag,
        "mag_err": np.where(error > 0, error, config.default_error_mag),
        "r": r, "delta": delta, "phase": phase,
        "bisector": viewing(ra, dec, delta, jd).bisector_deg,
        "loss": loss,
        "reduced": reduced,
        "sep": _separation_arcsec(
            measured["ra"].to_value("deg"), measured["dec"].to_value("deg"), ra, dec
        ),
        "source": np.asarray(measured["source"]).astype(str),
        **told,
    }  # fmt: skip


def _calibration(measured: QTable, config: LightCurveConfig) -> dict[str, NDArray[Any]]:
    """`CALIBRATION_COLUMNS` of each row; no term where none is told, or its colour is unknown."""
    band = np.asarray(measured["band"]).astype(str)
    index = text_column(measured, "colour_index")
    index = np.array([i or colour_of_band(b) for i, b in zip(index, band, strict=True)], dtype="U8")
    colours = {"g-r": config.colour_gr, "r-i": config.colour_ri}
    colour = np.array([colours.get(str(i), np.nan) for i in index], dtype=float)
    term = bare_column(measured, "colour_term")
    corrected = np.isfinite(term * colour)
    zero_point = bare_column(measured, "zero_point")
    field = text_column(measured, "field")
    group = np.array([f"{f} {b}" if f else "" for f, b in zip(field, band, strict=True)], dtype=str)
    offset = zero_point_offsets(zero_point, group, measured["jd"].to_value("d"))
    return {
        "colour_index": np.where(corrected, index, ""),
        "colour": np.where(corrected, colour, np.nan),
        "colour_term": term,
        "colour_corr": np.where(corrected, term * colour, 0.0),
        "zero_point": zero_point,
        "zero_point_err": bare_column(measured, "zero_point_err"),
        "zero_point_offset": offset,
        "zero_point_flag": (np.abs(offset) > config.max_zero_point_offset_mag).astype(np.int64),
    }


def _separation_arcsec(ra: Floats, dec: Floats, other_ra: Floats, other_dec: Floats) -> Floats:
    import erfa

    places = (np.radians(value) for value in (ra, dec, other_ra, other_dec))
    return np.asarray(np.degrees(erfa.seps(*places)) * 3600.0)


def _isot(jd: Floats) -> NDArray[np.str_]:
    if len(jd) == 0:
        return np.zeros(0, "U1")
    return np.asarray(Time(jd, format="jd", scale="utc").isot).astype(str)


def _finish(
    values: dict[str, NDArray[Any]], own: NDArray[np.intp], config: LightCurveConfig
) -> PhaseFit:
    """Apparitions, phase function, residuals and outliers of one asteroid."""
    jd, reduced, error, phase, band, sep = (
        values[key][own] for key in ("jd", "reduced", "mag_err", "phase", "band", "sep")
    )
    values["apparition"][own] = apparitions(jd)
    # A place that is not known speaks for nothing and against nothing.
    misplaced = sep > config.max_sep_arcsec
    used = ~misplaced if (~misplaced).any() else np.ones(len(own), bool)
    apparition = values["apparition"][own]
    fit = fit_phase(
        reduced[used], error[used], phase[used], band[used], config.phase_model, apparition[used]
    )
    residual = reduced - fit.magnitude(phase, band)
    # What all of an apparition have in common is its aspect, no outlier.
    level = np.zeros(len(own))
    for number in np.unique(apparition):
        same = apparition == number
        if (same & used).any():
            level[same] = np.median(residual[same & used])
    spread = max(robust_spread((residual - level)[used]), 1e-6)
    far = np.abs(residual - level) > config.outlier_sigma * np.hypot(spread, error)
    values["residual"][own] = residual
    values["outlier"][own] = misplaced | far | ~np.isfinite(residual)
    return fit


def series_of(table: QTable, name: str, *, with_outliers: bool = False) -> Series:
    """One asteroid of a light-curve table, for `find_period`.

    Parameters
    ----------
    table
        `LIGHTCURVE_COLUMNS`.
    name
        Of the asteroid.
    with_outliers
        Take flagged rows too.

    Returns
    -------
    Series
        Magnitudes are the residuals from the phase function; empty where there is no such row.
    """
    check_table(table, LIGHTCURVE_COLUMNS)
    own = np.asarray(table["name"]).astype(str) == name
    if not with_outliers:
        own &= np.asarray(table["outlier"]) == 0
    rows = table[own]
    bands = np.asarray(rows["band"]).astype(str)
    names = sorted(set(bands.tolist()))
    bisector = rows["bisector"].to_value("deg")
    return Series(
        name=name,
        days=rows["jd"].to_value("d"),
        mag=rows["residual"].to_value("mag"),
        error=rows["mag_err"].to_value("mag"),
        phase_deg=rows["phase"].to_value("deg"),
        bisector_deg=np.where(np.isfinite(bisector), bisector, 0.0),
        band=np.array([names.index(b) for b in bands], dtype=np.int64),
        apparition=np.asarray(rows["apparition"], dtype=np.int64),
    )
