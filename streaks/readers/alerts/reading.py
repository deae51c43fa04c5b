"""All alerts of some files at once."""

from __future__ import annotations

import os
from collections.abc import Iterable

from streaks.errors import AlertError, ReadError
from streaks.readers.alerts.adapters import alert_of_record
from streaks.readers.alerts.alert import Alert, Failure
from streaks.readers.alerts.packets import PacketFailure, alert_files, file_packets
from streaks.readers.alerts.schemas import SchemaSource
from streaks.readers.alerts.stamps import StampBudget

__all__ = ["read_alerts"]

#: Values of all candidates that are held at once: a hundred an alert, 100 bytes each.
_MAX_VALUES = 10_000_000


def read_alerts(
    paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    stamps: bool = True,
    schemas: SchemaSource | None = None,
) -> tuple[list[Alert], list[Failure]]:
    """All alerts of files, folders and archives.

    Parameters
    ----------
    paths
        Avro files with one or many packets, messages in Confluent's wire format, Parquet tables
        of brokers, tar archives of such files (packed or not), or folders, searched for all of
        them through all their depth.
    stamps
        Whether to decode the stamps too.
    schemas
        For packets that do not bring their schema; LSST's own package, where it is installed, when
        not given.

    Returns
    -------
    alerts
        In the order of the paths.
    failures
        Files and packets that could not be read, each with its reason.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    schemas = SchemaSource() if schemas is None else schemas
    alerts: list[Alert] = []
    failures: list[Failure] = []
    n_values = 0
    for path in alert_files(given):
        budget = StampBudget() if stamps else None
        for packet in file_packets(path, schemas):
            if isinstance(packet, PacketFailure):
                failures.append(Failure(packet.path, packet.reason))
                continue
            try:
                alert = alert_of_record(
                    packet.record, packet.where, budget, schema_name=packet.schema_name
                )
            except (AlertError, ReadError) as error:
                failures.append(Failure(packet.where, str(error)))
                continue
            n_values += len(alert.candidate)
            if n_values > _MAX_VALUES:
                reason = f"more than {_MAX_VALUES} values at once; give fewer files"
                failures.append(Failure(packet.where, reason))
                return alerts, failures
            alerts.append(alert)
    return alerts, failures
