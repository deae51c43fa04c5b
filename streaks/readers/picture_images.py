"""PNG, JPEG and TIFF as images of the sky."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from streaks.disk import open_regular
from streaks.errors import ReadError
from streaks.readers.colour import chosen_plane
from streaks.readers.images import FitsImage

__all__ = ["is_picture", "read_picture_image"]

#: A picture with more is no photograph of the sky, and is not decoded.
_MAX_PICTURE_PIXELS = 2**27
_PICTURE_FORMATS = ("PNG", "JPEG", "TIFF")
_PICTURE_MAGICS = (b"\x89PNG", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")


def is_picture(path: Path) -> bool:
    """Whether a file is a PNG, JPEG or TIFF, by its first bytes.

    Parameters
    ----------
    path
        Of any file.

    Returns
    -------
    bool
        False also for one that cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read(4).startswith(_PICTURE_MAGICS)
    except (OSError, ReadError):
        return False


def read_picture_image(path: Path, plane: str = "") -> FitsImage:
    """A grey picture of the sky, its last row first: y grows upwards.

    Parameters
    ----------
    path
        PNG, JPEG or TIFF.
    plane
        For a colour picture: ``luminance``, or the number of a plane from 1.

    Returns
    -------
    FitsImage
        Grey levels; its header has only the size.

    Raises
    ------
    ReadError
        If it is damaged, too large, or in colour and no plane was chosen.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of size: that is checked below
            with Image.open(path, formats=_PICTURE_FORMATS) as picture:
                if math.prod(picture.size) > _MAX_PICTURE_PIXELS:
                    raise ReadError(
                        f"{path} is {picture.size[0]} x {picture.size[1]} px: too large a picture; "
                        "store it as FITS"
                    )
                note = _other_pages(picture)
                transparent = _transparent(picture)
                data = _grey_values(picture, path, plane)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ReadError(f"{path} cannot be read as a picture: {error}") from None
    unusable = None if transparent is None else np.ascontiguousarray(transparent[::-1])
    header = fits.Header([("NAXIS", 2), ("NAXIS1", data.shape[1]), ("NAXIS2", data.shape[0])])
    return FitsImage(np.ascontiguousarray(data[::-1]), header, unusable, note=note)


def _other_pages(picture: Any) -> str:
    """What to say of a picture of several pages; they are not counted, which may take hours."""
    try:
        picture.seek(1)
    except (EOFError, OSError, ValueError, SyntaxError):
        return ""  # no other, or a damaged one
    finally:
        picture.seek(0)
    return "the first of several pages is searched; store the others as files"


def _transparent(picture: Any) -> NDArray[np.bool_] | None:
    if "A" in picture.getbands() or "transparency" in picture.info:
        return np.asarray(np.asarray(picture.convert("RGBA"))[..., 3] == 0)
    return None


def _grey_values(picture: Any, path: Path, plane: str) -> NDArray[Any]:
    if picture.mode[0] in "IF" or picture.mode in ("1", "L", "LA"):
        return np.asarray(picture.convert("L") if picture.mode in ("1", "LA") else picture)
    colours = np.asarray(picture.convert("RGB"))
    if not plane and (colours == colours[..., :1]).all():
        return colours[..., 0]
    if not plane:
        raise ReadError(
            f"{path} is a colour picture: search its light with --plane luminance; a cutout is "
            f"named with: streaks classify {path.name}"
        )
    return chosen_plane(colours, plane, str(path))
