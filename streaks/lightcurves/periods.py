"""Rotation periods: Fourier series with bands, apparitions and phase slope in one linear fit.

At each trial frequency of ROTATION a series of four harmonics is fitted together with the colour
between bands, the level of each apparition and the slope with phase angle. As the asteroid goes
round the Sun it shows other sides: that turns the light curve by the longitude of the phase-angle
bisector, forward or backward as it spins with or against its orbit. Both are tried.

A light curve of period P is also one of period 2 P, and nearly one of P / 2: which of them is the
rotation follows from a prior. Asteroids are elongated: two maxima a turn.

References
----------
Waszczak et al. 2015, AJ 150, 75 (Fourier fits with phase function for survey photometry);
Harris et al. 2014, Icarus 235, 55 (amplitudes of harmonics: above 0.2 mag two maxima a turn).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from streaks.errors import ConfigError, TableError
from streaks.lightcurves._kernels import scan
from streaks.lightcurves.series import Series, nuisance_columns, orthonormal, robust_spread

__all__ = ["Candidate", "PeriodConfig", "PeriodFit", "alias_name", "find_period"]

Floats = NDArray[np.float64]

_HOURS = 24.0
#: Light curves flatter than this, peak to peak, may have any number of maxima, mag.
_FLAT_MAG = 0.1
#: Peaks looked at closely.
_PEAKS = 40
#: Fewer epochs beyond the parameters fit anything.
_LEAST_SPARE = 12
#: The spins: with the orbit, against it.
_SPINS = (1, -1)


@dataclass(frozen=True)
class PeriodConfig:
    """How periods are looked for.

    Parameters
    ----------
    shortest_h, longest_h
        Of rotation. Below 2.2 h a pile of rubble flies apart (Pravec & Harris 2000).
    n_harmonics
        Of the rotation.
    oversampling
        Frequencies a resolution element, ``1 / baseline``.
    jitter_mag
        Added to the errors in quadrature: shapes are no sums of four harmonics.
    one_maximum, many_maxima
        Prior: logarithms of the odds of a light curve of one maximum a turn, and of three or
        more, against two.
    outlier_sigma
        Residuals beyond this are left out of the fit, and flagged.
    permutations
        For the false-alarm probability; 0 for none.
    seed
        Of the permutations.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    shortest_h: float = 2.0
    longest_h: float = 200.0
    n_harmonics: int = 4
    oversampling: float = 10.0
    jitter_mag: float = 0.02
    one_maximum: float = -6.0
    many_maxima: float = -6.0
    outlier_sigma: float = 4.0
    permutations: int = 20
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.shortest_h < self.longest_h:
            raise ConfigError(
                f"periods from {self.shortest_h} to {self.longest_h} h; expected 0 < shortest < "
                "longest"
            )
        if not 2 <= self.n_harmonics <= 8:
            raise ConfigError(f"{self.n_harmonics} harmonics; expected 2 to 8")
        if not (self.oversampling >= 2 and self.jitter_mag >= 0 and self.outlier_sigma > 1):
            raise ConfigError(
                f"oversampling {self.oversampling} (2 or more), jitter {self.jitter_mag} mag (0 or "
                f"more), outliers beyond {self.outlier_sigma} sigma (above 1): one is out of range"
            )
        if self.permutations < 0:
            raise ConfigError(f"{self.permutations} permutations; expected 0 or more")


@dataclass(frozen=True)
class Candidate:
    """One period that the data allow.

    Parameters
    ----------
    period_h
        Of rotation.
    log_likelihood
        Over that of no rotation, prior included.
    spin
        1 with the orbit, -1 against it; which of them fits better means little by itself.
    amplitudes_mag
        Half amplitudes of the harmonics.
    alias
        What it is to the best one; empty where it is nothing known.
    fit
        The same without the prior.
    """

    period_h: float
    log_likelihood: float
    spin: int
    amplitudes_mag: tuple[float, ...]
    alias: str = ""
    fit: float = math.nan


