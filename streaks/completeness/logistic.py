"""Completeness curves: a logistic with a ceiling, its intervals, its depth.

The share found is ``c / (1 + exp(-eta))``, eta linear in what a source's chance depends on. The
ceiling c below 1 is what masks, stars and crossing trails take of bright sources too. Sources of
one mover in several exposures share their luck: errors are widened by how much they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import norm

__all__ = ["Curve", "count_interval", "fit_curve"]

Floats = NDArray[np.float64]

#: Widths of the priors, which matter only where the sources do not tell: of coefficients in units
#: of the covariates' spread, and of the ceiling (logit; 95 % of it between 0.82 and 0.996).
_COEFFICIENT, _CEILING, _CEILING_SPREAD = 5.0, 3.5, 1.0
#: Draws from the fit that intervals are made of.
_DRAWS = 2000
#: Numbers held at once.
_NUMBERS = 4_000_000
#: With few sources the likelihood is skewed, and a Gaussian about its peak puts too many shallow
#: curves beside it: draws from such a one, with wider tails (Student's t of so many degrees), are
#: taken by their likelihood. Draws tried for each that is taken; rounds in which they are drawn
#: about what the last round found; so many as good as independent ones are enough.
_TAILS, _TRIED, _ROUNDS, _ENOUGH = 6, 4, 4, 400
#: Fewer than this are no sample: then the Gaussian must do.
_TOO_FEW = 50
#: Fewer sources than this, or none found, or none missed, tell no depth.
_LEAST = 10


@dataclass(frozen=True, eq=False)
class Curve:
    """A fitted completeness.

    Parameters
    ----------
    theta : (k + 2,)
        Coefficients of a constant and the k standardised covariates, and the ceiling's logit.
    covariance : (k + 2, k + 2)
        Of `theta`, widened by `effect`.
    middle, spread : (k,)
        What covariates are standardised by.
    span : (low, high)
        Of the first covariate, over the sources.
    n, found
        Sources, and how many were found.
    effect
        How much wider errors are than those of independent sources, as a ratio of variances.
    together
        Correlation of the luck of two sources of one mover, 0 to 1.
    draws : (m, k + 2)
        Of `theta`, as the sources allow.
    """

    theta: Floats
    covariance: Floats
    middle: Floats
    spread: Floats
    span: tuple[float, float]
    n: int
    found: int
    effect: float
    together: float
    draws: Floats

    @property
    def ceiling(self) -> float:
        """The share that is found of the brightest."""
        return float(expit(self.theta[-1]))

    def share(self, *covariates: ArrayLike) -> Floats:
        """The share found.

        Parameters
        ----------
        *covariates : (n,) each
            In the order of the fit; those left out stand at their mean.

        Returns
        -------
        (n,)
        """
        return np.asarray(_share(self.theta[None, :], self._design(*covariates))[0])

    def interval(self, *covariates: ArrayLike, probability: float = 0.95) -> tuple[Floats, Floats]:
        """Bounds of the share found.

        Parameters
        ----------
        *covariates : (n,) each
            As of `share`.
        probability
            That the interval holds it.

        Returns
        -------
        low, high : (n,)
        """
        drawn = _share(self.draws, self._design(*covariates))
        low, high = np.quantile(drawn, _tails(probability), axis=0)
        return low, high

    def depth(self, share: float, probability: float = 0.95) -> tuple[float, float, float]:
        """Where the share falls to a given one, along the first covariate.

        Parameters
        ----------
        share
            Of all sources, 0 to 1.
        probability
            That the interval holds it.

        Returns
        -------
        value, low, high : float
            NaN where no sources tell it: too few, or the share is not reached within a tenth of
            the range that they span.
        """
        nan = float("nan")
        if self.n < _LEAST or self.found in (0, self.n):
            return nan, nan, nan
        value = self._depths(self.theta[None, :], share)[0]
        room = 0.1 * (self.span[1] - self.span[0])
        if not self.span[0] - room <= value <= self.span[1] + room:
            return nan, nan, nan
        # A draw whose ceiling is below the share never reaches it: it is infinitely far off.
        drawn = self._depths(self.draws, share)
        never = -np.inf if self.theta[1] < 0 else np.inf
        low, high = np.quantile(
            np.where(np.isfinite(drawn), drawn, never), _tails(probability), method="nearest"
        )
        return float(value), float(low), float(high)

    def draw_shares(self, rng: np.random.Generator, *covariates: ArrayLike, n: int) -> Floats:
        """Shares by curves that the sources allow.

        Parameters
        ----------
        rng
            Source of randomness.
        *covariates : (m,) each
            As of `share`.
        n
            Draws.

        Returns
        -------
        (n, m)
        """
        return _share(rng.choice(self.draws, n), self._design(*covariates))

    def _design(self, *covariates: ArrayLike) -> Floats:
        columns = [np.atleast_1d(np.asarray(c, float)) for c in covariates]
        n = len(columns[0])
        scaled = [
            (columns[k] - self.middle[k]) / self.spread[k] if k < len(columns) else np.zeros(n)
            for k in range(len(self.middle))
        ]
        return np.stack([np.ones(n), *scaled], axis=1)

    def _depths(self, thetas: Floats, share: float) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            of_ceiling = share / expit(thetas[:, -1])
            eta = np.where(of_ceiling < 1, np.log(of_ceiling / (1 - of_ceiling)), np.nan)
            depths = self.middle[0] + self.spread[0] * (eta - thetas[:, 0]) / thetas[:, 1]
            return np.asarray(depths, dtype=np.float64)


def fit_curve(
    covariates: Sequence[ArrayLike], found: ArrayLike, movers: ArrayLike | None = None
) -> Curve:
    """Fit a completeness by maximum likelihood, with weak priors.

    Parameters
    ----------
    covariates : k of (n,)
        Magnitude or log10 of S/N first; others, as log10 of length, behind. All finite.
    found : (n,) bool
        Whether each source was found.
    movers : (n,), optional
        The same for sources of one mover; all apart by default.

    Returns
    -------
    Curve
        Of priors alone where there are no sources.

    Notes
    -----
    `Curve.covariance` is that of the likelihood's curvature (Laplace), times the design effect of
    the movers: the variance of their summed scores over that of independent sources. Intervals are
    of `Curve.draws`, from the likelihood itself, its logarithm over the same effect (importance
    resampling; Rubin 1987, JASA 82, 543).
    """
    from scipy.optimize import minimize

    columns = np.stack([np.asarray(c, float) for c in covariates], axis=1)
    hit = np.asarray(found, bool)
    n = len(hit)
    middle = columns.mean(axis=0) if n else np.zeros(columns.shape[1])
    spread = columns.std(axis=0) if n else np.ones(columns.shape[1])
    spread = np.where(spread > 0, spread, 1.0)
    design = np.column_stack([np.ones(n), (columns - middle) / spread])
    centre = np.array([0.0] * design.shape[1] + [_CEILING])
    width = np.array([_COEFFICIENT] * design.shape[1] + [_CEILING_SPREAD])

    def loss(theta: Floats) -> tuple[float, Floats]:
        value, scores = _likelihood(theta, design, hit)
        away = (theta - centre) / width
        return -value + 0.5 * float(away @ away), -scores.sum(axis=0) + away / width

    theta = np.asarray(minimize(loss, centre, jac=True, method="BFGS").x, dtype=np.float64)
    names = (
        np.arange(n) if movers is None else np.unique(np.asarray(movers), return_inverse=True)[1]
    )
    inverse: Floats = np.linalg.inv(_curvature(theta, design, hit) + np.diag(width**-2.0)).astype(
        np.float64
    )
    scores = _likelihood(theta, design, hit)[1]
    effect = _design_effect(scores, names, inverse)
    share = _share(theta[None, :], design)[0]
    span = (float(columns[:, 0].min()), float(columns[:, 0].max())) if n else (np.nan, np.nan)
    together = _together(hit, share, names)

    def log_likelihood(thetas: Floats) -> Floats:
        away = (thetas - centre) / width
        given = _log_likelihoods(thetas, design, hit) - 0.5 * (away**2).sum(axis=1)
        return np.asarray(given / effect, dtype=np.float64)

    return Curve(
        theta, effect * inverse, middle, spread, span, n, int(hit.sum()), effect, together,
        _resampled(theta, effect * inverse, log_likelihood),
    )  # fmt: skip


def count_interval(
    curve: Curve,
    covariates: Sequence[ArrayLike],
    movers: ArrayLike | None = None,
    *,
    probability: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """How many of other sources should be found, if they fare as those of the fit.

    Parameters
    ----------
    curve
        Of the fit.
    covariates : k of (m,)
        Of the other sources, as in the fit.
    movers : (m,), optional
        The same for sources of one mover, which share their luck as those of the fit do.
    probability
        That the interval holds the count.
    seed
        Of the draws.

    Returns
    -------
    expected, low, high : float
        The count; its bounds hold the errors of the fit and the luck of these sources.
    """
    rng = np.random.default_rng(seed)
    shares = curve.draw_shares(rng, *covariates, n=_DRAWS)
    m = shares.shape[1]
    names = (
        np.arange(m) if movers is None else np.unique(np.asarray(movers), return_inverse=True)[1]
    )
    common = rng.standard_normal((_DRAWS, int(names.max(initial=0)) + 1))[:, names]
    own = rng.standard_normal((_DRAWS, m))
    rho = np.sin(0.5 * np.pi * curve.together)
    luck = norm.cdf(np.sqrt(rho) * common + np.sqrt(1.0 - rho) * own)
    counts = (luck < shares).sum(axis=1)
    low, high = np.quantile(counts, _tails(probability), method="inverted_cdf")
    return float(shares.sum(axis=1).mean()), float(low), float(high)


def _resampled(
    theta: Floats, covariance: Floats, log_likelihood: Callable[[Floats], Floats]
) -> Floats:
    """Draws by a likelihood, from a Student's t about its peak; (m, k + 2)."""
    rng = np.random.default_rng(0)
    centre, spread, n, size = theta, covariance, _TRIED * _DRAWS, len(theta)
    for _ in range(_ROUNDS):
        values, axes = np.linalg.eigh(spread)
        root = axes * np.sqrt(np.maximum(values, 0.0))
        steps = rng.standard_normal((n, size))
        steps /= np.sqrt(rng.chisquare(_TAILS, n) / _TAILS)[:, None]
        tried = centre + steps @ root.T
        drawn_from = -0.5 * (_TAILS + size) * np.log1p((steps**2).sum(axis=1) / _TAILS)
        weight = log_likelihood(tried) - drawn_from
        weight = np.exp(weight - weight.max())
        weight /= weight.sum()
        as_good_as = 1.0 / float((weight**2).sum())
        if as_good_as >= _ENOUGH:
            break
        centre = weight @ tried
        # Few draws tell little of the spread: some of the first one stays.
        away = tried - centre
        spread = (weight[:, None] * away).T @ away + 0.1 * covariance
    if as_good_as < _TOO_FEW:
        return rng.multivariate_normal(theta, covariance, _DRAWS, method="eigh")
    return np.asarray(rng.choice(tried, _DRAWS, p=weight), dtype=np.float64)


