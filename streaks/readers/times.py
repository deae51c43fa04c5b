"""The middle of an exposure, in UTC, out of header words that mean its start, middle or end.

ZTF's OBSJD, OBSMJD and the standard's DATE-OBS are starts. Some headers say in a card's comment
what the word means ("Time at end of exposure"): that decides. Of several words the one that is
written finely enough to mean seconds goes before a coarse one (an MJD without decimals), and
words that disagree beyond what they are written to are said.
"""

from __future__ import annotations

import datetime
import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import astropy.units as u
from astropy.io import fits
from astropy.time import Time

from streaks.readers import headers
from streaks.readers.profile import TimeWords

__all__ = ["Exposure", "find_exposure", "mid_exposure", "parse_instant"]

_log = logging.getLogger(__name__)

#: Julian dates of 1900 and 2150: what lies outside is no time of a digital image.
_JD_RANGE = (2415020.0, 2506331.0)
_MJD_ZERO = 2400000.5
#: Day number of 1858-11-17 in Python's calendar.
_ORDINAL_OF_MJD_0 = 678576
_DAY_S = 86400.0
#: No single exposure is longer, s; headers damaged or of sums over months may say so.
_LONGEST_S = 1e6
#: A word that is good to no better than this, s, tells no time.
_USELESS_S = 0.4 * _DAY_S
#: Shutters, clocks and write-outs differ by this much without anyone being wrong, s.
_SLACK_S = 0.5
#: Finer by so much, a word of the same instant is read in place of another.
_FINER = 10.0

_SHIFT = {"start": 0.5, "mid": 0.0, "end": -0.5}
_OLD_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2,3})")
_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_DATES = (
    re.compile(r"(?P<y>\d{4})([-/.])(?P<m>\d{1,2})\2(?P<d>\d{1,2})"),
    re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})"),
    re.compile(r"(?P<y>\d{4})-(?P<n>\d{3})"),
    re.compile(r"(?P<d>\d{1,2})[-/. ](?P<b>[A-Za-z]{3})[a-z]*[-/., ]+(?P<y>\d{4})"),
    re.compile(r"(?P<b>[A-Za-z]{3})[a-z]* +(?P<d>\d{1,2}),? +(?P<y>\d{4})"),
    re.compile(r"(?P<p>\d{1,2})([-/.])(?P<q>\d{1,2})\2(?P<y>\d{4})"),
)
_CLOCK = re.compile(
    r"(?P<h>\d{1,2})(?P<sep>[:hH]|-(?=\d\d-))(?P<m>\d{1,2})(?:[:mM-](?P<s>\d{1,2}(?:[.,]\d*)?)[sS]?)?"
    r"|(?P<h2>\d{2})(?P<m2>\d{2})(?P<s2>\d{2}(?:[.,]\d*)?)"
)
_ZONE = re.compile(
    r"\s*(Z|UTC?|GMT|TAI|TT|TDB|(?P<sign>[-+])(?P<h>\d{2}):?(?P<m>\d{2})?)?", re.IGNORECASE
)
#: Two digits of a year are of 19xx by the standard; no image in digits is older than this one.
_OLDEST_SHORT_YEAR = 49
#: A comment that speaks of an exposure, and of no other thing that begins and ends.
_OF_EXPOSURE = re.compile(
    r"\b(mid-?)?exp(os\w*)?\b|observ|\bobs\b|integration|shutter|\bframe\b|acqui"
)
_LOCAL = re.compile(
    r"(?i:\blocal\b(?!.*sidereal))|\b([ECMP][SD]T|AK[SD]T|JST|KST|CES?T|EES?T|WES?T|A[ECW][SD]T|"
    r"NZ[SD]T|SAST|CLS?T)\b"
)
_UNIVERSAL = re.compile(r"\b((?i:UTC?|GMT|zulu|universal)|Z)\b")
_AT_THE_SUN = re.compile(r"SOLARSYS|BARYC|HELIOC|\b[BH]J[DC]\b")
#: TIMESYS to astropy's scale and what is added to come to it, s.
_SYSTEMS = {
    "UTC": ("utc", 0.0), "UT": ("utc", 0.0), "GMT": ("utc", 0.0), "ZULU": ("utc", 0.0),
    "UT1": ("utc", 0.0), "UTC(NIST)": ("utc", 0.0), "TAI": ("tai", 0.0), "IAT": ("tai", 0.0),
    "TT": ("tt", 0.0), "TDT": ("tt", 0.0), "ET": ("tt", 0.0), "TDB": ("tdb", 0.0),
    "TCB": ("tcb", 0.0), "TCG": ("tcg", 0.0), "GPS": ("tai", 19.0),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Exposure:
    """When an image was taken.

    Parameters
    ----------
    mid
        Middle of the exposure, UTC; None where nothing tells.
    told
        From which words.
    notes
        What could not be read, what disagrees, what was taken for granted.
    length_s
        From start to end, where both are told; NaN else.
    """

    mid: Time | None = None
    told: str = ""
    notes: tuple[str, ...] = ()
    length_s: float = math.nan


@dataclass(frozen=True, eq=False)
class _Instant:
    """One word, or a pair of them, read."""

    time: Time  # UTC
    moment: str
    stated: bool
    resolution_s: float
    words: str
    is_text: bool = True
    length_s: float = math.nan
    by_comment: bool = False
    order: int = 0
    said: str = ""


@dataclass(frozen=True, eq=False)
class _Parsed:
    """A value read: its instant in its own scale."""

    time: Time
    resolution_s: float
    is_text: bool
    zone: str = ""  # scale that the text itself names


@dataclass
class _Notes:
    said: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)  # by word

    def add(self, note: str) -> None:
        if note not in self.said:
            self.said.append(note)