@dataclass(frozen=True, eq=False)
class PeriodFit:
    """What was found of one asteroid.

    Parameters
    ----------
    name
        Of the asteroid.
    n_epochs
        That were fitted.
    candidates
        The best first; one that is an alias of it says so.
    period_err_h
        Where chi-square has risen by as much as one, scaled by the residuals.
    amplitude_mag
        Peak to peak of the fit.
    scatter_mag
        Robust scatter of what the fit leaves.
    raw_scatter_mag
        The same without rotation.
    contrast
        Logarithm of likelihoods: the best against the best that is no alias of it.
    false_alarm
        Probability that data without period reach such a peak; NaN where not asked for.
    outliers : (n,) bool
        Of all epochs that were given.
    turn, corrected_mag, error_mag : (m,)
        Of the epochs fitted: phase of rotation (0 to 1), magnitude less level, colour, apparition
        and slope, and its error.
    model_turn, model_mag : (200,)
        The fit, over one turn.
    band : (m,) int
        Of the epochs fitted.
    power : (2, k)
        Frequency of rotation (turns a day) and log-likelihood, thinned for a picture.
    """

    name: str
    n_epochs: int
    candidates: tuple[Candidate, ...]
    period_err_h: float
    amplitude_mag: float
    scatter_mag: float
    raw_scatter_mag: float
    contrast: float
    false_alarm: float
    outliers: NDArray[np.bool_]
    turn: Floats
    corrected_mag: Floats
    error_mag: Floats
    model_turn: Floats
    model_mag: Floats
    band: NDArray[np.int64]
    power: Floats = field(repr=False, default_factory=lambda: np.zeros((2, 0)))

    @property
    def period_h(self) -> float:
        return self.candidates[0].period_h


@dataclass(frozen=True, eq=False)
class _Problem:
    """A series made ready: weighted, and cleared of what is fitted besides."""

    series: Series
    days: Floats
    weight: Floats
    basis: Floats
    y: Floats
    chi2: float
    spare: int


def find_period(series: Series, config: PeriodConfig | None = None) -> PeriodFit:
    """The period of rotation that explains a light curve best, and what else may be.

    Parameters
    ----------
    series
        At least `2 * n_harmonics` and some 20 more epochs.
    config
        Limits and prior.

    Returns
    -------
    PeriodFit

    Raises
    ------
    TableError
        If there are too few epochs.
    """
    config = config or PeriodConfig()
    _prepare(series, config)  # refuses what is too short by the number that the user knows
    kept = np.abs(_cleared(series, config)) < config.outlier_sigma + 1.0
    problem = _prepare(series.chosen(kept), config)
    first, step, n = _grid(problem, config)
    falls = [
        _scan(problem, spin, problem.y[:, None], first, step, n, config)[:, 0] for spin in _SPINS
    ]
    peaks = [
        (spin, first + at * step)
        for spin, fall in zip(_SPINS, falls, strict=True)
        for at in _highest(fall, _PEAKS, int(config.oversampling))
    ]
    candidates = _candidates(problem, peaks, step, config)
    # Outliers are those of the best period; without them the same peaks are weighed again.
    kept = _without_outliers(series, candidates[0], config)
    problem = _prepare(series.chosen(kept), config)
    candidates = _candidates(problem, peaks, step, config)
    best = candidates[0]
    alarm = _false_alarm(problem, best, first, step, n, config)
    return _result(series, kept, problem, candidates, best, alarm, falls, first, step, config)


def _cleared(series: Series, config: PeriodConfig) -> Floats:
    """Residuals without rotation, in robust sigmas; the fit is one of least absolute values."""
    columns = nuisance_columns(series)
    weight = 1.0 / np.hypot(series.error, config.jitter_mag)
    scale = np.ones(len(series))
    residual = series.mag
    for _ in range(20):
        w = weight * scale
        parameters = np.linalg.lstsq(columns * w[:, None], series.mag * w, rcond=None)[0]
        residual = series.mag - columns @ parameters
        spread = max(robust_spread(residual), 1e-6)
        scale = 1.0 / np.sqrt(1.0 + (residual / (2.0 * spread)) ** 2)
    return np.asarray(residual / max(robust_spread(residual), 1e-6))


