"""ZTF's packets, and those that follow its schema: WINTER's and DECam's of the same brokers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streaks.readers.alerts.alert import Alert, is_positive
from streaks.readers.alerts.stamps import StampBudget
from streaks.readers.alerts.values import (
    ab_magnitude,
    magnitude_error,
    name_or_empty,
    number_or_nan,
    required_number,
    scalars,
    stamp_fields,
    text_or_empty,
    whole_number,
)

__all__ = ["decam_alert", "winter_alert", "ztf_alert"]

_ZTF_BANDS = {1: "g", 2: "r", 3: "i"}
#: WINTER's filters by `fid` (its own schema's document; y, J and a short H).
_WINTER_BANDS = {1: "Y", 2: "J", 3: "Hs"}
_ZTF_EXPOSURE_S = 30.0
#: Julian date of MJD 0.
_MJD_ZERO = 2_400_000.5
#: ZTF's -999 and the like.
_NONE = -99.0
#: ZTF's name for a source's S/N, from its magnitude's error.
_ERROR_FACTOR = 2.5 / math.log(10.0)


def ztf_alert(
    record: Mapping[str, Any],
    candidate: Mapping[str, Any],
    where: Path,
    budget: StampBudget | None,
    wanted: tuple[str, ...],
) -> Alert:
    """An alert of ZTF, of any version of its schema.

    Parameters
    ----------
    record, candidate
        The packet, and its ``candidate`` (a broker's flat row is both).
    where
        What errors and the alert call its file.
    budget, wanted
        For its stamps; no budget, no stamps.

    Returns
    -------
    Alert

    Raises
    ------
    AlertError
        If it lacks time or place.
    ReadError
        If its stamps unpack to too much.
    """
    return Alert(
        candid=whole_number(candidate.get("candid") or record.get("candid"), "candid"),
        object_id=text_or_empty(record.get("objectId")),
        jd=required_number(candidate, "jd"),
        survey="ztf",
        version=text_or_empty(record.get("schemavsn")),
        exposure_s=_ZTF_EXPOSURE_S,
        observatory="I41",
        band=_ZTF_BANDS.get(candidate.get("fid") or 0, ""),
        image=_ztf_image(candidate),
        path=str(where),
        **_common(candidate),
        **stamp_fields(record, budget, wanted),
    )


def winter_alert(
    record: Mapping[str, Any],
    candidate: Mapping[str, Any],
    where: Path,
    budget: StampBudget | None,
    wanted: tuple[str, ...],
) -> Alert:
    """An alert of WINTER (Palomar, near infrared): ZTF's fields, stamps under other names.

    Parameters
    ----------
    record, candidate, where, budget, wanted
        As of `ztf_alert`.

    Returns
    -------
    Alert

    Raises
    ------
    AlertError, ReadError
        As `ztf_alert` does.
    """
    jd = required_number(candidate, "jd")
    return Alert(
        candid=whole_number(candidate.get("candid") or record.get("candid"), "candid"),
        object_id=text_or_empty(record.get("objectid") or record.get("objectId")),
        jd=jd,
        flipped=False,
        survey="winter",
        version=text_or_empty(record.get("schemavsn")),
        exposure_s=number_or_nan(candidate.get("exptime"), least=0.0),
        observatory="675",
        band=_WINTER_BANDS.get(candidate.get("fid") or 0, ""),
        image=f"winter_{candidate.get('field', '')}_{jd:.5f}",
        path=str(where),
        **_common(candidate),
        **stamp_fields(record, budget, wanted, spelling="cutout_{}"),
    )


def decam_alert(
    record: Mapping[str, Any],
    candidate: Mapping[str, Any],
    where: Path,
    budget: StampBudget | None,
    wanted: tuple[str, ...],
) -> Alert:
    """An alert of DECam as DESIRT publishes them: MJD, fluxes in nJy, no known objects.

    Parameters
    ----------
    record, candidate, where, budget, wanted
        As of `ztf_alert`.

    Returns
    -------
    Alert

    Raises
    ------
    AlertError, ReadError
        As `ztf_alert` does.
    """
    flux = number_or_nan(candidate.get("psfFlux"))
    error = number_or_nan(candidate.get("psfFluxErr"))
    mjd, band = required_number(candidate, "mjd"), text_or_empty(candidate.get("band"))
    common = _common(candidate)
    common |= {
        "mag": ab_magnitude(flux),
        "mag_err": magnitude_error(flux, error),
        "snr": abs(flux) / error if error > 0 else math.nan,
        "reliability": number_or_nan(candidate.get("reliability")),
    }
    return Alert(
        candid=whole_number(candidate.get("candid") or record.get("candid"), "candid"),
        object_id=text_or_empty(record.get("objectId")),
        jd=mjd + _MJD_ZERO,
        flipped=False,
        survey="decam",
        observatory="W84",
        band=band,
        image=f"decam_{mjd:.5f}_{band}",
        path=str(where),
        **common,
        **stamp_fields(record, budget, wanted),
    )


def _common(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """What all schemas after ZTF's call the same."""
    error = number_or_nan(candidate.get("sigmapsf"), least=0.0)
    return {
        "ra": required_number(candidate, "ra"),
        "dec": required_number(candidate, "dec"),
        "is_positive": is_positive(candidate.get("isdiffpos")),
        "ssdistnr": number_or_nan(candidate.get("ssdistnr"), least=_NONE),
        "ssmagnr": number_or_nan(candidate.get("ssmagnr"), least=_NONE),
        "ssnamenr": name_or_empty(candidate.get("ssnamenr")),
        "candidate": scalars(candidate),
        "mag": number_or_nan(candidate.get("magpsf"), least=_NONE),
        "mag_err": error,
        "snr": _ERROR_FACTOR / error,
        "reliability": _reliability(candidate),
    }


def _reliability(candidate: Mapping[str, Any]) -> float:
    drb = number_or_nan(candidate.get("drb"), least=_NONE)
    # 0.0 without a version is filler.
    if drb > 0 or (drb == 0 and candidate.get("drbversion")):
        return drb
    return number_or_nan(candidate.get("rb"), least=_NONE)


def _ztf_image(candidate: Mapping[str, Any]) -> str:
    """Name of the difference image, as the packet tells it, else what tells it from others."""
    name = text_or_empty(candidate.get("pdiffimfilename"))
    if name:
        return name.rsplit("/", 1)[-1].removesuffix(".fz").removesuffix(".fits")
    jd = number_or_nan(candidate.get("jd"))
    parts = (candidate.get("field"), candidate.get("rcid"), candidate.get("fid"))
    return "_".join(["ztf", f"{jd:.6f}", *("" if p is None else str(p) for p in parts)])
