"""What each column is, in the words that TOPCAT, Aladin and the archives share.

References
----------
Cecconi et al. 2023, "The UCD1+ controlled vocabulary", version 1.5 (IVOA recommendation).
"""

from __future__ import annotations

from streaks.tables import PROBABILITY_COLUMNS

__all__ = ["UCDS"]

#: Unified content descriptors by column; others have none.
UCDS: dict[str, str] = {
    "streak_id": "meta.id;meta.main",
    "name": "meta.id",
    "image": "meta.id;obs.image",
    **dict.fromkeys(("x", "x0", "x1"), "pos.cartesian.x;instr.det"),
    **dict.fromkeys(("y", "y0", "y1"), "pos.cartesian.y;instr.det"),
    "length": "phys.size;instr.det",
    "theta": "pos.posAng;instr.det",
    "width": "phys.size;instr.det.psf",
    "flux": "phot.count",
    "flux_err": "stat.error;phot.count",
    "flux_aperture": "phot.count",
    "flux_aperture_err": "stat.error;phot.count",
    "snr": "stat.snr",
    "score": "meta.code.qual",
    "ra": "pos.eq.ra;meta.main",
    "dec": "pos.eq.dec;meta.main",
    **dict.fromkeys(("ra0", "ra1"), "pos.eq.ra"),
    **dict.fromkeys(("dec0", "dec1"), "pos.eq.dec"),
    "pa": "pos.posAng",
    "rate": "pos.pm",
    "mag": "phot.mag",
    "mag_err": "stat.error;phot.mag",
    "time": "time.epoch",
    "flags": "meta.code",
    "label": "meta.code.class",
    **dict.fromkeys((*PROBABILITY_COLUMNS, "p_unresolved", "rb", "p_real"), "stat.probability"),
    "reasons": "meta.note",
    "group": "meta.id.parent",
    "tracklet": "meta.id.parent",
    "ssdistnr": "pos.angDistance",
    "ssmagnr": "phot.mag;meta.modelled",
    **dict.fromkeys(("ssnamenr", "sat_name", "sat_norad"), "meta.id.assoc"),
    **dict.fromkeys(("along0_err", "along1_err", "across_err"), "stat.error;pos.cartesian"),
    "length_err": "stat.error;phys.size",
    "theta_err": "stat.error;pos.posAng",
    "chi2": "stat.fit.chi2",
}