def _prepare(series: Series, config: PeriodConfig) -> _Problem:
    weight = 1.0 / np.hypot(series.error, config.jitter_mag)
    basis = orthonormal(nuisance_columns(series), weight)
    spare = len(series) - basis.shape[1] - 2 * config.n_harmonics
    if spare < _LEAST_SPARE:
        raise TableError(
            f"{series.name} has {len(series)} epochs; a period needs "
            f"{len(series) - spare + _LEAST_SPARE} or more for {config.n_harmonics} harmonics"
        )
    y = (series.mag - np.average(series.mag, weights=weight**2)) * weight
    y = y - basis @ (basis.T @ y)
    days = series.days - series.days.mean()
    return _Problem(series, days, weight, basis, y, float(y @ y), spare)


def _grid(problem: _Problem, config: PeriodConfig) -> tuple[float, float, int]:
    baseline = max(float(np.ptp(problem.days)), 1.0)
    step = 1.0 / (config.oversampling * baseline)
    first, last = _HOURS / config.longest_h, _HOURS / config.shortest_h
    return first, step, math.ceil((last - first) / step) + 1


def _scan(
    problem: _Problem, spin: int, y: Floats, first: float, step: float, n: int,
    config: PeriodConfig,
) -> Floats:  # fmt: skip
    offset = -spin * np.radians(problem.series.bisector_deg)
    return np.asarray(
        scan(problem.days, offset, problem.weight, problem.basis, np.ascontiguousarray(y),
             first, step, n, config.n_harmonics)
    )  # fmt: skip


def _likelihood(problem: _Problem, fall: Floats | float) -> Floats:
    """Logarithm of the likelihood ratio where the scale of the errors is free."""
    left = np.maximum(1.0 - np.asarray(fall) / problem.chi2, 1e-9)
    return np.asarray(-0.5 * problem.spare * np.log(left))


def _candidates(
    problem: _Problem, peaks: list[tuple[int, float]], step: float, config: PeriodConfig
) -> tuple[Candidate, ...]:
    """Peaks of both spins with the prior's word, the best first, one a resolved frequency."""
    found = [_refined(problem, spin, rate, step, config) for spin, rate in peaks]
    found.sort(key=lambda candidate: -candidate.log_likelihood)
    kept: list[Candidate] = []
    near = 1.5 * step * config.oversampling
    for candidate in found:
        rate = _HOURS / candidate.period_h
        if all(abs(rate - _HOURS / other.period_h) > near for other in kept):
            name = alias_name(candidate.period_h, kept[0].period_h, near) if kept else ""
            kept.append(replace(candidate, alias=name))
    return tuple(kept)


def _highest(fall: Floats, n: int, apart: int) -> list[int]:
    """Places of the highest values that lie apart from each other."""
    inner = (fall[1:-1] >= fall[:-2]) & (fall[1:-1] > fall[2:])
    places = np.flatnonzero(inner) + 1
    places = places[np.argsort(-fall[places])]
    chosen: list[int] = []
    for place in places.tolist():
        if all(abs(place - other) > apart for other in chosen):
            chosen.append(place)
            if len(chosen) == n:
                break
    return chosen


def _refined(
    problem: _Problem, spin: int, rate: float, step: float, config: PeriodConfig
) -> Candidate:
    """The top of a peak, by a finer grid, and the prior."""
    fine = step / 10.0
    fall = _scan(problem, spin, problem.y[:, None], rate - 10 * fine, fine, 21, config)[:, 0]
    best = rate + (int(fall.argmax()) - 10) * fine
    amplitudes, curve = _amplitudes(problem, spin, best, config)
    fit = float(_likelihood(problem, fall.max()))
    return Candidate(
        _HOURS / best, fit + _prior(curve, config), spin, tuple(amplitudes.tolist()), fit=fit
    )


def _columns(turn_rad: Floats, n_harmonics: int) -> Floats:
    angle = turn_rad[:, None] * np.arange(1, n_harmonics + 1)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def _turn(series: Series, spin: int, rate: float, middle: float) -> Floats:
    days = series.days - middle
    return np.asarray(2.0 * math.pi * rate * days - spin * np.radians(series.bisector_deg))


