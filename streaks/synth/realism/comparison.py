"""How far synthetic cutouts are from real ones: statistics side by side, and who can tell.

Both kinds come as a reader gives them, so that storage, padding and masks are treated alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.cutouts import Cutouts, fit_to_size
from streaks.errors import InputError
from streaks.features import FEATURE_NAMES, measure_features
from streaks.tables import ColumnSpec, build_table

__all__ = [
    "STATISTICS",
    "STATISTICS_COLUMNS",
    "Comparison",
    "LabelledCutouts",
    "Tell",
    "compare",
    "cutout_statistics",
    "tell_apart",
]

#: What `cutout_statistics` measures, with what it means.
STATISTICS: Mapping[str, str] = {
    "noise_levels": "robust sigma, in the picture's own levels or counts: the stretch",
    "level": "median, in the same unit",
    "white_share": "share of pixels at the lowest value (clipped below)",
    "black_share": "share of pixels at the highest value (clipped above)",
    "mask_share": "share of masked pixels",
    "lag1_x": "correlation of neighbouring columns in the background",
    "lag1_y": "correlation of neighbouring rows in the background",
    "fwhm_px": "FWHM of unclipped positive peaks of 4 to 9 sigma, px",
    "tail_high": "share of pixels above 4 sigma",
    "tail_low": "share of pixels below -2.2 sigma",
}

_SIZE_PX = 128
#: Fewer of a class cannot be told apart with any figure worth quoting.
_MIN_REAL = 10
_FOLDS = 5
_TREES = 200
_TELLING = 8


@dataclass(frozen=True, eq=False)
class Tell:
    """How well a classifier tells real from synthetic cutouts of one class.

    Parameters
    ----------
    label
        The class.
    n_real, n_synthetic, n_groups
        Cutouts, and the groups (nights) of the real ones.
    auc
        Area under the ROC curve of a classifier tried on nights that it was not trained on (mean
        over five folds, weighted by their real cutouts); 0.5 = cannot tell, 1 = always. NaN with
        too few real ones or a single group.
    auc_mixed
        The same with cutouts of one night on both sides. The higher figure of the two as a rule:
        it also rewards knowing a night's scenes, which come back from frame to frame.
    features
        The most telling features: name, AUC of that feature alone, and the medians of the real
        and of the synthetic ones.
    scores : (n_synthetic,)
        How synthetic each synthetic cutout looks to a classifier that has not seen it; NaN
        where there is none.
    """

    label: str
    n_real: int
    n_synthetic: int
    n_groups: int
    auc: float
    auc_mixed: float
    features: tuple[tuple[str, float, float, float], ...]
    scores: NDArray[np.float64]


def cutout_statistics(cutouts: Cutouts) -> NDArray[np.float64]:
    """What the pixels of each cutout are like.

    Parameters
    ----------
    cutouts
        As a reader gives them; the central 128 px are measured.

    Returns
    -------
    (n, len(STATISTICS)) float64
        NaN where a cutout has nothing to measure (no spread, no peak).
    """
    fitted = fit_to_size(cutouts, _SIZE_PX)
    return np.array(
        [
            _statistics(image.astype(np.float64), ~mask)
            for image, mask in zip(fitted.difference, fitted.mask, strict=True)
        ]
    ).reshape(len(cutouts), len(STATISTICS))


def _statistics(image: NDArray[np.float64], good: NDArray[np.bool_]) -> tuple[float, ...]:
    nan = math.nan
    values = image[good]
    middle = float(np.median(values)) if values.size else nan
    sigma = 1.4826 * float(np.median(np.abs(values - middle))) if values.size else 0.0
    if not sigma > 0:
        return (nan, middle, nan, nan, 1.0 - float(good.mean()), *(nan,) * 5)
    z = np.where(good, (image - middle) / sigma, 0.0)
    return (
        sigma,
        middle,
        float(np.mean(values == values.min())),
        float(np.mean(values == values.max())),
        1.0 - float(good.mean()),
        _lag1(z, good, axis=1),
        _lag1(z, good, axis=0),
        _peak_fwhm_px(z, good),
        float(np.mean(z[good] > 4)),
        float(np.mean(z[good] < -2.2)),
    )


def _lag1(z: NDArray[np.float64], good: NDArray[np.bool_], *, axis: int) -> float:
    """Correlation of neighbours that both lie within 2 sigma: of noise rather than of stars."""
    usable = good & (np.abs(z) < 2)
    first, second = (np.moveaxis(z, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
    one, two = (np.moveaxis(usable, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
    both = one & two
    if both.sum() < 100:
        return math.nan
    return float(np.corrcoef(first[both], second[both])[0, 1])


def _peak_fwhm_px(z: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """Width of what sticks out a little, from its mean fall between 1 and 2 px from the peak.

    Of a Gaussian these have the ratio exp(1.5 / sigma**2). The peak itself takes no part: what
    noise lifted is oftener a peak.
    """
    core = z[2:-2, 2:-2]
    near = [z[2:-2, 1:-3], z[2:-2, 3:-1], z[1:-3, 2:-2], z[3:-1, 2:-2]]
    far = [z[2:-2, :-4], z[2:-2, 4:], z[:-4, 2:-2], z[4:, 2:-2]]
    peak = (core > 4) & (core < 9) & good[2:-2, 2:-2]
    for neighbour in near:
        peak &= core >= neighbour
    if not peak.any():
        return math.nan
    ones, twos = (float(np.mean([n[peak].mean() for n in ring])) for ring in (near, far))
    if not 0 < twos < ones:
        return math.nan
    return 2.3548 * math.sqrt(1.5 / math.log(ones / twos))


def tell_apart(
    label: str,
    real: NDArray[np.float64],
    synthetic: NDArray[np.float64],
    groups: Sequence[str],
    names: Sequence[str],
) -> Tell:
    """Train classifiers to tell real from synthetic, and see how well they do on other nights.

    Parameters
    ----------
    label
        The class that all of them have.
    real : (n, n_features)
        Features of real cutouts.
    synthetic : (m, n_features)
        Features of synthetic ones.
    groups : (n,)
        The night of each real one: one night's cutouts are much alike, and are never divided
        between training and trial.
    names
        Of the features.

    Returns
    -------
    Tell

    Raises
    ------
    InputError
        If there is no synthetic cutout, or groups and real cutouts differ in number.
    """
    if len(groups) != len(real) or not len(synthetic):
        raise InputError(
            f"{label}: {len(real)} real cutouts, {len(groups)} groups, {len(synthetic)} synthetic; "
            "each real one needs a group, and there must be synthetic ones"
        )
    n_groups = len(set(groups))
    features = np.vstack([real, synthetic])
    made = np.r_[np.zeros(len(real)), np.ones(len(synthetic))]
    auc, mixed, scores = math.nan, math.nan, np.full(len(made), math.nan)
    if len(real) >= _MIN_REAL:
        mixed, scores = _tried_apart(features, made, np.arange(len(made)))
    if len(real) >= _MIN_REAL and n_groups > 1:
        # Synthetic cutouts do not hang together: each is a group of its own.
        nights = np.unique(np.asarray(groups), return_inverse=True)[1]
        alone = len(made) + np.arange(len(synthetic))
        auc, _ = _tried_apart(features, made, np.r_[nights, alone])
    return Tell(
        label,
        len(real),
        len(synthetic),
        n_groups,
        auc,
        mixed,
        _most_telling(features, made, names) if len(real) else (),
        scores[len(real) :],
    )


def _tried_apart(
    features: NDArray[np.float64], made: NDArray[np.float64], groups: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """AUC and scores of forests on groups that they were not trained on."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    n_folds = min(_FOLDS, len(np.unique(groups[made == 0])))
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    scores = np.full(len(made), math.nan)
    areas, weights = [], []
    for train, trial in folds.split(features, made, groups):
        if not all(0 < made[part].sum() < len(part) for part in (train, trial)):
            continue
        forest = RandomForestClassifier(
            _TREES, min_samples_leaf=2, class_weight="balanced", n_jobs=1, random_state=0
        )
        forest.fit(features[train], made[train])
        scores[trial] = forest.predict_proba(features[trial])[:, 1]
        # Forests of different folds differ in scale: areas are averaged, scores not pooled.
        areas.append(float(roc_auc_score(made[trial], scores[trial])))
        weights.append(float((made[trial] == 0).sum()))
    return (float(np.average(areas, weights=weights)) if areas else math.nan), scores