def mid_exposure(
    header: fits.Header, words: Sequence[TimeWords], exposure_s: float, name: str = "image"
) -> Time | None:
    """Mid-exposure, UTC; what `find_exposure` notes goes to the log.

    Parameters
    ----------
    header
        Of the image.
    words
        In order of preference.
    exposure_s
        NaN when unknown: a start or an end is then taken as it is, and the log says so.
    name
        Of the image, for the log.

    Returns
    -------
    Time or None
        None when no word gives a plausible time.
    """
    found = find_exposure(header, words, exposure_s)
    for note in found.notes:
        _log.warning("%s: %s", name, note)
    return found.mid


def find_exposure(header: fits.Header, words: Sequence[TimeWords], exposure_s: float) -> Exposure:
    """Mid-exposure with the words that tell it.

    Parameters
    ----------
    header
        Of the image.
    words
        In order of preference; what is written to a second goes before what is not, and a word
        that says which moment it is before one that does not.
    exposure_s
        NaN when unknown: a start or an end is then taken as it is, and a note says so.

    Returns
    -------
    Exposure
        Its time is None where no words tell it.
    """
    notes = _Notes()
    instants = [
        replace(instant, order=i) for i, instant in enumerate(_instants(header, words, notes))
    ]
    read = " ".join(instant.words for instant in instants).split()
    for word, note in notes.unread.items():
        if word not in read:
            notes.add(note)
    usable = [instant for instant in instants if instant.resolution_s < _USELESS_S]
    if not usable:
        for instant in instants[:1]:
            notes.add(f"{instant.words} is a day, no time; give --time")
        return Exposure(notes=tuple(notes.said))
    known = 0 <= exposure_s <= _LONGEST_S
    best = _chosen(usable)
    shift = _SHIFT[best.moment]
    if shift and not known:
        notes.add(
            f"exposure time unknown or absurd; the {best.moment} of the exposure is taken as its "
            "middle"
        )
    mid = _mid(best, exposure_s if known else 0.0)
    for note in _disagreements(best, mid, usable, exposure_s if known else math.nan):
        notes.add(note)
    if best.resolution_s > 1.0:
        notes.add(f"{best.words} is written to {best.resolution_s:.3g} s: no better is the time")
    if (
        best.is_text
        and best.moment == "start"
        and re.fullmatch(r"\S+T00:00:00\.0+", best.time.isot)
    ):
        notes.add(f"{best.words} is midnight to the second; is it a date without a time of day?")
    about = headers.text(header, ["TIMEREF", "TREFPOS"]) + best.said
    if _AT_THE_SUN.search(about.upper()):
        notes.add("the times are those of light at the Sun: as much as 500 s from the telescope's")
    moment = {"start": "start", "mid": "middle", "end": "end"}[best.moment]
    return Exposure(mid, f"{best.words} ({moment})", tuple(notes.said), best.length_s)