def _fit(problem: _Problem, spin: int, rate: float, config: PeriodConfig) -> Floats:
    """Coefficients of cosines, then of sines."""
    turn = _turn(problem.series, spin, rate, float(problem.series.days.mean()))
    columns = _columns(turn, config.n_harmonics) * problem.weight[:, None]
    columns = columns - problem.basis @ (problem.basis.T @ columns)
    return np.asarray(np.linalg.lstsq(columns, problem.y, rcond=1e-6)[0])


def _amplitudes(
    problem: _Problem, spin: int, rate: float, config: PeriodConfig
) -> tuple[Floats, Floats]:
    """Half amplitudes of the harmonics, and the fit over one turn, mag."""
    parameters = _fit(problem, spin, rate, config)
    cosines, sines = np.split(parameters, 2)
    turn = np.linspace(0.0, 2.0 * math.pi, 200, endpoint=False)
    return np.hypot(cosines, sines), _columns(turn, config.n_harmonics) @ parameters


def _prior(curve: Floats, config: PeriodConfig) -> float:
    """Logarithm of the odds of a light curve of so many maxima a turn, against two."""
    power = np.abs(np.fft.rfft(curve)[1:9]) ** 2
    strongest = int(power.argmax()) + 1
    if strongest == 2:
        return 0.0
    odds = config.one_maximum if strongest == 1 else config.many_maxima
    # The larger the amplitude, the more elongated the body, and the surer its two maxima.
    return odds * max(float(np.ptp(curve)) / _FLAT_MAG, 1.0)


def _without_outliers(series: Series, best: Candidate, config: PeriodConfig) -> NDArray[np.bool_]:
    """Which epochs the best period leaves within reach; fitted with falling weight far off."""
    rate = _HOURS / best.period_h
    turn = _turn(series, best.spin, rate, float(series.days.mean()))
    columns = np.concatenate([nuisance_columns(series), _columns(turn, config.n_harmonics)], axis=1)
    weight = 1.0 / np.hypot(series.error, config.jitter_mag)
    scale, residual = np.ones(len(series)), series.mag
    for _ in range(10):
        w = weight * scale
        parameters = np.linalg.lstsq(columns * w[:, None], series.mag * w, rcond=1e-9)[0]
        residual = (series.mag - columns @ parameters) * weight
        residual = residual / max(robust_spread(residual), 1e-6)
        scale = 1.0 / np.sqrt(1.0 + (residual / 2.0) ** 2)
    return np.asarray(np.abs(residual) < config.outlier_sigma)


def alias_name(period_h: float, best_h: float, near: float) -> str:
    """What one period is to another: half, double, one-day alias...

    Parameters
    ----------
    period_h, best_h
        Of rotation.
    near
        How well frequencies of rotation are told apart, turns a day.

    Returns
    -------
    str
        Empty where it is nothing known.
    """
    rate, best = _HOURS / period_h, _HOURS / best_h
    for ratio, name in ((2.0, "half"), (0.5, "double"), (1.5, "2/3"), (2 / 3, "3/2"),
                        (3.0, "third"), (1 / 3, "triple"), (4.0, "quarter")):  # fmt: skip
        if abs(rate - ratio * best) < near * max(ratio, 1.0):
            return name
    # A light curve of two maxima repeats twice a turn, so that nights part turns by halves.
    for cycles, name in ((0.5, ""), (1.0, " of a whole turn"), (1.5, " of 1.5 turns")):
        for sign in (1.0, -1.0):
            if (
                abs(rate - (best + sign * cycles)) < near
                or abs(rate - (sign * cycles - best)) < near
            ):
                return f"one-day alias{name}"
    for ratio, name in ((2.0, "half of"), (0.5, "double of")):
        for sign in (1.0, -1.0):
            if abs(rate / ratio - (best + sign * 0.5)) < near:
                return f"{name} the one-day alias"
    return ""


