"""Our word on alerts, a batch at a time: plain points settled on the stamp, the rest classified."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.classification import Classifier, classify_cutouts
from streaks.cutouts import Cutouts, Shapes, measure_shapes, psf_moments
from streaks.known.checker import AlertChecker
from streaks.readers.alerts import Alert
from streaks.streams.words import CLASS_WORDS, Words
from streaks.tables import UNRESOLVED

__all__ = ["Judge"]

#: Arcsec a pixel of the surveys' stamps.
_SCALES = {"ztf": 1.012, "rubin": 0.2, "decam": 0.263, "winter": 1.13}
#: FWHM that some PSF may have, px.
_LEAST_FWHM_PX, _MOST_FWHM_PX = 0.8, 30.0
#: What is surely a trail: so many FWHM and sigma long, with a fit as good as this.
_LONG_WIDTHS, _LONG_SIGMA, _LONG_CHI2 = 2.0, 5.0, 2.0
_CLASSES = tuple(spec.name for spec in CLASS_WORDS if spec.dtype is float)


@dataclass(frozen=True, eq=False)
class Judge:
    """What says of each alert what we think of it.

    Parameters
    ----------
    classifier
        For what is not plainly a point; None leaves that unnamed.
    checker
        For known objects; None leaves them out.
    mix
        How classes are mixed on this sky, as of `classify_cutouts`.
    """

    classifier: Classifier | None = None
    checker: AlertChecker | None = None
    mix: Mapping[str, float] | None = None

    def words(self, alerts: Sequence[Alert]) -> Words:
        """`streaks.streams.words.MEASURED_COLUMNS` of n alerts.

        Parameters
        ----------
        alerts
            With their difference stamps.

        Returns
        -------
        dict
            Bare arrays of n values.
        """
        shapes = _shapes(alerts)
        return {**self._named(alerts, shapes), **_measured(alerts, shapes), **self._known(alerts)}

    def _named(self, alerts: Sequence[Alert], shapes: Shapes) -> Words:
        n = len(alerts)
        found: Words = {name: np.full(n, np.nan) for name in _CLASSES}
        label, settled = np.full(n, "", dtype="U16"), np.full(n, "none", dtype="U8")
        point = shapes.is_point
        for name in _CLASSES:
            found[name][point] = 0.0
        # Real light, and a point: the network has no say in it.
        found["p_unresolved"][point] = found["rb"][point] = 1.0
        label[point], settled[point] = UNRESOLVED, "stamp"
        rows = np.array(
            [i for i in range(n) if not point[i] and alerts[i].difference is not None], dtype=int
        )
        if self.classifier is not None and len(rows):
            sure = _surely_trailed(shapes)[rows]
            table = self._classified([alerts[i] for i in rows], shapes.fwhm_px[rows], sure)
            for name in _CLASSES:
                found[name][rows] = np.asarray(table[name])
            label[rows], settled[rows] = np.asarray(table["label"]), "network"
        return {**found, "label": label, "settled": settled}

    def _classified(
        self, alerts: Sequence[Alert], fwhm_px: NDArray[np.float64], sure: NDArray[np.bool_]
    ) -> QTable:
        assert self.classifier is not None
        side = max(max(a.difference.shape) for a in alerts if a.difference is not None)
        n = len(alerts)
        difference = np.zeros((n, side, side), np.float32)
        mask = np.ones((n, side, side), bool)
        for i, alert in enumerate(alerts):
            data = alert.true_difference
            assert data is not None
            ny, nx = data.shape
            # Which edge of the chip was cut is not told: the middle stays the middle.
            y, x = (side - ny) // 2, (side - nx) // 2
            here = (slice(y, y + ny), slice(x, x + nx))
            bad = ~np.isfinite(data)
            difference[i][here] = np.where(bad, 0.0, data)
            mask[i][here] = bad
        # Without a picture of the PSF its width is not known: that of the source is not its own.
        known = np.array([a.psf is not None for a in alerts])
        sane = (fwhm_px >= _LEAST_FWHM_PX) & (fwhm_px <= _MOST_FWHM_PX)
        widths = np.where(known & sane, fwhm_px, np.nan)
        names = tuple(str(i) for i in range(n))
        cutouts = Cutouts(difference, mask, names, fwhm_px=widths)
        return classify_cutouts(self.classifier, cutouts, mix=self.mix, sure_trails=sure)

    def _known(self, alerts: Sequence[Alert]) -> Words:
        n = len(alerts)
        if self.checker is None or n == 0:
            none, empty = np.full(n, np.nan), np.full(n, "", dtype=str)
            return {"sep": none, "name": empty, "vmag": none, "pos_err": none, "orbit": empty,
                    "verdict": empty, "note": empty}  # fmt: skip
        orbits = [None if a.orbit is None else dataclasses.asdict(a.orbit) for a in alerts]
        checked = self.checker.check(_claims(alerts), [a.observatory for a in alerts], orbits)
        found: Words = {}
        for name in ("sep", "vmag", "pos_err"):
            found[name] = np.asarray(getattr(checked[name], "value", checked[name]))
        for name in ("name", "orbit", "verdict", "note"):
            found[name] = np.asarray(checked[name], dtype=str)
        return found


def _surely_trailed(shapes: Shapes) -> NDArray[np.bool_]:
    """What a single Gaussian tells to be long: by far, and leaving little."""
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (shapes.length_px > _LONG_WIDTHS * shapes.fwhm_px)
            & (shapes.length_px > _LONG_SIGMA * shapes.length_err_px)
            & (shapes.chi2 < _LONG_CHI2)
            & (shapes.fwhm_px < _MOST_FWHM_PX)
        )


def _shapes(alerts: Sequence[Alert]) -> Shapes:
    return measure_shapes(
        [alert.bright_difference for alert in alerts],
        variances=[alert.variance for alert in alerts],
        psfs=[None if a.psf is None else psf_moments(a.psf) for a in alerts],
    )


def _measured(alerts: Sequence[Alert], shapes: Shapes) -> Words:
    theta = np.radians(shapes.theta_deg)
    scale, pa = np.full(len(alerts), np.nan), np.full(len(alerts), np.nan)
    for i, alert in enumerate(alerts):
        scale[i] = _SCALES.get(alert.survey, math.nan)
        if alert.sky is not None:
            east, north = alert.sky @ np.array([math.cos(theta[i]), math.sin(theta[i])])
            pa[i] = math.degrees(math.atan2(east, north)) % 180.0
            scale[i] = 3600.0 * math.hypot(east, north)
            if not math.isfinite(scale[i]):
                scale[i] = 3600.0 * math.sqrt(abs(np.linalg.det(alert.sky)))
    return {
        "fwhm": shapes.fwhm_px,
        "elongation": shapes.elongation,
        "elongation_err": shapes.elongation_err,
        "length": shapes.length_px,
        "length_err": shapes.length_err_px,
        "length_arcsec": shapes.length_px * scale,
        "theta": shapes.theta_deg,
        "pa": pa,
        "stamp_snr": shapes.snr,
        "stamp_chi2": shapes.chi2,
    }


def _claims(alerts: Sequence[Alert]) -> QTable:
    return QTable({
        "jd": [a.jd for a in alerts],
        "mid_jd": [a.mid_jd() for a in alerts],
        "ra": [a.ra for a in alerts],
        "dec": [a.dec for a in alerts],
        "ssdistnr": [a.ssdistnr for a in alerts],
        "ssmagnr": [a.ssmagnr for a in alerts],
        "ssnamenr": [a.ssnamenr for a in alerts],
        "ssothernames": ["|".join(a.other_names) for a in alerts],
        "survey": [a.survey for a in alerts],
    })  # fmt: skip
