"""Numbers and text out of FITS headers that may lack them, misspell them or hold nonsense."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from astropy.io import fits

from streaks.readers.profile import FwhmWords

__all__ = ["comment", "kept_values", "number", "psf_fwhm_px", "text", "value"]

#: Surveys write -999 and the like for "unknown"; nothing read here can be that small.
_SENTINEL = -90.0
#: A PSF narrower or wider than this is a wrong unit or a filler.
_FWHM_RANGE_PX = (0.5, 60.0)


def value(header: fits.Header, word: str) -> Any:
    """The value of a header word; None where it is missing or cannot be parsed."""
    try:
        found = header.get(word)
    except (fits.VerifyError, ValueError, TypeError):
        return None
    return None if isinstance(found, fits.card.Undefined) else found


def comment(header: fits.Header, word: str) -> str:
    """The comment behind a word; empty where there is none."""
    try:
        return str(header.comments[word])
    except (KeyError, fits.VerifyError, ValueError):
        return ""


def number(header: fits.Header, words: Sequence[str], *, lowest: float = _SENTINEL) -> float:
    """The first finite number above a lowest one among some words; NaN where there is none."""
    for word in words:
        found = value(header, word)
        if isinstance(found, bool):
            continue
        try:
            result = float(found)
        except (TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(result) and result > lowest:
            return result
    return math.nan


def text(header: fits.Header, words: Sequence[str]) -> str:
    """The first text among some words; empty where there is none."""
    for word in words:
        found = value(header, word)
        if isinstance(found, str) and found.strip():
            return found.strip()
    return ""


def psf_fwhm_px(header: fits.Header, words: Sequence[FwhmWords], scale_arcsec: float) -> float:
    """FWHM of the PSF from the first words that make sense, px; NaN where none do.

    Parameters
    ----------
    scale_arcsec
        Size of a pixel, for words in arcsec; NaN when unknown, and these are then passed over.
    """
    for entry in words:
        values = [number(header, [word]) for word in entry.words]
        unit = _stated_unit(comment(header, entry.words[0])) or entry.unit
        fwhm = sum(values) / len(values)
        fwhm_px = fwhm / scale_arcsec if unit == "arcsec" else fwhm
        if _FWHM_RANGE_PX[0] <= fwhm_px <= _FWHM_RANGE_PX[1]:
            return fwhm_px
    return math.nan


def _stated_unit(words: str) -> str:
    if re.search(r"\bpix", words, re.IGNORECASE):
        return "pix"
    return "arcsec" if re.search(r"\barcs", words, re.IGNORECASE) else ""


def kept_values(header: fits.Header, keep: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Plain values worth keeping with results, those that are there."""
    kept: dict[str, Any] = {}
    for name, words in keep.items():
        found = next((v for v in (value(header, w) for w in words) if v is not None), None)
        if isinstance(found, bool | int | float):
            kept[name] = found
        elif isinstance(found, str):
            kept[name] = found.strip()[:80]
    return kept
