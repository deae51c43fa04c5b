"""Celestial coordinates out of a header: built whole, repaired, or refused with a reason.

What astropy and wcslib would pass over without a word (numbers in quotes, distortions they do not
know, PV beside SIP) is mended here or named. The result is an ordinary astropy WCS; where it is
used, `streaks.sky` turns it to ICRS.
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from streaks import sky
from streaks.errors import FrameError
from streaks.readers import headers
from streaks.readers.iraf import read_wat, tpv_terms
from streaks.readers.times import parse_instant

__all__ = ["Solution", "read_solution"]

#: Smallest and largest believable size of a pixel on the sky.
_SCALE_RANGE_ARCSEC = (1e-3, 1e3)
#: Every word that takes part, for any number of axes; alternates (CTYPE1A) do not.
_WORD = re.compile(
    r"WCSAXES|NAXIS\d?|(?:CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)\d|(?:CD|PC)\d_\d"
    r"|(?:CD|PC)00\d00\d|PV\d_\d+|PROJP\d|(?:A|B|AP|BP)_(?:ORDER|DMAX|\d_\d)"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH"
    r"|WAT\d_\d{3}|PS\d_\d+|CPDIS\d|CQDIS\d|DP\d|DQ\d|CPERR\d|D2IM\w*|AXISCORR"
    r"|PLTRA[HMS]|PLTDEC(?:SN|[DMS])|PLTSCALE|[XY]PIXELSZ|PPO\d|AMD[XY]\d+|CNPIX[12]"
)
#: Words with the number of an axis, or of two.
_AXIS_OF = re.compile(
    r"(?:NAXIS|CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|PV|WAT|PS|CPDIS|CQDIS|DP|DQ)(\d)(?:_.*)?"
)
_AXES_OF = re.compile(r"(CD|PC)(?:00)?(\d)(?:_|00)(\d)")
_TEXTS = re.compile(
    r"CTYPE\d|CUNIT\d|RADESYS|RADECSYS|WAT.*|PS\d.*|C[PQ]DIS\d|D[PQ]\d|D2IM\w*|AXISCORR|PLTDECSN"
)
#: Without a value these are as good as absent; of the others each counts.
_OPTIONAL = re.compile(
    r"CROTA\d|LONPOLE|LATPOLE|EQUINOX|EPOCH|CUNIT\d|RADESYS|RADECSYS|PV.*|CDELT\d"
)
_LOOKUP = re.compile(r"CPDIS\d|D2IM(?:DIS\d|ARR|EXT|\d)|AXISCORR")
_EPOCH_WORDS = ("MJD-AVG", "MJD-OBS", "DATE-AVG", "DATE-OBS", "DATE-BEG")


@dataclass(frozen=True, eq=False)
class Solution:
    """The coordinates of an image, or why there are none.

    Parameters
    ----------
    wcs
        Two axes, x first; None where there are none.
    reason
        Why not; empty where the header has no such words at all.
    notes
        What was mended or taken for granted, for the user to know.
    told
        In words: projection, system, distortion.
    """

    wcs: WCS | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    told: str = ""


@dataclass(frozen=True)
class _Words:
    """The words that make coordinates: equal where their values are."""

    values: str
    header: fits.Header = field(compare=False)
    notes: tuple[str, ...] = ()


class _Refused(Exception):
    """The words make no coordinates; the message says which and why."""


def read_solution(
    header: fits.Header,
    *,
    axes: tuple[int, int] = (1, 2),
    ctype: Sequence[str] = (),
    hdus: fits.HDUList | None = None,
    epoch: Callable[[], Time | None] = lambda: None,
) -> Solution:
    """The celestial coordinates that a header tells.

    Parameters
    ----------
    header
        Of the image, with ``NAXIS1`` and ``NAXIS2``.
    axes
        Numbers of the header's axes that are x and y of the image, where others were dropped.
    ctype
        CTYPE1 and CTYPE2 where the header has none: a survey's convention.
    hdus
        The open file, for distortions that lie in tables of their own.
    epoch
        When the image was taken; asked for FK4 only, whose axes turn.

    Returns
    -------
    Solution
        Its WCS is the caller's own, to change as it likes.
    """
    x = axes[0]
    some = (f"CTYPE{x}", f"CRVAL{x}", f"CD{x}_{x}", f"CDELT{x}", "AMDX1")
    if not any(word in header for word in some):
        other = _alternate(header, x)
        reason = f"they are of an alternate version ({other}) only, which is not read"
        return Solution(reason=reason if other else "")
    try:
        words = _words_of(header, axes, ctype, epoch)
        found = _with_tables(words, hdus) if _needs_tables(words.header) else _solution(words)
    except _Refused as refusal:
        return Solution(reason=str(refusal))
    except Exception as error:
        # wcslib and astropy raise many kinds for nonsense in a header.
        return Solution(reason=" ".join(str(error).split())[:120] or type(error).__name__)
    return found if found.wcs is None else replace(found, wcs=found.wcs.deepcopy())


def _alternate(header: fits.Header, axis: int) -> str:
    """The word for an axis of the sky in an alternate version of the coordinates; else empty."""
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        word = f"CTYPE{axis}{letter}"
        if re.match(r"RA-|DEC-|[GES]L(ON|AT)", str(headers.value(header, word) or "").upper()):
            return word
    return ""


def _words_of(
    header: fits.Header,
    axes: tuple[int, int],
    ctype: Sequence[str],
    epoch: Callable[[], Time | None],
) -> _Words:
    """The words that make the coordinates, their numbers as numbers, and no others."""
    kept: dict[str, fits.Card] = {}
    records: list[fits.Card] = []
    for card in header.cards:
        word = card.keyword
        kind = _kind_of(word)
        if not kind:
            continue
        if kind == "record":
            records.append(card)  # many of one name
        elif word not in kept:
            kept[word] = card
    if axes != (1, 2) or any(_kind_of(word) == "third" for word in kept):
        kept = _two_axes(kept, axes)
    notes: list[str] = []
    for word, card in list(kept.items()):
        mended = _mended(word, card, header, notes)
        if mended is None:
            del kept[word]
        else:
            kept[word] = mended
    _settle_types(kept, ctype, notes)
    _settle_distortion(kept, records, notes)
    _settle_system(kept, header, epoch, notes)
    values = [(word, card.value) for word, card in kept.items()]
    values += [(card.keyword, str(card.rawvalue)) for card in records]
    # Cards as they are: made again from their values they cost as much as the coordinates.
    return _Words(repr(values), fits.Header([*kept.values(), *records]), tuple(notes))


@functools.lru_cache(maxsize=4096)
def _kind_of(word: str) -> str:
    """What a word is to coordinates: nothing, one that counts, of an axis beyond two, a record."""
    if not _WORD.fullmatch(word.split(".")[0]):
        return ""
    if re.match(r"D[PQ]\d", word):
        return "record"
    both, one = _AXES_OF.fullmatch(word), _AXIS_OF.fullmatch(word)
    numbers = (both[2], both[3]) if both else (one[1],) if one else ()
    return "third" if word == "WCSAXES" or any(n > "2" for n in numbers) else "word"


@functools.lru_cache(maxsize=4096)
def _is_text(word: str) -> bool:
    return _TEXTS.fullmatch(word) is not None


def _two_axes(kept: Mapping[str, fits.Card], axes: tuple[int, int]) -> dict[str, fits.Card]:
    """The words of two axes, numbered 1 and 2; an axis of one pixel stands where it stands."""
    number = {str(axes[0]): "1", str(axes[1]): "2", "0": "0"}
    found: dict[str, fits.Card] = {}
    for word, card in kept.items():
        both, one, new = _AXES_OF.fullmatch(word), _AXIS_OF.fullmatch(word), word
        if word in ("WCSAXES", "NAXIS"):
            continue
        if both:
            if both[2] not in number or both[3] not in number:
                continue
            new = f"{both[1]}{number[both[2]]}_{number[both[3]]}"
        elif one:
            if one[1] not in number:
                continue
            at = one.start(1)
            new = word[:at] + number[one[1]] + word[at + 1 :]
        found[new] = card if new == word else fits.Card(new, headers.card_value(card), card.comment)
    found["NAXIS"] = fits.Card("NAXIS", 2)
    return found


def _mended(word: str, card: fits.Card, header: fits.Header, notes: list[str]) -> fits.Card | None:
    """The card with a number where one belongs; None for one without a value that may lack."""
    value = headers.card_value(card)
    if type(value) in (int, float) and math.isfinite(value) and not _is_text(word):
        return card
    if type(value) is str and value and _is_text(word):
        return card
    blank = value is None or (isinstance(value, str) and not value.strip())
    if blank and (_OPTIONAL.fullmatch(word) or _TEXTS.fullmatch(word)):
        return None
    if _TEXTS.fullmatch(word):
        return card if isinstance(value, str) else fits.Card(word, str(value))
    if isinstance(value, bool) or blank:
        raise _Refused(f"{word} is no number")
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise _Refused(f"{word} is no number")
        return card
    text = str(value).strip()
    if word in ("EQUINOX", "EPOCH"):
        text = text.lstrip("JjBb")
    try:
        number = float(text.upper().replace("D", "E"))
    except ValueError:
        raise _Refused(f"{word} is {str(value).strip()!r}, no number") from None
    if not math.isfinite(number):
        raise _Refused(f"{word} is {str(value).strip()!r}, no number")
    if not any(note.startswith("numbers of the WCS") for note in notes):
        notes.append(f"numbers of the WCS are in quotes ({word} and others); read as numbers")
    whole = re.fullmatch(r"(?:A|B|AP|BP)_ORDER|NAXIS\d?|WCSAXES", word)
    return fits.Card(word, int(number) if whole else number)


def _text(kept: Mapping[str, fits.Card], word: str) -> str:
    card = kept.get(word)
    return "" if card is None else str(headers.card_value(card)).strip()


def _settle_types(kept: dict[str, fits.Card], ctype: Sequence[str], notes: list[str]) -> None:
    """CTYPE where a survey leaves it out; what no distortion is known for is refused."""
    types = [_text(kept, f"CTYPE{i}") for i in (1, 2)]
    if not any(types) and "AMDX1" not in kept:
        if len(ctype) != 2:
            raise _Refused("CTYPE1 is missing")
        for i, name in enumerate(ctype, 1):
            kept[f"CTYPE{i}"] = fits.Card(f"CTYPE{i}", name)
        notes.append(f"no CTYPE in the header; {ctype[0]} is taken, as this survey means")
        return
    for i, name in enumerate(types, 1):
        if name != name.upper():
            kept[f"CTYPE{i}"] = fits.Card(f"CTYPE{i}", name.upper())
        code, distortion = name.upper()[5:8], name.upper()[8:]
        if code == "TAB":
            raise _Refused(f"{name} reads coordinates from a table, which is not understood")
        if distortion not in ("", "-SIP") and name:
            raise _Refused(f"{name} has a distortion that is not understood")


def _settle_distortion(
    kept: dict[str, fits.Card], records: list[fits.Card], notes: list[str]
) -> None:
    """SIP, PV and WAT words brought to what wcslib applies without leaving any out."""
    code = _text(kept, "CTYPE1")[5:8]
    has_sip = _settle_sip(kept, notes)
    pv = [word for word in kept if word.startswith("PV")]
    if code in ("TNX", "ZPX"):
        _as_matrix(kept)
        _longitude_first(kept)
        _from_iraf(kept, records, code, notes)
        return
    for word in [word for word in kept if word.startswith("WAT")]:
        del kept[word]
    polynomial = code == "TPV" or (code == "TAN" and _is_polynomial(kept, pv))
    if has_sip and polynomial and pv:
        for word in pv:
            del kept[word]
        _rename(kept, "TAN-SIP")
        notes.append("both SIP and PV words are there; SIP is applied, PV is passed over")
    elif has_sip and code == "TPV":
        _rename(kept, "TAN-SIP")
    elif has_sip and not all(_text(kept, f"CTYPE{i}").endswith("-SIP") for i in (1, 2)):
        if code == "TAN":
            _rename(kept, "TAN-SIP")
        notes.append("SIP words are there, though CTYPE has no -SIP; they are applied")
    elif polynomial:
        _rename(kept, "TPV")
        _as_matrix(kept)
        _longitude_first(kept)
        for i in (1, 2):
            kept.setdefault(f"PV{i}_1", fits.Card(f"PV{i}_1", 1.0))


def _settle_sip(kept: dict[str, fits.Card], notes: list[str]) -> bool:
    """Whether there is a SIP distortion, with its orders stated: one that lacks is made good.

    Its terms would be passed over, or astropy would refuse the whole.
    """
    orders = {}
    for axis in "AB":
        terms = [re.fullmatch(rf"{axis}_(\d)_(\d)", word) for word in kept]
        powers = [int(term[1]) + int(term[2]) for term in terms if term]
        orders[axis] = max(powers, default=0)
    stated = [f"{axis}_ORDER" for axis in "AB" if f"{axis}_ORDER" in kept]
    if not stated and not any(orders.values()):
        return False
    for axis, order in orders.items():
        word = f"{axis}_ORDER"
        if word in kept and order > float(headers.card_value(kept[word])):
            notes.append(f"SIP terms of {axis} beyond {word} are passed over")
        if word not in kept:
            if order:
                notes.append(
                    f"{word} is missing; the SIP terms of {axis} are read to order {order}"
                )
            kept[word] = fits.Card(word, max(order, 2))
    return True


def _is_polynomial(kept: dict[str, fits.Card], pv: Sequence[str]) -> bool:
    """Whether PV words of a TAN are SCAMP's polynomial: they speak of latitude, or of order 2.

    The projection has none for latitude; some writers put zeros there.
    """
    latitude = "1" if _text(kept, "CTYPE1")[:4].strip("-") in ("DEC", "GLAT", "ELAT") else "2"
    for word in pv:
        speaks = word[2] == latitude or int(word.split("_")[1]) > 4
        if speaks and float(headers.card_value(kept[word])) != 0.0:
            return True
    return False


def _rename(kept: dict[str, fits.Card], code: str) -> None:
    """Give both axes another projection code, their names kept."""
    for i in (1, 2):
        kept[f"CTYPE{i}"] = fits.Card(f"CTYPE{i}", _text(kept, f"CTYPE{i}")[:5] + code)


def _from_iraf(
    kept: dict[str, fits.Card], records: list[fits.Card], code: str, notes: list[str]
) -> None:
    """TNX as TPV, ZPX as ZPN with the same polynomial before it."""
    texts = {}
    for i in (1, 2):
        words = sorted(word for word in kept if word.startswith(f"WAT{i}_"))
        # Blanks at the end of a card are part of the text, and lost when a card is read.
        texts[i] = "".join(str(headers.card_value(kept[word])).ljust(68) for word in words)
    for word in [word for word in kept if re.match(r"WAT|PV", word)]:
        del kept[word]
    try:
        axes = {i: read_wat(text) for i, text in texts.items()}
        terms = {i: tpv_terms(axes[i], i) for i in (1, 2)}
    except ValueError as error:
        raise _Refused(f"the WAT words of {code} cannot be read: {error}") from None
    if not any(texts.values()):
        notes.append(f"CTYPE says {code}, but its WAT words are missing; no distortion is applied")
    if code == "TNX":
        _rename(kept, "TPV")
        for i in (1, 2):
            for k, value in terms[i].items():
                kept[f"PV{i}_{k}"] = fits.Card(f"PV{i}_{k}", value)
        return
    _rename(kept, "ZPN")
    radial = {**axes[1].projection, **axes[2].projection} or {1: 1.0}
    for power, value in radial.items():
        kept[f"PV2_{power}"] = fits.Card(f"PV2_{power}", value)
    if axes[1].correction is None and axes[2].correction is None:
        return
    for i in (1, 2):
        kept[f"CQDIS{i}"] = fits.Card(f"CQDIS{i}", "TPV")
        said: list[tuple[str, float]] = [("NAXES", 2), ("AXIS.1", i), ("AXIS.2", 3 - i)]
        said += [(f"TPV.{k}", value) for k, value in sorted(terms[i].items())]
        records += [
            fits.Card.fromstring(f"DQ{i}     = '{name}: {value!r}'") for name, value in said
        ]


def _longitude_first(kept: dict[str, fits.Card]) -> None:
    """Longitude as the first axis of the sky: wcslib mixes up polynomials of the other order."""
    if _text(kept, "CTYPE2")[:4].strip("-") not in ("RA", "GLON", "ELON", "SLON"):
        return
    number = {"1": "2", "2": "1"}
    swapped: dict[str, fits.Card] = {}
    for word in list(kept):
        match = re.fullmatch(r"(CTYPE|CRVAL|CUNIT|CD|PC|PV|WAT|CDELT)([12])(_.*)?", word)
        if match:
            new = match[1] + number[match[2]] + (match[3] or "")
            card = kept.pop(word)
            swapped[new] = fits.Card(new, headers.card_value(card))
    kept.update(swapped)


def _as_matrix(kept: dict[str, fits.Card]) -> None:
    """CD in deg for CDELT with PC or CROTA.

    Polynomials are of coordinates in deg, behind CDELT; wcslib applies them before it.
    """

    def number(word: str, default: float) -> float:
        return float(headers.card_value(kept[word])) if word in kept else default

    if not any(re.match(r"CD\d", word) for word in kept):
        cdelt = np.array([number("CDELT1", 1.0), number("CDELT2", 1.0)])
        if any(word.startswith("PC") for word in kept):
            names = [[f"PC{i}_{j}" for j in (1, 2)] for i in (1, 2)]
            old = {f"PC00{i}00{j}": f"PC{i}_{j}" for i in (1, 2) for j in (1, 2)}
            for word in [word for word in kept if word in old]:
                kept[old[word]] = kept.pop(word)
            pc = [[number(names[i][j], float(i == j)) for j in (0, 1)] for i in (0, 1)]
            matrix = cdelt[:, None] * np.array(pc)
        else:
            turn = math.radians(number("CROTA2", number("CROTA1", 0.0)))
            cosine, sine = math.cos(turn), math.sin(turn)
            matrix = np.array(
                [[cdelt[0] * cosine, -cdelt[1] * sine], [cdelt[0] * sine, cdelt[1] * cosine]]
            )
        for word in [word for word in kept if re.match(r"PC\d|CDELT|CROTA", word)]:
            del kept[word]
        for i in (0, 1):
            for j in (0, 1):
                word = f"CD{i + 1}_{j + 1}"
                kept[word] = fits.Card(word, float(matrix[i, j]))
    for i in (1, 2):
        unit = _text(kept, f"CUNIT{i}")
        if not unit or unit.lower() in ("deg", "degree", "degrees"):
            continue
        size = float(u.Unit(unit.lower()).to(u.deg))
        for word in (f"CRVAL{i}", f"CD{i}_1", f"CD{i}_2"):
            if word in kept:
                kept[word] = fits.Card(word, number(word, 0.0) * size)
        kept[f"CUNIT{i}"] = fits.Card(f"CUNIT{i}", "deg")


def _settle_system(
    kept: dict[str, fits.Card],
    header: fits.Header,
    epoch: Callable[[], Time | None],
    notes: list[str],
) -> None:
    """RADESYS as the standard spells it, so that astropy knows it too; the epoch for FK4."""
    word = "RADESYS" if "RADESYS" in kept else "RADECSYS"
    stated = _text(kept, word)
    year = kept.get("EQUINOX", kept.get("EPOCH"))
    equinox = math.nan if year is None else float(headers.card_value(year))
    if not 1800.0 < equinox < 2200.0:
        for name in ("EQUINOX", "EPOCH"):
            kept.pop(name, None)
        equinox = math.nan
    if _text(kept, "CTYPE1")[:1] in "GSgs" and not stated and math.isnan(equinox):
        return
    system = sky.system_of_words(stated, equinox)
    if system.note:
        notes.append(system.note)
    names = {"icrs": "ICRS", "fk5": "FK5", "fk4": "FK4", "fk4noeterms": "FK4-NO-E"}
    if stated and stated != names[system.kind]:
        for name in ("RADESYS", "RADECSYS"):
            kept.pop(name, None)
        kept["RADESYS"] = fits.Card("RADESYS", names[system.kind])
    if system.kind == "icrs" and math.isfinite(equinox):
        for name in ("EQUINOX", "EPOCH"):
            kept.pop(name, None)
    if system.kind.startswith("fk4"):
        days = (str(headers.value(header, name) or "")[:10] for name in _EPOCH_WORDS)
        times = (parse_instant(day, clock="12:00:00") for day in days)
        time = epoch() or next((time for time in times if time is not None), None)
        if time is None:
            notes.append("FK4 without a date of observation: places are good to 0.5 arcsec")
        else:
            kept["MJD-OBS"] = fits.Card("MJD-OBS", round(float(time.mjd), 1))


def _needs_tables(header: fits.Header) -> bool:
    return any(_LOOKUP.fullmatch(card.keyword.split(".")[0]) for card in header.cards)


def _with_tables(words: _Words, hdus: fits.HDUList | None) -> Solution:
    """Coordinates with distortions that lie in other HDUs of the file; not kept."""
    for i in (1, 2):
        kind = str(words.header.get(f"CPDIS{i}", "Lookup")).strip().lower()
        if kind != "lookup":
            raise _Refused(f"CPDIS{i} is {kind!r}, a distortion that is not understood")
    if hdus is None:
        raise _Refused("its distortion lies in a table that was not given")
    return _made(words, hdus)


@functools.lru_cache(maxsize=8)
def _solution(words: _Words) -> Solution:
    """Coordinates, and what is wrong with them.

    Kept, because a science image has those of its difference image, and a reference those that it
    had for the frame before.
    """
    return _made(words, None)


def _made(words: _Words, hdus: fits.HDUList | None) -> Solution:
    with warnings.catch_warnings():
        # What astropy repairs (units, old names) is what was meant.
        warnings.simplefilter("ignore")
        # The whole header: a selection of axes would be made before the repairs.
        wcs = WCS(words.header, hdus)
        trouble = _trouble(wcs, words.header)
    if trouble:
        return Solution(reason=trouble, notes=words.notes)
    return Solution(wcs, notes=words.notes, told=_told(wcs, words.header))


def _trouble(wcs: WCS, header: fits.Header) -> str:
    if not wcs.has_celestial:
        return "it is not celestial"
    system = sky.sky_system(wcs)
    if not system.kind:
        return system.note
    nx, ny = float(header["NAXIS1"]), float(header["NAXIS2"])
    try:
        corners = sky.to_icrs(wcs, [0, nx - 1, 0, nx - 1], [0, 0, ny - 1, ny - 1])
    except FrameError as error:
        return str(error)
    if not np.isfinite(corners).all():
        return "a corner of the image has no coordinates"
    scale = float(np.sqrt(wcs.proj_plane_pixel_area().to_value("arcsec2")))
    if not _SCALE_RANGE_ARCSEC[0] < scale < _SCALE_RANGE_ARCSEC[1]:
        return f"a pixel would be {scale:g} arcsec"
    return ""


def _told(wcs: WCS, header: fits.Header) -> str:
    types = [str(header.get(f"CTYPE{i}", "")) for i in (1, 2)]
    names = ["SIP"] if wcs.sip is not None else []
    names += ["polynomial PV"] if types[0].endswith("TPV") or "CQDIS1" in header else []
    names += ["tables"] if wcs.cpdis1 is not None or wcs.det2im1 is not None else []
    told = f"{types[0]}, {types[1]} in {sky.sky_system(wcs)}" if any(types) else "plate solution"
    return f"{told}, distortion by {' and '.join(names)}" if names else told