def _chosen(usable: Sequence[_Instant]) -> _Instant:
    best = min(usable, key=lambda i: (_tier(i), not i.stated, i.order))
    if not best.stated:
        # A coarser word of the same instant may say which moment it is.
        said = (i for i in usable if i.by_comment)
        same = (i for i in said if abs(_seconds(i.time, best.time)) <= best.resolution_s)
        best = replace(best, moment=next((i.moment for i in same), best.moment))
    for other in usable:
        finer = other.resolution_s * _FINER <= best.resolution_s
        near = abs(_seconds(other.time, best.time)) <= best.resolution_s + other.resolution_s
        if finer and near and _tier(other) == 0:
            # The same instant in more digits; what moment it is, the chosen word knows.
            best = replace(
                best, time=other.time, resolution_s=other.resolution_s, words=other.words
            )
    return best


def _tier(instant: _Instant) -> int:
    """0 for what is meant to the second: text with seconds, but no fifth decimal of days."""
    fine = 1.0 if instant.is_text else 0.1
    if instant.resolution_s <= fine:
        return 0
    return 1 if instant.resolution_s <= 1.0 else 2 if instant.resolution_s <= 60.0 else 3


def _mid(instant: _Instant, exposure_s: float) -> Time:
    shift = _SHIFT[instant.moment] * exposure_s
    return instant.time + shift * u.s if shift else instant.time


def _seconds(first: Time, second: Time) -> float:
    """From the second to the first, s; both UTC."""
    return _DAY_S * float((first.jd1 - second.jd1) + (first.jd2 - second.jd2))


def _disagreements(
    best: _Instant, mid: Time, usable: Sequence[_Instant], exposure_s: float
) -> Iterator[str]:
    for other in usable:
        if other.words == best.words or (other.moment != best.moment and math.isnan(exposure_s)):
            continue
        away = _seconds(_mid(other, 0.0 if math.isnan(exposure_s) else exposure_s), mid)
        slack = best.resolution_s + other.resolution_s + _SLACK_S
        lengths = [i.length_s for i in (best, other) if math.isfinite(i.length_s)]
        if lengths and math.isfinite(exposure_s):
            # A shutter that takes its time, or dead time between reads.
            slack += abs(lengths[0] - exposure_s) / 2.0
        if abs(away) > slack:
            yield f"{other.words} is {away:+.3g} s from {best.words}, which is taken"
            return


def parse_instant(found: object, clock: str = "", scale: str = "utc") -> Time | None:
    """A time from a Julian date, a modified one, or a date in text; None for anything else.

    Parameters
    ----------
    found
        What the header holds. Text may be ISO 8601 with or without an offset, with slashes, of
        day and month by name, or the standard's old DD/MM/YY.
    clock
        Time of day, ``HH:MM:SS``, for a date without one.
    scale
        Time scale of what is found, where it does not say itself (``Z``, ``+02:00``, ``TAI``).

    Returns
    -------
    Time or None
    """
    parsed = _parsed(found, clock, scale)
    return None if parsed is None else parsed.time


def _parsed(
    found: object, clock: str = "", scale: str = "utc", digits: str = "", unit: str = ""
) -> _Parsed | None:
    parsed = _from_number(found, scale, digits or str(found), unit)
    if parsed is None and isinstance(found, int | str) and not isinstance(found, bool):
        parsed = _from_text(str(found).strip(), clock, scale)
    if parsed is None or not _JD_RANGE[0] < float(parsed.time.jd) < _JD_RANGE[1]:
        return None
    return parsed


def _instants(header: fits.Header, words: Sequence[TimeWords], notes: _Notes) -> Iterator[_Instant]:
    for entry in words:
        if entry.start and entry.end:
            start = _word_instant(header, entry.start, entry, "start", notes)
            end = _word_instant(header, entry.end, entry, "end", notes)
            if start is None or end is None:
                continue
            length = _seconds(end.time, start.time)
            names = f"{start.words} to {end.words}"
            if not 0 <= length <= _LONGEST_S:
                notes.add(f"{names} is {length:.3g} s long; passed over")
                continue
            mid = start.time + 0.5 * length * u.s
            resolution = max(start.resolution_s, end.resolution_s)
            text = start.is_text and end.is_text
            yield _Instant(mid, "mid", True, resolution, names, text, length)
            continue
        moment = "start" if entry.start else "mid" if entry.mid else "end"
        found = _word_instant(header, entry.start or entry.mid or entry.end, entry, moment, notes)
        if found is not None:
            yield found