def _most_telling(
    features: NDArray[np.float64], made: NDArray[np.float64], names: Sequence[str]
) -> tuple[tuple[str, float, float, float], ...]:
    from sklearn.metrics import roc_auc_score

    rows = []
    for k, name in enumerate(names):
        auc = float(roc_auc_score(made, features[:, k]))
        real, synthetic = (float(np.median(features[made == m, k])) for m in (0, 1))
        rows.append((name, max(auc, 1 - auc), real, synthetic))
    return tuple(sorted(rows, key=lambda row: -row[1])[:_TELLING])


@dataclass(frozen=True, eq=False)
class LabelledCutouts:
    """Cutouts with what is known of each.

    Parameters
    ----------
    cutouts
        All of one size.
    labels : (n,)
        Classes.
    groups : (n,)
        What hangs together (nights); empty texts for synthetic ones.
    """

    cutouts: Cutouts
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]

    def __post_init__(self) -> None:
        if not len(self.cutouts) == len(self.labels) == len(self.groups):
            raise InputError(
                f"{len(self.cutouts)} cutouts have {len(self.labels)} labels and "
                f"{len(self.groups)} groups; each needs one"
            )

    def of_class(self, label: str) -> LabelledCutouts:
        chosen = self.labels == label
        return LabelledCutouts(
            self.cutouts.select(chosen), self.labels[chosen], self.groups[chosen]
        )


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found.

    Parameters
    ----------
    tells
        One a class.
    statistics : QTable
        `STATISTICS_COLUMNS`: one row a class and statistic.
    """

    tells: tuple[Tell, ...]
    statistics: QTable


STATISTICS_COLUMNS = (
    ColumnSpec("label", str, None, "class"),
    ColumnSpec("statistic", str, None, "what was measured"),
    *(
        ColumnSpec(f"{kind}_{quantile}", float, None, f"percentile of the {kind} cutouts")
        for kind in ("real", "synthetic")
        for quantile in ("p16", "p50", "p84")
    ),
    ColumnSpec("distance", float, None, "largest difference of the cumulative shares (KS), 0 to 1"),
)


def compare(real: LabelledCutouts, synthetic: LabelledCutouts) -> Comparison:
    """Real and synthetic cutouts side by side, class by class.

    Parameters
    ----------
    real, synthetic
        Read from files of the same kind.

    Returns
    -------
    Comparison
        Of the classes that both have.

    Raises
    ------
    InputError
        If they have no class in common.
    """
    classes = sorted(set(real.labels.tolist()) & set(synthetic.labels.tolist()))
    if not classes:
        raise InputError(
            f"real cutouts are {', '.join(sorted(set(real.labels.tolist()))) or 'none'}, synthetic "
            f"ones {', '.join(sorted(set(synthetic.labels.tolist()))) or 'none'}; they need a "
            "class in common"
        )
    tells, rows = [], []
    for label in classes:
        one, other = real.of_class(label), synthetic.of_class(label)
        tells.append(
            tell_apart(
                label,
                measure_features(one.cutouts),
                measure_features(other.cutouts),
                one.groups.tolist(),
                FEATURE_NAMES,
            )
        )
        rows.extend(_statistics_rows(label, one.cutouts, other.cutouts))
    columns = {c.name: [row[c.name] for row in rows] for c in STATISTICS_COLUMNS}
    return Comparison(tuple(tells), build_table(STATISTICS_COLUMNS, columns))


def _statistics_rows(label: str, real: Cutouts, synthetic: Cutouts) -> list[dict[str, Any]]:
    measured = {"real": cutout_statistics(real), "synthetic": cutout_statistics(synthetic)}
    rows = []
    for k, name in enumerate(STATISTICS):
        row: dict[str, Any] = {"label": label, "statistic": name}
        for kind, values in measured.items():
            finite = values[np.isfinite(values[:, k]), k]
            for quantile in (16, 50, 84):
                row[f"{kind}_p{quantile}"] = (
                    float(np.percentile(finite, quantile)) if finite.size else math.nan
                )
        row["distance"] = _distance(*(values[:, k] for values in measured.values()))
        rows.append(row)
    return rows


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Kolmogorov's and Smirnov's; NaN where one side has nothing."""
    one, other = (np.sort(values[np.isfinite(values)]) for values in (one, other))
    if not one.size or not other.size:
        return math.nan
    at = np.concatenate([one, other])
    shares = [np.searchsorted(v, at, side="right") / v.size for v in (one, other)]
    return float(np.max(np.abs(shares[0] - shares[1])))
