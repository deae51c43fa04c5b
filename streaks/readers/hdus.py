"""What each HDU of a FITS file is: image, mask, variance or table, and how a user names it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from astropy.io import fits

__all__ = ["Hdu", "described", "image_axes", "label_of", "list_hdus", "searched"]

#: What an HDU of a name is, first match wins. A number at its end does not matter.
_KINDS = (
    ("mask", r"DQ|DQF|MASK|BPM|BADPIX\w*|FLAGS?|MSK\w*|DATA_?QUALITY|QUALITY|PIXMASK"),
    ("variance", r"VAR|VARIANCE"),
    ("error", r"ERR|ERRORS?|UNCERT\w*|UNC|SIGMA|RMS|STD|STDDEV|NOISE"),
    ("weight", r"WHT|WGT|WT|WEIGHTS?|IVM|IVAR|INVVAR"),
    (
        "other",
        r"PSF\w*|BKG|BACKGROUND|BACK|SKY|AREA|EXPMAP|EXPOSURE|CTX|CON|SAMP|TIME|SEG\w*|REF|"
        r"REFERENCE|TEMPLATE|WCS\w*|D2IMARR|KERNEL|THUMB\w*|PREVIEW|COV\w*|VAR_\w+|"
        r"DETECTION|OVERSCAN|FLAT|DARK|BIAS",
    ),
    ("science", r"SCI|SCIENCE|IMAGE|DATA|FLUX"),
)
#: What astropy's NDData writes with an uncertainty, in UTYPE.
_UTYPES = {"STDDEV": "error", "VARIANCE": "variance", "INVERSEVARIANCE": "weight"}
#: An unnamed image smaller than the largest by this is a preview.
_PREVIEW = 0.25


@dataclass(frozen=True)
class Hdu:
    """What one HDU of a file is.

    Parameters
    ----------
    index
        In the file, the primary one is 0.
    label
        How a user names it: ``SCI,2``, ``CCD4``, or its index.
    name
        EXTNAME; empty or ``PRIMARY`` where it has none.
    kind
        ``science``, ``mask``, ``variance``, ``error``, ``weight``, ``other``; ``image`` for one
        whose name says nothing; ``cube`` for one of more than two axes; empty for no image.
    shape
        Without axes of one pixel.
    axes
        Numbers of the header's axes of the last two of these: x, y.
    version
        EXTVER; 1 where it has none.
    whole
        Whether its pixels are plain integers, as masks' are.
    """

    index: int
    label: str
    name: str
    kind: str
    shape: tuple[int, ...] = ()
    axes: tuple[int, int] = (1, 2)
    version: int = 1
    whole: bool = False


def searched(listing: Sequence[Hdu]) -> tuple[list[Hdu], list[Hdu]]:
    """The images of a file that are searched, and those that are left out and should be said.

    Images named SCI, IMAGE and the like; without those, all whose names say nothing. Cubes only
    where there is no plain image.

    Parameters
    ----------
    listing
        What each HDU of the file is.

    Returns
    -------
    images, left_out : list of Hdu
    """
    named = [hdu for hdu in listing if hdu.kind == "science"]
    if named:
        return named, [hdu for hdu in listing if hdu.kind == "image"]
    plain = [hdu for hdu in listing if hdu.kind == "image"]
    if not plain:
        return [hdu for hdu in listing if hdu.kind == "cube"], []
    largest = max(math.prod(hdu.shape) for hdu in plain)
    whole = all(hdu.whole for hdu in plain)
    good = [
        hdu for hdu in plain
        if math.prod(hdu.shape) >= _PREVIEW * largest and (whole or not hdu.whole)
    ]  # fmt: skip
    return good, [hdu for hdu in plain if hdu not in good]


def list_hdus(hdus: fits.HDUList) -> Iterator[Hdu]:
    """What each HDU is, but for its label; one by one, as they are read from the file.

    Parameters
    ----------
    hdus
        Of an open file.

    Yields
    ------
    Hdu
        Its label is its number.
    """
    for index, hdu in enumerate(hdus):
        if not hdu.is_image or not hdu.shape or 0 in hdu.shape:
            yield Hdu(index, str(index), hdu.name, "")
            continue
        shape = tuple(int(n) for n in hdu.shape if n > 1)
        if len(shape) < 2:
            # One row or column of pixels is no image, but is one of two axes all the same.
            shape = tuple(int(n) for n in hdu.shape) if len(hdu.shape) == 2 else shape
        kind = "" if len(shape) < 2 else _kind(hdu, len(shape))
        words = hdu.header
        scaled = words.get("BZERO", 0) not in (0, None) or words.get("BSCALE", 1) not in (1, None)
        whole = int(words["BITPIX"]) > 0 and not scaled
        axes = image_axes(hdu.shape, drop_last=False) if len(shape) >= 2 else (1, 2)
        version = int(getattr(hdu, "ver", 1) or 1)
        yield Hdu(index, str(index), hdu.name, kind, shape, axes, version, whole)


def _kind(hdu: Any, n_axes: int) -> str:
    kind = _named_kind(hdu)
    if n_axes > 2:
        return "cube" if kind in ("science", "image") else "other"
    return kind


def _named_kind(hdu: Any) -> str:
    utype = str(hdu.header.get("UTYPE", "")).upper().removesuffix("UNCERTAINTY")
    if utype in _UTYPES and hdu.name.startswith("UNC"):
        return _UTYPES[utype]
    name = re.sub(r"[_.-]?\d+$", "", hdu.name.upper())
    return next((kind for kind, names in _KINDS if re.fullmatch(names, name)), "image")


def label_of(hdu: Hdu, all_hdus: Sequence[Hdu]) -> str:
    """What a user calls an HDU in ``FILE[LABEL]``: its name, with a number among several.

    Parameters
    ----------
    hdu
        To be called.
    all_hdus
        Of its file.

    Returns
    -------
    str
        Its number where it has no name.
    """
    if not hdu.name or hdu.name in ("PRIMARY", "COMPRESSED_IMAGE"):
        return str(hdu.index)
    twins = [other for other in all_hdus if other.name == hdu.name]
    if len(twins) == 1:
        return hdu.name
    if len({twin.version for twin in twins}) == len(twins):
        return f"{hdu.name},{hdu.version}"
    return f"{hdu.name},{[twin.index for twin in twins].index(hdu.index) + 1}"


def image_axes(shape: Sequence[int], *, drop_last: bool) -> tuple[int, int]:
    """Numbers of the header's axes that are x and y once axes of one pixel are dropped.

    Parameters
    ----------
    shape
        As NumPy has it.
    drop_last
        Leave out the slowest of the others too: the planes of a cube.

    Returns
    -------
    (int, int)
        From 1, as FITS counts.
    """
    n = len(shape)
    # numpy counts axes from the slowest, FITS from the fastest.
    kept = [n - i for i, length in enumerate(shape) if length > 1] or [2, 1]
    if len(kept) < 2:
        return (1, 2)
    if drop_last:
        kept = kept[:-1]
    return (kept[-1], kept[-2])


def described(hdu: Any, known: Hdu) -> str:
    """In words, for an error.

    Parameters
    ----------
    hdu
        As astropy has it.
    known
        What is known of it.

    Returns
    -------
    str
    """
    if not hdu.is_image:
        return "a table"
    if not hdu.shape:
        return "without data"
    kind = "" if known.kind in ("", "image", "science") else f" ({known.name or known.kind})"
    return f"{len(hdu.shape)}-D{kind}"
