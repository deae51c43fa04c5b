"""Numbers, units and text out of FITS headers that may lack them, misspell them or hold nonsense.

A unit is looked for in the value itself (``'30 s'``), in the card's comment (``[ms] exposure``),
and in a word for units beside it (``EXPUNIT``); what none of them says has the unit that the
survey's profile gives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from astropy.io import fits

from streaks.readers.profile import FwhmWords

__all__ = [
    "Found",
    "card_value",
    "comment",
    "exposure",
    "gain",
    "kept_values",
    "number",
    "number_and_word",
    "pixel_scale",
    "psf_fwhm",
    "raw_text",
    "repeated",
    "spelled",
    "stated_unit",
    "text",
    "value",
]

#: Surveys write -999 and the like for "unknown"; nothing read here can be that small.
_SENTINEL = -90.0
#: A PSF narrower or wider than this is a wrong unit or a filler.
_FWHM_RANGE_PX = (0.5, 60.0)
#: Two words for one number differ where they are farther apart than this share.
_SAME = 0.01
#: Electrons a count of any detector that is searched; camera settings are often beyond.
_LARGEST_GAIN = 60.0
#: A gain is measured, and written with decimals; whole numbers from here on are steps of a dial.
_WHOLE_GAIN = 10

#: Of each kind of unit: name, size, and how it is written in brackets and in prose.
_UNITS: Mapping[str, tuple[tuple[str, float, str, str], ...]] = {
    "time": (
        ("ns", 1e-9, r"ns|nsec", r"nano-?sec\w*"),
        ("us", 1e-6, r"us|usec|µs", r"micro-?sec\w*|usecs?"),
        ("ms", 1e-3, r"ms|msecs?", r"milli-?sec\w*|msecs?|ms"),
        ("ks", 1e3, r"ks|ksecs?", r"kilo-?sec\w*|ksecs?|ks"),
        ("min", 60.0, r"m|min|mins", r"minutes?|mins?"),
        ("h", 3600.0, r"h|hr|hrs", r"hours?|hrs?"),
        ("d", 86400.0, r"d", r"days?"),
        ("s", 1.0, r"s|sec|secs", r"seconds?|secs?"),
    ),
    "angle": (
        ("mas", 1e-3, r"mas", r"mas|milli-?arc-?sec\w*"),
        ("urad", 0.20626480624709636, r"urad|µrad", r"micro-?rad\w*|urad"),
        ("arcmin", 60.0, r"'", r"arc-?min\w*"),
        ("arcsec", 1.0, r"\"|as|asec|''", r"arc-?sec\w*|arcs|asec"),
        ("deg", 3600.0, r"deg|°", r"degrees?|deg"),
        ("rad", 206264.80624709636, r"rad", r"radians?|rad"),
        ("pix", math.nan, r"px|pix", r"pix\w*|px"),
    ),
}
#: Words whose unit is TIMEUNIT's where nothing else says (FITS Standard 4.0, section 9.3).
_IN_TIMEUNIT = frozenset({"XPOSURE", "TELAPSE", "ONTIME", "LIVETIME", "EXPOSURE"})
_PER_PIXEL = re.compile(r"(/|\bper\b)\s*(pix\w*|px)", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """A number out of a header.

    Parameters
    ----------
    value
        In s, arcsec, px, or whatever its kind has; NaN where nothing tells.
    told
        The word, what it holds and in which unit; empty where nothing tells.
    notes
        What the user should know of it.
    """

    value: float = math.nan
    told: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Reading:
    word: str
    value: float
    unit: str
    stated: bool
    factor: float = 1.0  # of that unit: 0.01 for hundredths


#: A comment may count in pieces of a unit, or many: tenths of a second, 1/100 s, units of 10 ms.
_PIECES = (
    (re.compile(r"\btenths?\b", re.IGNORECASE), 0.1),
    (re.compile(r"\bhundredths?\b", re.IGNORECASE), 0.01),
    (re.compile(r"\bthousandths?\b", re.IGNORECASE), 0.001),
)
_FRACTION = re.compile(r"(?<![\w.])1\s*/\s*(\d+)(?=\s*[a-z])", re.IGNORECASE)
_MULTIPLE = re.compile(r"\b(?:units?|steps?|multiples?) of (\d+(?:\.\d*)?)", re.IGNORECASE)
_TIMES_TEN = re.compile(r"\b[a-z]+\s*(?:\*|\bx\b)\s*(10+)\b", re.IGNORECASE)


def spelled(header: fits.Header, word: str) -> str:
    """A word as the header spells it: ``DATE-OBS``, ``DATE_OBS`` or ``DATEOBS``.

    Parameters
    ----------
    header
        Of the image.
    word
        In any spelling.

    Returns
    -------
    str
        `word` itself where the header has it in none.
    """
    if word in header:
        return word
    bare = re.sub(r"[-_]", "", word)
    for other in (word.replace("-", "_"), word.replace("_", "-"), bare):
        if other != word and other in header:
            return other
    return word


def value(header: fits.Header, word: str) -> Any:
    """The value of a header word in any spelling; None where it is missing or empty.

    A value that breaks the standard's grammar (text without quotes) is given as text.

    Parameters
    ----------
    header
        Of the image.
    word
        In any spelling.

    Returns
    -------
    bool, int, float, complex, str or None
    """
    word = spelled(header, word)
    try:
        found = header.get(word)
    except (fits.VerifyError, ValueError, TypeError):
        return _raw_value(header, word)
    if type(found) is int and 1900 <= found < 2200:
        # 2024/06/15 without quotes looks like a year with a comment.
        text = str(header.cards[word].image)[10:80].strip()
        if re.match(r"\d{4}/\d{1,2}/\d", text):
            return _unquoted(f"{'':10}{text}")
    return None if isinstance(found, fits.card.Undefined) else found


def card_value(card: fits.Card) -> Any:
    """As `value`, of one card.

    Parameters
    ----------
    card
        Of a header.

    Returns
    -------
    bool, int, float, complex, str or None
        None for an empty value; text for one that breaks the standard's grammar.
    """
    try:
        found = card.value
    except (fits.VerifyError, ValueError, TypeError):
        return _unquoted(str(card.image))
    return None if isinstance(found, fits.card.Undefined) else found


def _raw_value(header: fits.Header, word: str) -> Any:
    try:
        return _unquoted(header.cards[word].image)
    except Exception:
        # A card that astropy can make nothing of, in any way.
        return None


def _unquoted(image: str) -> str | None:
    """The value of a card whose text lacks its quotes; a slash before its comment has a blank."""
    text = re.split(r"\s/", image[10:80], maxsplit=1)[0].strip().strip("'").strip()
    return text or None


def raw_text(header: fits.Header, word: str) -> str:
    """The value of a word as it stands in the file, digits and all; empty where there is none.

    Parameters
    ----------
    header
        Of the image.
    word
        In any spelling.

    Returns
    -------
    str
        Without quotes and blanks round it.
    """
    try:
        image = str(header.cards[spelled(header, word)].image)
    except Exception:
        # No such card, or one that astropy can make nothing of.
        return ""
    quoted = re.match(r".{8}= *'([^']*)'", image)
    return quoted[1].strip() if quoted else _unquoted(image) or ""


def repeated(header: fits.Header, word: str) -> str:
    """What should be said of a word that stands twice with different values; else empty.

    Parameters
    ----------
    header
        Of the image.
    word
        In any spelling.

    Returns
    -------
    str
        The first of the values is the one that counts.
    """
    word = spelled(header, word)
    try:
        if header.count(word) < 2:
            return ""
    except KeyError:
        return ""
    values = [card_value(header.cards[i]) for i in _places(header, word)]
    others = [other for other in values[1:] if other != values[0]]
    if not others:
        return ""
    return f"{word} stands more than once, {values[0]!r} and {others[0]!r}; the first is taken"


def _places(header: fits.Header, word: str) -> list[int]:
    return [i for i, name in enumerate(header) if name == word]


def comment(header: fits.Header, word: str) -> str:
    """The comment behind a word; empty where there is none.

    Parameters
    ----------
    header
        Of the image.
    word
        In any spelling.

    Returns
    -------
    str
    """
    word = spelled(header, word)
    try:
        return str(header.comments[word])
    except (KeyError, fits.VerifyError, ValueError):
        pass
    try:
        parts = re.split(r"\s/", str(header.cards[word].image)[10:80], maxsplit=1)
    except Exception:
        return ""
    return parts[1].strip() if len(parts) > 1 else ""


def number(header: fits.Header, words: Sequence[str], *, lowest: float = _SENTINEL) -> float:
    """The first finite number above a lowest one among some words; NaN where there is none.

    Parameters
    ----------
    header
        Of the image.
    words
        In order of preference.
    lowest
        Numbers at or below it stand for "unknown", as -999 does.

    Returns
    -------
    float
        In the header's own unit.
    """
    return number_and_word(header, words, lowest=lowest)[0]


def number_and_word(
    header: fits.Header, words: Sequence[str], *, lowest: float = _SENTINEL
) -> tuple[float, str]:
    """As `number`, with the word that holds it.

    Parameters
    ----------
    header, words, lowest
        As in `number`.

    Returns
    -------
    number : float
        NaN where there is none.
    word : str
        Empty where there is none.
    """
    for word in words:
        result = _as_number(value(header, word))
        if math.isfinite(result) and result > lowest:
            return result, word
    return math.nan, ""


def _as_number(found: Any) -> float:
    if found is None or isinstance(found, bool):
        return math.nan
    try:
        return float(found)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def text(header: fits.Header, words: Sequence[str]) -> str:
    """The first text among some words; empty where there is none.

    Parameters
    ----------
    header
        Of the image.
    words
        In order of preference.

    Returns
    -------
    str
        Without blanks round it.
    """
    for word in words:
        found = value(header, word)
        if isinstance(found, str) and found.strip():
            return found.strip()
    return ""


def stated_unit(words: str, kind: str) -> str:
    """The unit that a comment names; empty where it names none, or more than one.

    Parameters
    ----------
    words
        A comment: ``[ms] time on source``, ``Exposure time minutes``, ``(sec)``.
    kind
        ``time`` or ``angle``.

    Returns
    -------
    str
        Such as ``s``, ``ms`` or ``arcsec``.
    """
    words = _PER_PIXEL.sub(" ", words)
    for group in re.findall(r"[\[(]([^\])]*)[\])]", words):
        inside = _unit_named(group, kind)
        if inside:
            return inside
    named = {
        name
        for name, _, _, prose in _UNITS[kind]
        if re.search(rf"(?<![\w-])(?:{prose})(?![\w-])", words, re.IGNORECASE)
    }
    return named.pop() if len(named) == 1 else ""


def _unit_named(text: str, kind: str) -> str:
    """The unit that a short text is."""
    text = _PER_PIXEL.sub("", text).strip().rstrip(".")
    for name, _, short, prose in _UNITS[kind]:
        if re.fullmatch(f"(?:{short}|{prose}|{name})", text, re.IGNORECASE):
            return name
    return ""


def _factor(words: str, value: float) -> float:
    """How many of the unit that a comment names one count is; 1 where it says nothing of it."""
    for pattern, size in _PIECES:
        if pattern.search(words):
            return size
    # Of 0.0167 with a comment of 1/60 s the comment repeats the value.
    for pattern in (_FRACTION, _TIMES_TEN) if value == int(value) else ():
        match = pattern.search(words)
        if match and int(match[1]) > 0:
            return 1.0 / int(match[1])
    match = _MULTIPLE.search(words)
    return float(match[1]) if match and float(match[1]) > 0 else 1.0


def _size(unit: str, kind: str) -> float:
    return next(size for name, size, _, _ in _UNITS[kind] if name == unit)


def _reading(header: fits.Header, word: str, kind: str, default: str) -> _Reading | None:
    found = value(header, word)
    unit = ""
    if isinstance(found, str):
        match = re.fullmatch(r"\s*([-+]?[\d.]+(?:[eEdD][-+]?\d+)?)\s*([^\d\s.].*)?", found)
        if match is None:
            return None
        unit = _unit_named(match[2] or "", kind)
        if match[2] and not unit:
            return None
        found = match[1].upper().replace("D", "E")
    result = _as_number(found)
    if not (math.isfinite(result) and result > _SENTINEL):
        return None
    word = spelled(header, word)
    said = comment(header, word)
    factor = 1.0 if unit else _factor(said, result)
    unit = unit or stated_unit(said, kind) or _unit_word(header, word, kind)
    return _Reading(word, result * factor, unit or default, bool(unit), factor)


def _unit_word(header: fits.Header, word: str, kind: str) -> str:
    """What a word for the unit of another says: EXPTUNIT, EXPUNIT, EXP_UNIT, FWHMUNIT."""
    for start in (word, word[:4], word[:3]):
        for end in ("UNIT", "_UNIT", "UNITS", "UNI", "U"):
            name = start + end
            if len(name) <= 8 and name != word and name in header:
                unit = _unit_named(text(header, [name]), kind)
                if unit:
                    return unit
    return ""


def exposure(header: fits.Header, words: Sequence[str]) -> Found:
    """Exposure time, s.

    Where words disagree, one that says its unit goes before one that does not; else the first.

    Parameters
    ----------
    header
        Of the image.
    words
        In order of preference.

    Returns
    -------
    Found
    """
    readings = [r for r in (_reading(header, w, "time", "s") for w in words) if r is not None]
    readings = [_in_timeunit(header, r) for r in readings if r.value > 0]
    beyond = [r for r in readings if r.stated and _is_beyond_a_day(r)]
    readings = [replace(r, unit="s", stated=False) if r in beyond else r for r in readings]
    if not readings:
        there = [w for w in words if value(header, w) is not None]
        said = tuple(f"{w} is {value(header, w)!r}, no exposure time" for w in there[:1])
        return Found(notes=said)
    seconds = [r.value * _size(r.unit, "time") for r in readings]
    others = [s for s in seconds if abs(s / seconds[0] - 1.0) > _SAME]
    best = 0
    if others and not readings[0].stated:
        best = next((i for i, r in enumerate(readings) if r.stated), 0)
    notes = [
        f"{r.word} says {s:g} s, {readings[best].word} {seconds[best]:g} s; "
        f"{readings[best].word} is taken"
        for r, s in zip(readings, seconds, strict=True)
        if abs(s / seconds[best] - 1.0) > _SAME
    ][:1]
    notes += [f"{r.word} = {r.value:g} {r.unit} is beyond a day; read in s" for r in beyond]
    counted = next((r for r in readings if r.factor != 1.0), None)
    if counted is not None:
        notes.append(
            f"{counted.word} counts {counted.factor:g} {counted.unit} by its comment: "
            f"{counted.value:g} {counted.unit}"
        )
    notes += [note for note in (repeated(header, readings[best].word),) if note]
    notes += _coadds(header, readings[best])
    return Found(seconds[best], _told(readings[best]), tuple(notes))


def _coadds(header: fits.Header, reading: _Reading) -> list[str]:
    """What should be said where several exposures were added before the image was written."""
    found, word = number_and_word(header, ["COADDS", "CO_ADDS", "NCOADDS", "NCOADD"], lowest=1)
    if math.isnan(found):
        return []
    return [
        f"{word} is {found:g}: if {reading.word} is of one of them, the exposure is {found:g} "
        "times as long; give --exposure"
    ]


def _is_beyond_a_day(reading: _Reading) -> bool:
    """Whether the unit makes an exposure of a day and more, and seconds do not."""
    return reading.value < 86400.0 < reading.value * _size(reading.unit, "time")


def _in_timeunit(header: fits.Header, reading: _Reading) -> _Reading:
    if reading.stated or reading.word not in _IN_TIMEUNIT:
        return reading
    unit = _unit_named(text(header, ["TIMEUNIT"]), "time")
    # Of 30 with days as the unit of a table nobody means 30 days.
    if not unit or reading.value * _size(unit, "time") > 86400.0:
        return reading
    return _Reading(reading.word, reading.value, unit, True)


def _told(reading: _Reading) -> str:
    return f"{reading.word} = {reading.value:g} {reading.unit}"


def pixel_scale(header: fits.Header, words: Sequence[str]) -> Found:
    """Size of a pixel where there are no coordinates, arcsec.

    Parameters
    ----------
    header
        Of the image.
    words
        In order of preference; a camera's pixel (``XPIXSZ``, um) over a focal length
        (``FOCALLEN``, mm) comes last.

    Returns
    -------
    Found
    """
    notes = []
    for word in words:
        reading = _reading(header, word, "angle", "arcsec")
        if reading is None or reading.unit == "pix":
            continue
        arcsec = reading.value * _size(reading.unit, "angle")
        said = comment(header, reading.word)
        if _NO_PIXEL_SCALE.search(said):
            notes.append(f"{reading.word} = {reading.value:g} is no scale of a pixel: {said!r}")
            continue
        if re.search(r"\bunbinned\b|\bwithout binning\b", said, re.IGNORECASE):
            binning = number(header, ["XBINNING", "CCDXBIN", "XBIN", "BINX"], lowest=0)
            arcsec *= binning if math.isfinite(binning) else 1.0
        if 1e-3 < arcsec < 1e3:
            return Found(arcsec, f"{_told(reading)}/px", tuple(notes))
        notes.append(f"{_told(reading)} is no scale of a pixel")
    pixel, focal = (
        _length(header, ["XPIXSZ", "PIXSIZE1"], "um"),
        _length(header, ["FOCALLEN"], "mm"),
    )
    if pixel > 0 and focal > 0:
        arcsec = math.degrees(pixel / focal) * 3600.0
        if 1e-3 < arcsec < 1e3:
            told = f"XPIXSZ = {pixel * 1e6:g} um over FOCALLEN = {focal * 1e3:g} mm"
            return Found(arcsec, told, tuple(notes))
    return Found(notes=tuple(notes[:1]))


#: Scales of a plate, sizes of pixels, and pixels an arcsecond.
_NO_PIXEL_SCALE = re.compile(
    r"/\s*mm\b|\bper (mm|milli-?met\w*)\b|\bmicrons?\b|\b[uµm]m\b|\bmicro-?met|\bmilli-?met|"
    r"\bpix(els?)?\s*(/|per)\s*(arc|\")",
    re.IGNORECASE,
)
_METRES = {"nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}


def _length(header: fits.Header, words: Sequence[str], default: str) -> float:
    """A length in m: of the unit that its comment names in brackets or as a word."""
    found, word = number_and_word(header, words, lowest=0)
    said = re.sub(r"microns?|micro-?met\w*|µm", "um", comment(header, word)) if word else ""
    said = re.sub(r"milli-?met\w*", "mm", said)
    units = set(re.findall(r"(?<![\w/])(nm|um|mm|cm|m)(?!\w)", said))
    return found * _METRES[units.pop() if len(units) == 1 else default]


def psf_fwhm(header: fits.Header, words: Sequence[FwhmWords], scale_arcsec: float) -> Found:
    """FWHM of the PSF from the first words that make sense, px.

    Parameters
    ----------
    header
        Of the image.
    words
        In order of preference.
    scale_arcsec
        Size of a pixel, for words in angles; NaN when unknown, and these are then passed over.

    Returns
    -------
    Found
    """
    notes = []
    for entry in words:
        readings = [_reading(header, word, "angle", entry.unit) for word in entry.words]
        there = [r for r in readings if r is not None]
        if len(there) != len(readings):
            continue
        fwhm = sum(_in_pixels(r, scale_arcsec) for r in there) / len(there)
        if _FWHM_RANGE_PX[0] <= fwhm <= _FWHM_RANGE_PX[1]:
            return Found(fwhm, ", ".join(_told(r) for r in there))
        if there[0].value > 0:
            why = "the size of a pixel is unknown" if math.isnan(fwhm) else f"{fwhm:.3g} px"
            notes.append(f"{_told(there[0])} is no FWHM that can be used: {why}")
    return Found(notes=tuple(notes[:1]))


def _in_pixels(reading: _Reading, scale_arcsec: float) -> float:
    if reading.unit == "pix":
        return reading.value
    return reading.value * _size(reading.unit, "angle") / scale_arcsec


def gain(header: fits.Header, words: Sequence[str]) -> Found:
    """Electrons a count.

    ``GAIN`` of many cameras is a setting of their amplifier: ``EGAIN`` goes before it, and a
    comment in electrons decides. What can only be a setting is not taken.

    Parameters
    ----------
    header
        Of the image.
    words
        In order of preference.

    Returns
    -------
    Found
    """
    notes = []
    for word in words:
        found = number(header, [word])
        if not found > 0:
            continue
        word, said = spelled(header, word), comment(header, word).lower()
        if re.search(r"(adu|dn|counts?)\s*(/|per)\s*e", said):
            return Found(1.0 / found, f"1 / {word} = {found:g} counts an electron")
        electrons = re.search(r"\be-?\s*(/|per)|elec", said) is not None
        setting = re.search(r"setting|sensor gain|db\b|iso\b|unitless|preset|index", said)
        whole = type(value(header, word)) is int and found >= _WHOLE_GAIN
        if not electrons and (setting or whole or found > _LARGEST_GAIN):
            notes.append(f"{word} = {found:g} is a camera's setting, no electrons a count")
            continue
        return Found(found, f"{word} = {found:g} electrons a count", tuple(notes))
    return Found(notes=tuple(notes[:1]))


def kept_values(header: fits.Header, keep: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Plain values worth keeping with results, those that are there.

    Parameters
    ----------
    header
        Of the image.
    keep
        By the name under which a value is kept: header words, the first that is there wins.

    Returns
    -------
    dict
        Numbers, and texts of at most 80 characters.
    """
    kept: dict[str, Any] = {}
    for name, words in keep.items():
        found = next((v for v in (value(header, w) for w in words) if v is not None), None)
        if isinstance(found, bool | int | float):
            kept[name] = found
        elif isinstance(found, str):
            kept[name] = found.strip()[:80]
    return kept