def _word_instant(
    header: fits.Header, word: str, entry: TimeWords, moment: str, notes: _Notes
) -> _Instant | None:
    found = headers.value(header, word)
    if found is None or (isinstance(found, str) and not found.strip()):
        return None
    word = headers.spelled(header, word)
    if entry.date_only and not _is_date_only(found):
        return None
    clock_word, clock = _clock(header, entry, found, notes)
    if (entry.date_only or entry.clock_needed) and not clock:
        return None
    said = headers.comment(header, word)
    said_of_clock = headers.comment(header, clock_word) if clock_word else ""
    _say_repeated(header, (word, clock_word), notes)
    system, delay = _system(header, entry, word, f"{said_of_clock} {said}", clock_word, notes)
    if not system:
        return None
    unit = headers.stated_unit(said, "time")
    shown = found
    if clock and isinstance(found, str):
        found = found.strip()[:10]
    parsed = _parsed(found, clock, system, headers.raw_text(header, word), unit)
    if parsed is not None and _may_be_shortened(word, found):
        parsed = None
    if parsed is None:
        _say_unread(word, shown, clock_word, notes)
        return None
    if parsed.zone and parsed.zone != system and "TIMESYS" in header:
        stated = headers.text(header, ["TIMESYS"])
        notes.add(f"{word} is written in {parsed.zone.upper()}, though TIMESYS says {stated}")
    time = (parsed.time if parsed.zone or not delay else parsed.time + delay * u.s).utc
    stated_moment = _stated_moment(said_of_clock) or _stated_moment(said)
    names = word if not clock_word else f"{word} with {clock_word}"
    return _Instant(
        time,
        stated_moment or moment,
        bool(stated_moment) or moment == "mid",
        parsed.resolution_s,
        names,
        parsed.is_text,
        by_comment=bool(stated_moment),
        said=f" {said} {said_of_clock}",
    )


def _say_repeated(header: fits.Header, words: Sequence[str], notes: _Notes) -> None:
    for word in words:
        note = headers.repeated(header, word) if word else ""
        if note:
            notes.add(note)


def _may_be_shortened(word: str, found: object) -> bool:
    """Whether a Julian date may lack its first digits, of which there are two ways.

    JD - 2400000 and JD - 2400000.5 are half a day apart: a word of the name JD must not hold one.
    """
    if "MJD" in word.upper() or "JD" not in word.upper():
        return False
    try:
        return float(found) < _MJD_ZERO  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def _say_unread(word: str, found: object, clock_word: str, notes: _Notes) -> None:
    number = isinstance(found, int | float)
    if number and float(str(found)) <= 0:
        return  # a filler
    if _is_date_only(found) and not clock_word:
        notes.unread[word] = f"{word} is a date, {found!r}, without a time of day"
        return
    beside = f" with {clock_word}" if clock_word else ""
    notes.unread[word] = f"{word}{beside} is {found!r}, which cannot be read as a time"


def _is_date_only(found: object) -> bool:
    text = str(found).strip()
    return any(pattern.fullmatch(text) for pattern in _DATES) or bool(_OLD_DATE.fullmatch(text))


def _clock(header: fits.Header, entry: TimeWords, found: object, notes: _Notes) -> tuple[str, str]:
    """The time of day of another word, and which, for a date that has none, or midnight."""
    if not entry.clock or not isinstance(found, str | int) or isinstance(found, bool):
        return "", ""
    midnight = re.fullmatch(r"\S{8,10}[T ]00:00(:00(\.0*)?)?Z?", str(found).strip())
    if not (_is_date_only(found) or midnight):
        return "", ""
    for word in entry.clock:
        value = headers.value(header, word)
        if value is None:
            continue
        word = headers.spelled(header, word)
        said = headers.comment(header, word)
        clock = _clock_text(value, said)
        if clock:
            if _has_two_meanings(value, said):
                notes.add(f"{word} = {value} is read as seconds since midnight, {clock[:8]}")
            return word, clock
        if str(value).strip():
            notes.add(f"{word} is {value!r}, which cannot be read as a time of day")
    return "", ""


