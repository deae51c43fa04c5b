"""Phase functions: how an asteroid fades as the angle between Sun and observer grows.

The functions are sbpy's. Absolute magnitudes of all bands and one slope are fitted together, with
outliers losing their weight.

References
----------
Bowell et al. 1989, in Asteroids II, 524 (H, G); Muinonen et al. 2010, Icarus 209, 542 (H, G1, G2
and H, G12).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.errors import ConfigError, TableError
from streaks.sbpy_import import import_sbpy

__all__ = ["PHASE_MODELS", "PhaseFit", "fit_phase", "phase_magnitude"]

Floats = NDArray[np.float64]

#: Slope parameters of each model: start, least, most.
PHASE_MODELS: Mapping[str, tuple[tuple[str, float, float, float], ...]] = {
    "HG": (("G", 0.15, -0.2, 0.7),),
    "HG12": (("G12", 0.5, -0.1, 1.0),),
    "HG1G2": (("G1", 0.4, 0.0, 1.0), ("G2", 0.25, 0.0, 1.0)),
}
#: Angles below which a slope can be told, and how far they must spread, deg.
_LEAST_SPREAD_DEG = 3.0
#: Scale of the residuals beyond which the fit listens less, mag.
_SOFT_MAG = 0.1
#: By how much the level of apparitions differs, mag: the aspect of an elongated body changes.
_LEVEL_MAG = 0.15


@dataclass(frozen=True, eq=False)
class PhaseFit:
    """Absolute magnitudes and slope of one asteroid.

    Parameters
    ----------
    model
        Of `PHASE_MODELS`.
    bands
        Names of the filters, sorted.
    h_mag, h_err_mag
        Of each band. The errors are those of scatter, rotation included.
    slopes, slope_errs
        By the parameter's name; errors are NaN where the slope was kept.
    covariance : (n_bands, n_bands)
        Of `h_mag`.
    """

    model: str
    bands: tuple[str, ...]
    h_mag: Floats
    h_err_mag: Floats
    slopes: Mapping[str, float]
    slope_errs: Mapping[str, float]
    covariance: Floats

    def colour(self, blue: str, red: str) -> tuple[float, float]:
        """Difference of two bands, and its error, mag.

        Parameters
        ----------
        blue, red
            Names of filters.

        Returns
        -------
        colour, error
            NaN where one of them was not measured.
        """
        if blue not in self.bands or red not in self.bands:
            return float("nan"), float("nan")
        i, j = self.bands.index(blue), self.bands.index(red)
        # The bands share slope and levels: their errors are far from independent.
        c = self.covariance
        error = float(np.sqrt(max(c[i, i] + c[j, j] - 2.0 * c[i, j], 0.0)))
        return float(self.h_mag[i] - self.h_mag[j]), error

    def magnitude(self, phase_deg: Floats, band: Sequence[str] | NDArray[np.str_]) -> Floats:
        """Reduced magnitude that is expected.

        Parameters
        ----------
        phase_deg, band : (n,)

        Returns
        -------
        (n,)
        """
        known = dict(zip(self.bands, self.h_mag, strict=True))
        h = np.array([known.get(str(name), np.nan) for name in band])
        return h + phase_magnitude(self.model, phase_deg, tuple(self.slopes.values()))


def phase_magnitude(model: str, phase_deg: Floats, slopes: Sequence[float] | Floats) -> Floats:
    """Magnitude at an angle less that at angle 0.

    Parameters
    ----------
    model
        Of `PHASE_MODELS`.
    phase_deg : (n,)
    slopes
        Its slope parameters.

    Returns
    -------
    (n,)

    Raises
    ------
    ConfigError
        For an unknown model.
    """
    if model not in PHASE_MODELS:
        raise ConfigError(f"phase function {model!r}; expected one of {', '.join(PHASE_MODELS)}")
    import warnings

    function = getattr(import_sbpy("photometry"), model)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # sbpy warns of slopes outside the range of its authors' data; the fit is held within.
        warnings.simplefilter("ignore")
        found = function.evaluate(np.radians(np.asarray(phase_deg, float)), 0.0, *slopes)
    return np.asarray(found, dtype=float)


def fit_phase(
    reduced_mag: Floats,
    error_mag: Floats,
    phase_deg: Floats,
    band: NDArray[np.str_],
    model: str,
    apparition: NDArray[np.int64] | None = None,
) -> PhaseFit:
    """Absolute magnitudes of all bands and one slope.

    Where the angles spread by less than 3 deg the slope stays at what is usual. An asteroid that
    shows its pole in one apparition and its equator in another is not equally bright in both: each
    apparition has a level of its own, which is drawn to 0, so that colours are those of one side.

    Parameters
    ----------
    reduced_mag, error_mag, phase_deg : (n,)
        At 1 au from Sun and observer; error; angle between them.
    band : (n,) str
    model
        Of `PHASE_MODELS`.
    apparition : (n,) int or None
        Of each measurement; None for one.

    Returns
    -------
    PhaseFit

    Raises
    ------
    ConfigError
        For an unknown model.
    TableError
        If there is no measurement.
    """
    from scipy.optimize import least_squares

    if model not in PHASE_MODELS:
        raise ConfigError(f"phase function {model!r}; expected one of {', '.join(PHASE_MODELS)}")
    if len(reduced_mag) == 0:
        raise TableError("no measurement to fit a phase function to")
    given = PHASE_MODELS[model]
    names = tuple(sorted(set(np.asarray(band).astype(str).tolist())))
    member = np.array([names.index(str(b)) for b in band])
    start_slopes = [start for _, start, _, _ in given]
    rest = reduced_mag - phase_magnitude(model, phase_deg, start_slopes)
    levels = [float(np.median(rest[member == k])) for k in range(len(names))]
    free = float(np.ptp(phase_deg)) >= _LEAST_SPREAD_DEG and len(reduced_mag) > len(names) + len(
        given
    )
    levels_of = np.unique(np.zeros(len(band), int) if apparition is None else apparition,
                          return_inverse=True)[1]  # fmt: skip
    n_levels = int(levels_of.max()) + 1 if len(levels_of) and levels_of.max() > 0 else 0
    n = len(names)
    # Errors differ little beside rotation, which is in all of them.
    weight = 1.0 / np.hypot(error_mag, _SOFT_MAG)

    def residual(p: Floats) -> Floats:
        slopes = p[n + n_levels :] if free else start_slopes
        expected = p[member] + phase_magnitude(model, phase_deg, slopes)
        if n_levels:
            expected = expected + p[n : n + n_levels][levels_of]
        return np.append((reduced_mag - expected) * weight, p[n : n + n_levels] / _LEVEL_MAG)

    unbounded = [np.inf] * (n + n_levels)
    low = [-v for v in unbounded] + ([least for _, _, least, _ in given] if free else [])
    high = unbounded + ([most for _, _, _, most in given] if free else [])
    start = np.array(levels + [0.0] * n_levels + (start_slopes if free else []))
    fit = least_squares(residual, start, bounds=(low, high), loss="soft_l1")
    spare = max(len(reduced_mag) - len(start), 1)
    scale = float((fit.fun**2).sum()) / spare
    jacobian = np.asarray(fit.jac, dtype=float)
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * scale
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    slopes = fit.x[n + n_levels :] if free else np.array(start_slopes)
    slope_errs = errors[n + n_levels :] if free else np.full(len(given), np.nan)
    keys = [name for name, *_ in given]
    return PhaseFit(
        model, names, fit.x[:n], errors[:n],
        dict(zip(keys, map(float, slopes), strict=True)),
        dict(zip(keys, map(float, slope_errs), strict=True)),
        covariance[:n, :n],
    )  # fmt: skip
