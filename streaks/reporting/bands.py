"""Magnitude bands by the Minor Planet Center's list.

The MPC refuses a whole batch for one band that it does not know, and ADES's own schema accepts any
three letters. A filter's name in a header is therefore looked up: it is a band of the list, or one
of its many other spellings, or the magnitude is left out.

References
----------
https://www.minorplanetcenter.net/iau/info/ADESFieldValues.html (band);
https://www.minorplanetcenter.net/iau/info/OpticalObs.html (single letters);
IAU-ADES/ADES-Master issues 60 (Rubin's, VR) and 88 (letters for two-letter bands).
"""

from __future__ import annotations

import re

__all__ = ["MPC_BANDS", "mpc_band"]

#: Single letters; Johnson-Cousins, Sloan, Pan-STARRS, ATLAS, Gaia, Rubin, DECam's VR; unknown.
MPC_BANDS = frozenset(
    (
        *("B", "V", "R", "I", "U", "J", "H", "K", "C", "L", "W", "Y", "G"),
        *("u", "g", "r", "i", "z", "y", "w", "c", "o"),
        *("Bj", "Uj", "Vj", "Rc", "Ic", "Sg", "Sr", "Si", "Sz"),
        *("Pg", "Pr", "Pi", "Pz", "Py", "Pw", "Ao", "Ac", "Gb", "Gr"),
        *("Lu", "Lg", "Lr", "Li", "Lz", "Ly", "VR", "UNK"),
    )
)
#: Other spellings, small letters and digits alone.
_SPELLINGS = {
    **{f"{survey}{band}": band for survey in ("ztf", "z") for band in "gri"},
    **{f"{sloan}{band}": f"S{band}" for sloan in ("sdss", "sloan", "s") for band in "griz"},
    **{f"{band}p": f"S{band}" for band in "griz"},
    **{f"{band}prime": f"S{band}" for band in "griz"},
    **{f"{ps}{band}": f"P{band}" for ps in ("ps1", "ps", "panstarrs") for band in "grizyw"},
    **{f"lsst{band}": f"L{band}" for band in "ugrizy"},
    **{f"atlas{band}": f"A{band}" for band in "co"},
    **{f"{name}{band}": f"{band.upper()}j" for name in ("johnson", "bessell", "bessel")
       for band in "ubv"},
    **{f"{name}{band}": f"{band.upper()}c"
       for name in ("cousins", "bessell", "bessel", "kroncousins") for band in "ri"},
    "red": "R", "blue": "B", "visual": "V", "infrared": "I", "ir": "I",
    **dict.fromkeys(
        ("clear", "clr", "cl", "none", "no", "nofilter", "open", "empty", "lum", "luminance",
         "unfiltered", "air"), "C"),
    "gaiag": "G", "gaiabp": "Gb", "gaiarp": "Gr",
}  # fmt: skip


def mpc_band(name: str) -> str:
    """The band of the MPC's list that a filter's name means; empty for one that it does not have.

    Parameters
    ----------
    name
        As a header spells it: ``r``, ``ZTF_r``, ``r'``, ``Red``, ``Bessell V``, ``Ha``.

    Returns
    -------
    str
    """
    name = name.strip()
    if name in MPC_BANDS:
        return name
    if re.fullmatch(r"[griz]\s*['\u2032`]", name):
        return f"S{name[0]}"
    key = re.sub(r"filter$|[^a-z0-9]+", "", name.lower())
    return _SPELLINGS.get(key, "")
