"""Our word on an alert: the columns that a filter knows and that leave the program."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import QTable

from streaks.known.verdicts import VERDICTS
from streaks.readers.alerts import Alert
from streaks.tables import CLASS_COLUMNS, ColumnSpec, build_table

__all__ = [
    "CLASS_WORDS",
    "MEASURED_COLUMNS",
    "PACKET_COLUMNS",
    "WORD_COLUMNS",
    "Words",
    "alert_key",
    "packet_words",
    "select_words",
    "words_table",
]

#: Columns by name, bare arrays of n values in the columns' units.
Words = dict[str, Any]

_S, _F = str, float

#: What the packet tells, the same of every survey: there before anything is measured.
PACKET_COLUMNS = (
    ColumnSpec("alert_id", _S, None, "survey and its identifier of the alert; unique"),
    ColumnSpec("survey", _S, None, "ztf, rubin, decam or winter"),
    ColumnSpec("object_id", _S, None, "the survey's identifier of the object; empty for none"),
    ColumnSpec("image", _S, None, "what it was found in: name of an image, or visit and detector"),
    ColumnSpec("time", _S, None, "mid-exposure, UTC, ISO 8601"),
    ColumnSpec("mjd", _F, "day", "mid-exposure, UTC, MJD"),
    ColumnSpec("ra", _F, "deg", "of the detection, ICRS"),
    ColumnSpec("dec", _F, "deg", "of the detection"),
    ColumnSpec("x", _F, "pix", "place in its image, 0-based; NaN where the packet does not tell"),
    ColumnSpec("y", _F, "pix", "place in its image"),
    ColumnSpec("observatory", _S, None, "MPC code"),
    ColumnSpec("band", _S, None, "filter"),
    ColumnSpec("mag", _F, "mag", "AB magnitude of the difference's brightness, of either sign"),
    ColumnSpec("mag_err", _F, "mag", "its 1-sigma error"),
    ColumnSpec("snr", _F, None, "signal-to-noise by the packet"),
    ColumnSpec("is_positive", bool, None, "brighter than in the reference, or not told"),
    ColumnSpec("reliability", _F, None, "the survey's own real-bogus score, 0 to 1"),
    ColumnSpec("is_dipole", bool, None, "by the packet's flag"),
    ColumnSpec("is_glint", bool, None, "by the packet's flag: one of several in a line"),
    ColumnSpec("trail_length", _F, "arcsec", "the packet's own trail; NaN for none"),
    ColumnSpec("trail_length_err", _F, "arcsec", "its 1-sigma error"),
    ColumnSpec("trail_pa", _F, "deg", "its direction, east of north, in [0, 180)"),
    ColumnSpec("ssdistnr", _F, "arcsec", "known object by the packet: distance; NaN for none"),
    ColumnSpec("ssmagnr", _F, "mag", "its magnitude"),
    ColumnSpec("ssnamenr", _S, None, "its name; empty for none"),
)
CLASS_WORDS = CLASS_COLUMNS
#: What is measured on the stamp and looked up in orbits.
MEASURED_COLUMNS = (
    *CLASS_WORDS,
    ColumnSpec(
        "settled", _S, None, "who named it: stamp (a plain point), network, none (no stamp)"
    ),
    ColumnSpec("fwhm", _F, "pix", "of the PSF where the packet has it, else of the source across"),
    ColumnSpec(
        "elongation", _F, None, "longer axis over shorter, by a Gaussian fitted to the stamp"
    ),
    ColumnSpec("elongation_err", _F, None, "its 1-sigma error"),
    ColumnSpec("length", _F, "pix", "of a trail with these second moments, the PSF's taken off"),
    ColumnSpec("length_err", _F, "pix", "its 1-sigma error; a bound where length is 0"),
    ColumnSpec("length_arcsec", _F, "arcsec", "the same on the sky, to set beside trail_length"),
    ColumnSpec("theta", _F, "deg", "of the longer axis, from +x towards +y, in [0, 180)"),
    ColumnSpec("pa", _F, "deg", "the same east of north, in [0, 180); NaN without a stamp's WCS"),
    ColumnSpec("stamp_snr", _F, None, "signal-to-noise of the source on the stamp"),
    ColumnSpec("stamp_chi2", _F, None, "chi-square a pixel of what the fit leaves"),
    ColumnSpec("sep", _F, "arcsec", "distance of the nearest known object; NaN for none"),
    ColumnSpec("name", _S, None, "its name; empty for none"),
    ColumnSpec("vmag", _F, "mag", "its predicted V magnitude"),
    ColumnSpec("pos_err", _F, "arcsec", "1-sigma error of its predicted place"),
    ColumnSpec("orbit", _S, None, "whose orbit: catalogue or packet; empty for none"),
    ColumnSpec("verdict", _S, None, f"on the packet's ss fields: {', '.join(VERDICTS)}"),
    ColumnSpec("note", _S, None, "why, where the verdict does not say it"),
)
WORD_COLUMNS = (*PACKET_COLUMNS, *MEASURED_COLUMNS)

_MJD_ZERO = 2_400_000.5


def alert_key(alert: Alert, content: bytes = b"") -> str:
    """What tells an alert from all others.

    Parameters
    ----------
    alert
        Of any survey.
    content
        Of the packet; stands in where the survey gives no identifier.

    Returns
    -------
    str
        ``rubin:170112044589645907``.
    """
    if alert.candid:
        return f"{alert.survey}:{alert.candid}"
    import hashlib

    told = content or f"{alert.object_id} {alert.jd!r} {alert.ra!r} {alert.dec!r}".encode()
    return f"{alert.survey}:{hashlib.sha256(told).hexdigest()[:24]}"


def packet_words(alerts: Sequence[Alert], keys: Sequence[str]) -> Words:
    """`PACKET_COLUMNS` of n alerts.

    Parameters
    ----------
    alerts, keys
        n each.

    Returns
    -------
    dict
    """
    mjd = np.array([alert.mid_jd() - _MJD_ZERO for alert in alerts], dtype=float)
    x, y = zip(*map(_place, alerts), strict=True) if alerts else ((), ())
    values: Words = {
        "alert_id": list(keys),
        "x": x,
        "y": y,
        "mjd": mjd,
        "time": _iso(mjd),
        "is_positive": [alert.is_positive is not False for alert in alerts],
        "trail_length": [alert.trail.length_arcsec for alert in alerts],
        "trail_length_err": [alert.trail.length_err_arcsec for alert in alerts],
        "trail_pa": [alert.trail.angle_deg for alert in alerts],
    }
    found: Words = {}
    for spec in PACKET_COLUMNS:
        told = values.get(spec.name)
        if told is None:
            told = [getattr(alert, spec.name) for alert in alerts]
        found[spec.name] = np.asarray(told, dtype=spec.dtype)
    return found


def _place(alert: Alert) -> tuple[float, float]:
    """In the image, 0-based; ZTF and those after it count from 1."""
    names, first = (("x", "y"), 0.0) if alert.survey == "rubin" else (("xpos", "ypos"), 1.0)
    x, y = (alert.candidate.get(name) for name in names)
    if isinstance(x, int | float) and isinstance(y, int | float):
        return float(x) - first, float(y) - first
    return math.nan, math.nan


def _iso(mjd: np.ndarray) -> list[str]:
    """Dates as text; each is made once: all alerts of an exposure have one."""
    from astropy.time import Time

    found: dict[float, str] = {}
    for value in np.unique(mjd):
        found[float(value)] = ""
        if math.isfinite(value) and abs(value) < 1e6:
            found[float(value)] = str(Time(value, format="mjd", scale="utc").isot)
    return [found.get(float(value), "") for value in mjd]


def select_words(words: Mapping[str, Any], rows: Any) -> Words:
    """Some of the rows.

    Parameters
    ----------
    words
        n rows.
    rows
        Mask or numbers.

    Returns
    -------
    dict
    """
    return {name: np.asarray(values)[rows] for name, values in words.items()}


def words_table(words: Mapping[str, Any]) -> QTable:
    """The words as a table with units.

    Parameters
    ----------
    words
        All of `WORD_COLUMNS`.

    Returns
    -------
    QTable
    """
    return build_table(WORD_COLUMNS, words)
