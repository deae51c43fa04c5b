"""Light curves of asteroids over years: reduced magnitudes, and periods of rotation.

The modules inside: ``reduction`` (measurements and predictions to a light curve), ``phase`` (phase
functions), ``calibration`` (zero points, colour terms), ``trailing`` (light that a PSF fit misses),
``geometry`` (from where it was lit and seen), ``series`` and ``periods`` (the search),
``reliability`` (numbers that tell whether to believe it), ``table`` (periods as rows).
"""

from __future__ import annotations

from streaks.lazy import lazy_face

_FACE = {
    "CALIBRATION_COLUMNS": "calibration",
    "CALIBRATION_INPUTS": "calibration",
    "COLOURS": "calibration",
    "colour_of_band": "calibration",
    "zero_point_offsets": "calibration",
    "LIGHTCURVE_COLUMNS": "reduction",
    "MEASUREMENT_COLUMNS": "reduction",
    "LightCurveConfig": "reduction",
    "reduce_measurements": "reduction",
    "series_of": "reduction",
    "PHASE_MODELS": "phase",
    "PhaseFit": "phase",
    "fit_phase": "phase",
    "psf_loss_mag": "trailing",
    "apparitions": "geometry",
    "viewing": "geometry",
    "Series": "series",
    "Candidate": "periods",
    "PeriodConfig": "periods",
    "PeriodFit": "periods",
    "alias_name": "periods",
    "find_period": "periods",
    "PERIOD_COLUMNS": "table",
    "period_table": "table",
    "RELIABILITY_NUMBERS": "reliability",
    "numbers_of": "reliability",
}

__all__ = sorted(_FACE)

__getattr__, __dir__ = lazy_face(__name__, _FACE)