def _false_alarm(
    problem: _Problem, best: Candidate, first: float, step: float, n: int, config: PeriodConfig
) -> float:
    """Share of data without period that would reach as high a peak.

    Residuals change places within their band and apparition; the highest peaks of some such sets
    are described by Gumbel's distribution, by the moments of its two parameters.
    """
    if config.permutations < 2:
        return math.nan
    rng = np.random.default_rng(config.seed)
    group = problem.series.band * 1000 + problem.series.apparition
    sets = np.empty((len(problem.y), config.permutations))
    for k in range(config.permutations):
        shuffled = problem.y.copy()
        for value in np.unique(group):
            own = np.flatnonzero(group == value)
            shuffled[own] = shuffled[rng.permutation(own)]
        shuffled -= problem.basis @ (problem.basis.T @ shuffled)
        sets[:, k] = shuffled * math.sqrt(problem.chi2 / float(shuffled @ shuffled))
    falls = _scan(problem, 1, sets, first, step, n, config)
    highest = _likelihood(problem, falls.max(axis=0))
    scale = max(float(highest.std(ddof=1)) * math.sqrt(6.0) / math.pi, 1e-3)
    # The real search tries two spins: twice the chances.
    mode = float(highest.mean()) - 0.5772 * scale + scale * math.log(len(_SPINS))
    excess = (best.fit - mode) / scale
    return float(-math.expm1(-math.exp(-min(max(excess, -5.0), 700.0))))


def _result(
    series: Series, kept: NDArray[np.bool_], problem: _Problem, candidates: tuple[Candidate, ...],
    best: Candidate, alarm: float, falls: list[Floats], first: float, step: float,
    config: PeriodConfig,
) -> PeriodFit:  # fmt: skip
    rate = _HOURS / best.period_h
    parameters = _fit(problem, best.spin, rate, config)
    middle = float(problem.series.days.mean())
    turn = _turn(problem.series, best.spin, rate, middle)
    model = _columns(turn, config.n_harmonics) @ parameters
    # What bands, apparitions and slope explain of what the model leaves.
    columns = nuisance_columns(problem.series)
    left = (problem.series.mag - model) * problem.weight
    others = columns @ np.linalg.lstsq(columns * problem.weight[:, None], left, rcond=1e-9)[0]
    corrected = problem.series.mag - others
    grid = np.linspace(0.0, 2.0 * math.pi, 200, endpoint=False)
    curve = _columns(grid, config.n_harmonics) @ parameters
    rivals = [c for c in candidates[1:] if not c.alias]
    contrast = best.log_likelihood - (rivals[0].log_likelihood if rivals else 0.0)
    thin = max(falls[0].size // 4000, 1)
    both = np.maximum(*falls)
    tops = np.maximum.reduceat(both, np.arange(0, len(both), thin))
    rates = first + step * np.arange(0, len(both), thin)
    return PeriodFit(
        name=series.name,
        n_epochs=int(kept.sum()),
        candidates=candidates,
        period_err_h=_period_error(problem, best, step, config),
        amplitude_mag=float(np.ptp(curve)),
        scatter_mag=robust_spread(corrected - model),
        raw_scatter_mag=robust_spread(problem.y / problem.weight),
        contrast=contrast,
        false_alarm=alarm,
        outliers=~kept,
        turn=np.asarray((turn / (2.0 * math.pi)) % 1.0),
        corrected_mag=corrected,
        error_mag=problem.series.error,
        model_turn=grid / (2.0 * math.pi),
        model_mag=curve,
        band=problem.series.band,
        power=np.stack([rates, _likelihood(problem, tops)]),
    )


def _period_error(problem: _Problem, best: Candidate, step: float, config: PeriodConfig) -> float:
    """From the curvature of chi-square at the peak."""
    fine = step / 10.0
    rate = _HOURS / best.period_h
    fall = _scan(problem, best.spin, problem.y[:, None], rate - fine, fine, 3, config)[:, 0]
    curvature = float(2 * fall[1] - fall[0] - fall[2]) / fine**2
    if not curvature > 0:
        return math.nan
    scale = max((problem.chi2 - float(fall[1])) / problem.spare, 1e-9)
    return float(math.sqrt(2.0 * scale / curvature) * _HOURS / rate**2)
