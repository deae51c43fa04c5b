"""Rubin's packets (LSST), schema versions 3 to 11: one record, fields that come and go."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from streaks.disk import parse_json
from streaks.errors import AlertError, ReadError
from streaks.readers.alerts.alert import Alert, PacketOrbit, PacketTrail, is_positive
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

__all__ = ["rubin_alert"]

#: Rubin's visits of one exposure.
_EXPOSURE_S = 30.0
_SECONDS_A_DAY = 86_400.0
#: An orbit's JSON has five kilobytes.
_MAX_ORBIT_TEXT = 1 << 18
_MAX_NAMES = 64
_ARCSEC = 3600.0


def rubin_alert(
    record: Mapping[str, Any],
    source: Mapping[str, Any],
    where: Path,
    budget: StampBudget | None,
    wanted: tuple[str, ...],
    version: str = "",
) -> Alert:
    """An alert of Rubin: TAI at mid-exposure, nJy, the association with a known object apart.

    Parameters
    ----------
    record, source
        The packet, and its ``diaSource`` (a broker's flat row is both).
    where
        What errors and the alert call its file.
    budget, wanted
        For its stamps; no budget, no stamps.
    version
        Of its schema.

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
    midpoint = _utc_jd(required_number(source, "midpointMjdTai", "midPointTai"))
    known = _record_of(record, "ssSource")
    orbit, names = _orbit(record)
    name = name_or_empty(known.get("designation")) or (names[0] if known and names else "")
    flux = number_or_nan(_first(source, "psfFlux", "psFlux"))
    error = number_or_nan(_first(source, "psfFluxErr", "psFluxErr"), least=0.0)
    return Alert(
        candid=whole_number(source.get("diaSourceId") or record.get("diaSourceId"), "diaSourceId"),
        object_id=text_or_empty(source.get("diaObjectId") or source.get("ssObjectId") or ""),
        jd=midpoint - 0.5 * _EXPOSURE_S / _SECONDS_A_DAY,
        ra=required_number(source, "ra"),
        dec=required_number(source, "dec", "decl"),
        is_positive=_is_positive(source, flux),
        ssdistnr=_distance(known),
        # 0 where none was computed.
        ssmagnr=number_or_nan(_first(known, "ephVmag", "predictedVMagnitude"), least=0.0),
        ssnamenr=name,
        candidate=scalars(source),
        path=str(where),
        midpoint_jd=midpoint,
        flipped=False,
        survey="rubin",
        version=version,
        exposure_s=_EXPOSURE_S,
        observatory="X05",
        band=text_or_empty(_first(source, "band", "filterName")),
        mag=ab_magnitude(flux),
        mag_err=magnitude_error(flux, error),
        snr=_snr(source, flux, error),
        image=_image(source),
        reliability=number_or_nan(source.get("reliability")),
        is_dipole=bool(source.get("isDipole")),
        is_glint=bool(source.get("glint_trail")),
        trail=_trail(source),
        orbit=orbit,
        other_names=tuple(n for n in names if n != name),
        **stamp_fields(record, budget, wanted),
    )


def _first(values: Mapping[str, Any], *names: str) -> Any:
    """The first field that is there: versions of the schema call one thing by several names."""
    return next((values[name] for name in names if values.get(name) is not None), None)


def _record_of(record: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found = _first(record, *names)
    return found if isinstance(found, dict) else {}


@functools.lru_cache(maxsize=1024)
def _utc_jd(mjd_tai: float) -> float:
    """All alerts of a visit have one time."""
    from astropy.time import Time

    try:
        return float(Time(mjd_tai, format="mjd", scale="tai").utc.jd)
    except Exception as error:  # erfa's own kinds, for years that no calendar has
        raise AlertError(f"its midpointMjdTai is {mjd_tai!r}; expected a date ({error})") from None


def _is_positive(source: Mapping[str, Any], flux: float) -> bool | None:
    """By its flag; schemas before 7 have none, and the flux tells."""
    negative = source.get("isNegative")
    if negative is not None:
        return not is_positive(negative)
    return None if math.isnan(flux) else flux > 0


def _snr(source: Mapping[str, Any], flux: float, error: float) -> float:
    told = number_or_nan(source.get("snr"), least=0.0)
    return told if math.isfinite(told) else abs(flux) / error


def _image(source: Mapping[str, Any]) -> str:
    """Visit and detector; schemas before 7 have both in one number."""
    visit, detector = _first(source, "visit", "ccdVisitId"), source.get("detector")
    if visit is None:
        return ""
    is_number = isinstance(detector, int) and not isinstance(detector, bool)
    return f"{visit}_{detector:03d}" if is_number else str(visit)


def _distance(known: Mapping[str, Any]) -> float:
    """Of the source from where the object was predicted, arcsec."""
    told = number_or_nan(known.get("ephOffset"), least=-1.0)
    if math.isfinite(told):
        return told
    # Degrees, until version 9.
    return _ARCSEC * math.hypot(
        number_or_nan(known.get("residualRa")), number_or_nan(known.get("residualDec"))
    )


def _trail(source: Mapping[str, Any]) -> PacketTrail:
    angle = number_or_nan(source.get("trailAngle"))
    return PacketTrail(
        length_arcsec=number_or_nan(source.get("trailLength")),
        length_err_arcsec=number_or_nan(source.get("trailLengthErr")),
        angle_deg=angle % 180.0,
        flux=number_or_nan(source.get("trailFlux")),
        flux_err=number_or_nan(source.get("trailFluxErr")),
        ra=number_or_nan(source.get("trailRa")),
        dec=number_or_nan(_first(source, "trailDec", "trailDecl")),
        failed=bool(source.get("trail_flag")),
        at_edge=bool(source.get("trail_flag_edge")),
    )


def _orbit(record: Mapping[str, Any]) -> tuple[PacketOrbit | None, tuple[str, ...]]:
    """The orbit of a packet, and all names of its object, a designation first."""
    mpc = _record_of(record, "mpc_orbits")
    if mpc:
        names = tuple(dict.fromkeys(_names_of(mpc)))
        return _elements(mpc, names, ("q", "e", "i", "node", "argperi", "peri_time", "epoch_mjd"),
                         ("h", "g", "u_param")), names[:_MAX_NAMES]  # fmt: skip
    old = _record_of(record, "MPCORB", "mpcorb")
    names = tuple(n for n in (name_or_empty(old.get("mpcDesignation")),) if n)
    return _elements(old, names, ("q", "e", "incl", "node", "peri", "t_p", "epoch"),
                     ("mpcH", "mpcG", "uncertaintyParameter")), names  # fmt: skip


def _elements(
    values: Mapping[str, Any],
    names: tuple[str, ...],
    spelling: tuple[str, ...],
    beside: tuple[str, str, str],
) -> PacketOrbit | None:
    """The orbit under a version's names for its elements; None where one is missing."""
    q, e, incl, node, peri, tp, epoch = (number_or_nan(values.get(name)) for name in spelling)
    if not (names and q > 0 and e >= 0 and all(map(math.isfinite, (incl, node, peri, tp, epoch)))):
        return None
    h, g, u = (number_or_nan(values.get(name)) for name in beside)
    return PacketOrbit(
        names=names, q_au=q, e=e, incl_deg=incl, node_deg=node, argperi_deg=peri, tp_mjd=tp,
        epoch_mjd=epoch, h_mag=h, g_slope=g, u_param=u,
    )  # fmt: skip


def _names_of(mpc: Mapping[str, Any]) -> Iterator[str]:
    for field in (
        "unpacked_primary_provisional_designation", "designation",
        "packed_primary_provisional_designation",
    ):  # fmt: skip
        if name := name_or_empty(mpc.get(field)):
            yield name
    text = mpc.get("mpc_orb_jsonb")
    if not isinstance(text, str) or len(text) > _MAX_ORBIT_TEXT:
        return
    yield from _names_in_json(text)


@functools.lru_cache(maxsize=4096)
def _names_in_json(text: str) -> tuple[str, ...]:
    """Number, name and former designations of ``designation_data``."""
    try:
        details = parse_json(text, "an orbit's details")
    except ReadError:
        return ()
    told = details.get("designation_data") if isinstance(details, dict) else None
    if not isinstance(told, dict):
        return ()
    found = [
        told.get("permid"), told.get("unpacked_primary_provisional_designation"),
        told.get("iau_name"),
    ]  # fmt: skip
    for field in ("unpacked_secondary_provisional_designations",):
        listed = told.get(field)
        found += listed[:_MAX_NAMES] if isinstance(listed, list) else []
    return tuple(name for name in map(name_or_empty, found) if name)
