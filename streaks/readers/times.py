"""The middle of an exposure, in UTC, out of header words that mean its start, middle or end.

ZTF's OBSJD, OBSMJD and the standard's DATE-OBS are starts. Some headers say in a card's comment
what the word means ("Time at end of exposure"): that decides.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import astropy.units as u
from astropy.io import fits
from astropy.time import Time

from streaks.readers import headers
from streaks.readers.profile import TimeWords

__all__ = ["mid_exposure", "parse_instant"]

_log = logging.getLogger(__name__)

#: Julian dates of 1900 and 2150: what lies outside is no time of a digital image.
_JD_RANGE = (2415020.0, 2506331.0)
_MJD_ZERO = 2400000.5
#: No single exposure is longer, s; headers damaged or of sums over months may say so.
_LONGEST_S = 1e6

_SHIFT = {"start": 0.5, "mid": 0.0, "end": -0.5}
_OLD_DATE = re.compile(r"^(\d{1,2})/(\d{1,2})/(\d{2,3})$")
_SCALES = frozenset({"utc", "tai", "tt", "tdb"})


@dataclass(frozen=True)
class _Instant:
    time: Time
    moment: str
    stated: bool


def mid_exposure(
    header: fits.Header, words: Sequence[TimeWords], exposure_s: float, name: str = "image"
) -> Time | None:
    """Mid-exposure, UTC.

    Parameters
    ----------
    header
        Of the image.
    words
        In order of preference; a word whose comment says which moment it is goes first.
    exposure_s
        NaN when unknown: a start or an end is then taken as it is, and the log says so.

    Returns
    -------
    Time or None
        None when no word gives a plausible time.
    """
    instants = list(_instants(header, words))
    if not instants:
        return None
    best = next((instant for instant in instants if instant.stated), instants[0])
    shift = _SHIFT[best.moment]
    if shift and not 0 <= exposure_s <= _LONGEST_S:
        _log.warning(
            "%s: exposure time unknown or absurd; the %s of the exposure is taken as its middle",
            name,
            best.moment,
        )
        return best.time.utc
    return (best.time + shift * (exposure_s if shift else 0.0) * u.s).utc


def parse_instant(found: object, clock: str = "", scale: str = "utc") -> Time | None:
    """A time from a Julian date, a modified one, ISO 8601 or DD/MM/YY; None for anything else.

    Parameters
    ----------
    found
        What the header holds.
    clock
        Time of day, ``HH:MM:SS``, for a date without one.
    scale
        Time scale of what is found.
    """
    time = _from_number(found, scale)
    if time is None and isinstance(found, str):
        time = _from_text(found.strip(), clock, scale)
    if time is None or not _JD_RANGE[0] < float(time.jd) < _JD_RANGE[1]:
        return None
    return time


def _instants(header: fits.Header, words: Sequence[TimeWords]) -> Iterator[_Instant]:
    for entry in words:
        scale = _scale(header, entry)
        if entry.start and entry.end:
            start = _word_time(header, entry.start, entry, scale)
            end = _word_time(header, entry.end, entry, scale)
            if start is not None and end is not None and start <= end:
                yield _Instant(start + 0.5 * (end - start), "mid", stated=False)
            continue
        moment = "start" if entry.start else "mid" if entry.mid else "end"
        word = entry.start or entry.mid or entry.end
        time = _word_time(header, word, entry, scale)
        if time is not None:
            stated = _stated_moment(headers.comment(header, word))
            yield _Instant(time, stated or moment, stated=bool(stated))


def _word_time(header: fits.Header, word: str, entry: TimeWords, scale: str) -> Time | None:
    found = headers.value(header, word)
    return None if found is None else parse_instant(found, headers.text(header, entry.clock), scale)


def _scale(header: fits.Header, entry: TimeWords) -> str:
    stated = headers.text(header, ["TIMESYS"]).lower()
    return stated if stated in _SCALES else entry.scale


def _stated_moment(words: str) -> str:
    """Which moment of the exposure a comment speaks of; empty when it does not say."""
    words = words.lower()
    if not re.search(r"expos|observ|\bobs\b|integration|shutter", words):
        return ""
    found = [
        moment
        for moment, pattern in (
            ("start", r"\b(start|begin|beginning|open|opened)\b"),
            ("mid", r"\b(mid|middle|midpoint|mid-\w+|average|mean)\b"),
            ("end", r"\b(end|ending|finish|close|closed)\b"),
        )
        if re.search(pattern, words)
    ]
    return found[0] if len(found) == 1 else ""


def _from_number(found: object, scale: str) -> Time | None:
    try:
        days = float(found)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    if isinstance(found, bool) or not math.isfinite(days):
        return None
    # Split before astropy does, or a Julian date loses 20 microseconds; harmless, but free.
    for zero in (0.0, _MJD_ZERO):
        if _JD_RANGE[0] < days + zero < _JD_RANGE[1]:
            return Time(zero, days, format="jd", scale=scale)
    return None


def _from_text(found: str, clock: str, scale: str) -> Time | None:
    old = _OLD_DATE.match(found)
    if old:
        # The year counts from 1900: '26/07/102' is 2002.
        day, month, year = (int(part) for part in old.groups())
        found = f"{1900 + year:04d}-{month:02d}-{day:02d}"
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", found):
        if not re.match(r"^\d{1,2}:\d{2}", clock):
            return None  # a date alone is no time of an exposure
        found = f"{found}T{clock}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "dubious year" of a time far ahead
            return Time(found.replace(" ", "T").rstrip("Z"), format="isot", scale=scale)
    except ValueError:
        return None