def _clock_text(value: object, said: str) -> str:
    """HH:MM:SS of a time of day in text, or in hours or seconds."""
    if isinstance(value, str):
        text = value.strip()
        # Some words repeat the date.
        text = re.split(r"[T ]", text, maxsplit=1)[1] if re.match(r"\d{4}-.*[T ]", text) else text
        match = _CLOCK.match(text)
        if match and _ZONE.fullmatch(text[match.end() :]):
            return text
        try:
            value = float(text)
        except ValueError:
            return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    unit = headers.stated_unit(said, "time")
    if isinstance(value, int) and _has_two_meanings(value, said):
        return ""
    unit = unit or ("h" if 0 <= value < 24 else "s")
    seconds = float(value) * {"s": 1.0, "h": 3600.0, "min": 60.0, "d": _DAY_S}.get(unit, math.nan)
    if not 0 <= seconds < _DAY_S:
        return ""
    return f"{int(seconds // 3600):02d}:{int(seconds % 3600 // 60):02d}:{seconds % 60:09.6f}"


def _has_two_meanings(value: object, said: str) -> bool:
    """Whether a time of day may be seconds, or digits: 80000 is 22:13:20, or 08:00:00."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if headers.stated_unit(said, "time") or not 24 <= value < 86400:
        return False
    digits = f"{int(value):06d}"
    return int(digits[2:4]) < 60 and int(digits[4:]) < 60


def _system(
    header: fits.Header,
    entry: TimeWords,
    word: str,
    said: str,
    clock_word: str,
    notes: _Notes,
) -> tuple[str, float]:
    """The time scale of a word, and what is added to come to it, s; empty where there is none.

    A comment counts where TIMESYS is missing; `said` holds those of the word and its time of day.
    """
    if clock_word.startswith("TAI"):
        return "tai", 0.0
    commented = _stated_system(said)
    stated = headers.text(header, ["TIMESYS"]).upper()
    if clock_word.startswith("UT") and commented != "LOCAL":
        return "utc", 0.0
    system = re.sub(r"\(.*", "", stated).strip()
    if stated and commented and _SYSTEMS.get(commented) != _SYSTEMS.get(system):
        notes.add(f"{word} has {commented} in its comment, though TIMESYS says {stated}")
    system = system or commented
    if not system:
        return entry.scale, 0.0
    if system == "UT1":
        notes.add("TIMESYS is UT1; read as UTC, within 0.9 s")
    if system in _SYSTEMS:
        return _SYSTEMS[system]
    if system == "LOCAL" or _LOCAL.fullmatch(system) or system == "HST":
        whose = f"TIMESYS is {stated}" if stated else f"{word} is local time by its comment"
        notes.add(f"{whose}: the time cannot be brought to UTC; give --time")
        return "", 0.0
    notes.add(f"TIMESYS {stated!r} is not known; {entry.scale.upper()} is taken")
    return entry.scale, 0.0


def _stated_system(said: str) -> str:
    """The time scale that a comment names, ``LOCAL`` among them; empty for none, or several."""
    if _UNIVERSAL.search(said):
        return "UTC"
    if _LOCAL.search(said):
        return "LOCAL"
    # In capitals only: "et" and the like are words.
    found = set(re.findall(r"\b(TAI|IAT|TT|TDT|TDB|TCB|TCG|GPS)\b", said))
    return found.pop() if len(found) == 1 else ""


def _stated_moment(words: str) -> str:
    """Which moment of the exposure a comment speaks of; empty when it does not say."""
    words = words.lower()
    if re.search(r"(start|begin\w*) (of |the )*read-?out", words):
        return "end"
    found = [
        moment
        for moment, pattern in (
            ("start", r"\b(start|begin|beginning|open|opened|opening)\b"),
            ("mid", r"\b(mid|middle|mid-?point|mid-?exp\w*|mid-?time|mid-?obs\w*|mid-?frame)\b"),
            ("mid", r"\b(average|mean|central)\b"),
            ("end", r"\b(end|ending|finish|close|closed|closing)\b"),
        )
        if re.search(pattern, words)
    ]
    if len(set(found)) != 1:
        return ""
    sure = re.search(r"\bmid-?(point|exp\w*|time|obs\w*|frame)\b", words)
    return found[0] if sure or _OF_EXPOSURE.search(words) else ""


def _from_number(found: object, scale: str, digits: str, unit: str) -> _Parsed | None:
    if isinstance(found, str):
        found = re.sub(r"(?<=\d)[dD](?=[-+\d])", "E", found)
    try:
        days = float(found)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    if isinstance(found, bool) or not math.isfinite(days):
        return None
    step = _DAY_S * _last_digit(digits)
    if unit == "s" or 4.0e9 < days < 6.0e9:
        # Seconds since MJD 0, as SDSS counts TAI.
        days, step = days / _DAY_S, step / _DAY_S
    # Split before astropy does, or a Julian date loses 20 microseconds; harmless, but free.
    for zero in (0.0, _MJD_ZERO):
        if _JD_RANGE[0] < days + zero < _JD_RANGE[1]:
            return _Parsed(Time(zero, days, format="jd", scale=scale), step, False)
    return None


def _last_digit(digits: str) -> float:
    """What the last digit of a number's text counts."""
    match = re.fullmatch(r"[-+]?\d*\.?(\d*)(?:[eEdD]([-+]?\d+))?", digits.strip())
    if match is None:
        return 1e-9
    power = int(match[2] or 0) - len(match[1])
    return float(10.0 ** max(min(power, 0), -12))