def _tails(probability: float) -> tuple[float, float]:
    return 0.5 * (1.0 - probability), 0.5 * (1.0 + probability)


def _share(thetas: Floats, design: Floats) -> Floats:
    """Shares (draws, sources)."""
    return expit(thetas[:, -1:]) * expit(thetas[:, :-1] @ design.T)


def _log_likelihoods(thetas: Floats, design: Floats, hit: NDArray[np.bool_]) -> Floats:
    """Of many curves, (draws,), some at a time: thousands of sources are many numbers."""
    some = max(1, _NUMBERS // max(len(hit), 1))
    parts = []
    for first in range(0, len(thetas), some):
        share = np.clip(_share(thetas[first : first + some], design), 1e-12, 1 - 1e-12)
        parts.append(np.log(np.where(hit, share, 1.0 - share)).sum(axis=1))
    return np.concatenate(parts)


def _likelihood(theta: Floats, design: Floats, hit: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Logarithm of the likelihood, and each source's score (n, k + 2)."""
    ceiling, rise = expit(theta[-1]), expit(design @ theta[:-1])
    share = np.clip(ceiling * rise, 1e-12, 1 - 1e-12)
    value = float(np.where(hit, np.log(share), np.log1p(-share)).sum())
    slope = np.where(hit, 1.0 / share, -1.0 / (1.0 - share)) * share
    scores = np.column_stack([(slope * (1 - rise))[:, None] * design, slope * (1 - ceiling)])
    return value, scores


def _curvature(theta: Floats, design: Floats, hit: NDArray[np.bool_]) -> Floats:
    """Expected information (Fisher): always positive, where the observed one need not be."""
    ceiling, rise = expit(theta[-1]), expit(design @ theta[:-1])
    share = np.clip(ceiling * rise, 1e-9, 1 - 1e-9)
    slopes = np.column_stack([(1 - rise)[:, None] * design, np.full(len(hit), 1 - ceiling)])
    weight = share / (1.0 - share)
    return np.asarray((slopes * weight[:, None]).T @ slopes)


def _design_effect(scores: Floats, names: NDArray[np.intp], inverse: Floats) -> float:
    """Variance of the movers' summed scores over that of independent sources; at least 1."""
    if not len(scores):
        return 1.0
    summed = np.zeros((int(names.max()) + 1, scores.shape[1]))
    np.add.at(summed, names, scores)
    apart = float(np.einsum("ij,jk,ik->", scores, inverse, scores))
    together = float(np.einsum("ij,jk,ik->", summed, inverse, summed))
    return max(1.0, together / apart) if apart > 0 else 1.0


def _together(hit: NDArray[np.bool_], share: Floats, names: NDArray[np.intp]) -> float:
    """Mean product of standardised residuals of pairs of one mover, 0 to 0.95."""
    share = np.clip(share, 0.02, 0.98)
    residual = (hit - share) / np.sqrt(share * (1 - share))
    count = np.bincount(names, minlength=1)
    total = np.bincount(names, residual, minlength=1)
    square = np.bincount(names, residual**2, minlength=1)
    pairs = float((count * (count - 1)).sum())
    if pairs == 0:
        return 0.0
    own = float(square.sum() / max(len(hit), 1))
    return float(np.clip((total**2 - square).sum() / pairs / max(own, 1e-9), 0.0, 0.95))
