"""Which survey a packet is of, and the alert that it makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streaks.errors import AlertError
from streaks.readers.alerts.alert import Alert
from streaks.readers.alerts.rubin import rubin_alert
from streaks.readers.alerts.stamps import StampBudget
from streaks.readers.alerts.values import ALL_STAMPS, stamp_fields
from streaks.readers.alerts.ztf import decam_alert, winter_alert, ztf_alert

__all__ = ["alert_of_record", "with_difference"]

#: ``lsst.v10_0.alert``
_RUBIN_VERSION = re.compile(r"lsst\.v(\d{1,3})_(\d{1,3})\b")


def alert_of_record(
    record: Any,
    where: Path,
    budget: StampBudget | None = None,
    *,
    wanted: tuple[str, ...] = ALL_STAMPS,
    schema_name: str = "",
) -> Alert:
    """The alert that a decoded packet, or a row of a broker's table, makes.

    Parameters
    ----------
    record
        The packet. A row whose columns are ``diaSource.ra`` and the like, or the fields of
        ``candidate`` or ``diaSource`` themselves, will do.
    where
        What errors and the alert call its file.
    budget
        For its stamps; None decodes none.
    wanted
        Which of the stamps to unpack.
    schema_name
        Of the packet's schema, with its namespace: tells Rubin's version.

    Returns
    -------
    Alert

    Raises
    ------
    AlertError
        If it is of no survey that is known, or lacks time or place.
    ReadError
        If its stamps unpack to too much.
    """
    if isinstance(record, dict):
        record = _nested(record)
        candidate, source = record.get("candidate"), record.get("diaSource")
        if isinstance(source, dict):
            return rubin_alert(record, source, where, budget, wanted, _version(schema_name))
        if isinstance(candidate, dict):
            return _by_broker(record, candidate, where, budget, wanted)
        if "diaSourceId" in record and ("midpointMjdTai" in record or "midPointTai" in record):
            return rubin_alert(record, record, where, budget, wanted, _version(schema_name))
        if {"candid", "jd", "ra", "dec"} <= record.keys():
            return _by_broker(record, record, where, budget, wanted)
    raise AlertError("the packet has no `candidate` (ZTF) and no `diaSource` (Rubin)")


def with_difference(alert: Alert, record: Any) -> Alert:
    """An alert that was made without stamps, with its difference stamp.

    Parameters
    ----------
    alert
        Of `alert_of_record`, without a budget.
    record
        The same packet.

    Returns
    -------
    Alert
        All else stays as it is.

    Raises
    ------
    ReadError
        If the stamp unpacks to too much.
    """
    spelling = "cutout_{}" if alert.survey == "winter" else "cutout{}"
    found = stamp_fields(_nested(record), StampBudget(), ("difference",), spelling=spelling)
    return alert.with_stamps(found) if found else alert


def _by_broker(
    record: Mapping[str, Any],
    candidate: Mapping[str, Any],
    where: Path,
    budget: StampBudget | None,
    wanted: tuple[str, ...],
) -> Alert:
    publisher = str(record.get("publisher") or "").upper()
    if "WINTER" in publisher or "cutout_difference" in record:
        return winter_alert(record, candidate, where, budget, wanted)
    if "DESIRT" in publisher or "DECAM" in publisher or (
        "mjd" in candidate and "jd" not in candidate
    ):  # fmt: skip
        return decam_alert(record, candidate, where, budget, wanted)
    return ztf_alert(record, candidate, where, budget, wanted)


def _version(schema_name: str) -> str:
    match = _RUBIN_VERSION.search(schema_name)
    return f"{match.group(1)}.{match.group(2)}" if match else ""


def _nested(record: dict[str, Any]) -> dict[str, Any]:
    """Columns such as ``diaSource.ra`` as a record within the record."""
    if not any("." in str(key) for key in record):
        return record
    found: dict[str, Any] = {}
    for key, value in record.items():
        outer, dot, inner = str(key).partition(".")
        if not dot:
            found[outer] = value
        elif isinstance(found.setdefault(outer, {}), dict):
            found[outer][inner] = value
    return found