def _from_text(found: str, clock: str, scale: str) -> _Parsed | None:
    found = found.strip().strip("'\"").strip()
    day, rest = _day_of(found)
    if day is None:
        return None
    rest = rest.lstrip("Tt_ ,-").strip() if rest[:1] in "Tt_ ,-" else rest
    match = _CLOCK.match(rest or clock.strip())
    if match is None:
        return None  # a date alone is no time of an exposure
    tail = (rest or clock.strip())[match.end() :]
    zone = _ZONE.fullmatch(tail)
    if zone is None:
        return None
    seconds_text = match["s"] or match["s2"]
    hours, minutes = int(match["h"] or match["h2"]), int(match["m"] or match["m2"])
    seconds = float((seconds_text or "0").replace(",", "."))
    if not (hours <= 24 and minutes < 60 and seconds <= 61.0):
        return None
    decimals = len(re.sub(r"^\d*[.,]?", "", seconds_text or ""))
    resolution = 10.0 ** -min(decimals, 9) if seconds_text else 60.0
    total = hours * 3600.0 + minutes * 60.0 + seconds
    named = (zone[1] or "").upper()
    if zone["sign"]:
        offset = 3600.0 * int(zone["h"]) + 60.0 * int(zone["m"] or 0)
        if offset > 15 * 3600.0:
            return None
        total -= math.copysign(offset, -1.0 if zone["sign"] == "-" else 1.0)
        named = "utc"
    elif named:
        named = {"TAI": "tai", "TT": "tt", "TDB": "tdb"}.get(named, "utc")
    time = _time_of(day, total, named or scale)
    return _Parsed(time, resolution, True, named)


def _time_of(day: int, seconds: float, scale: str) -> Time:
    """A day and the seconds since its midnight."""
    date = datetime.date.fromordinal(day + _ORDINAL_OF_MJD_0)
    if scale == "utc" and date.year >= 1972 and (date.month, date.day) in ((6, 30), (12, 31)):
        # As a fraction of a day it is up to 1 s off where the day ends with a leap second.
        return Time(day, 0.0, format="mjd", scale=scale) + seconds * u.s
    return Time(day, seconds / _DAY_S, format="mjd", scale=scale)


def _day_of(found: str) -> tuple[int | None, str]:
    """Modified Julian day of the date that a text begins with, and what follows."""
    for pattern in (*_DATES, _OLD_DATE):
        match = pattern.match(found)
        if match is None:
            continue
        rest = found[match.end() :]
        if rest[:1].isdigit():
            continue
        try:
            return _ordinal(match) - _ORDINAL_OF_MJD_0, rest
        except (ValueError, OverflowError):
            continue
    return None, ""


def _ordinal(match: re.Match[str]) -> int:
    named = match.groupdict()
    if not named:
        # DD/MM/YY: the year counts from 1900: '26/07/102' is 2002.
        day, month, year = (int(part) for part in match.groups())
        if len(match[3]) == 2 and year < _OLDEST_SHORT_YEAR:
            raise ValueError("the century, or even the order, cannot be told")
        return datetime.date(1900 + year, month, day).toordinal()
    year = int(named["y"])
    if named.get("n"):
        return datetime.date(year, 1, 1).toordinal() + int(named["n"]) - 1
    if named.get("b"):
        month = _MONTHS.get(named["b"].lower(), 0)
        return datetime.date(year, month, int(named["d"])).toordinal()
    if named.get("p"):
        first, second = int(named["p"]), int(named["q"])
        if first <= 12 and second <= 12 and first != second:
            raise ValueError("day and month cannot be told apart")
        day, month = (first, second) if second <= 12 else (second, first)
        return datetime.date(year, month, day).toordinal()
    return datetime.date(year, int(named["m"]), int(named["d"])).toordinal()
