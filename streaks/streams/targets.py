"""Which sink an output's name means."""

from __future__ import annotations

from pathlib import Path

from streaks.errors import OutputError
from streaks.streams.night_sink import NightSink
from streaks.streams.sinks import TABLE_SUFFIXES, AvroSink, Sink, TableSink

__all__ = ["check_target", "open_sink"]


def check_target(target: Path) -> None:
    """Refuse a name that means no sink, before anything is made for it.

    Parameters
    ----------
    target
        As `open_sink` takes it.

    Raises
    ------
    OutputError
        If the suffix is none that is written.
    """
    suffix = target.suffix.lower()
    if suffix not in (".avro", "", *TABLE_SUFFIXES) and not target.is_dir():
        raise OutputError(
            f"{target} ends in {suffix}, which is no format that is written; give .avro, "
            f"{' '.join(TABLE_SUFFIXES)}, or a folder"
        )


def open_sink(target: Path, work: Path, run_id: bytes) -> Sink:
    """The sink that a path means by its suffix.

    Parameters
    ----------
    target
        ``.avro``, a table's suffix, or a folder's name without any.
    work
        The filter's own folder.
    run_id
        Sixteen bytes that mark what this filter wrote.

    Returns
    -------
    Sink

    Raises
    ------
    OutputError
        If the suffix is none that is written.
    """
    check_target(target)
    suffix = target.suffix.lower()
    if suffix == ".avro":
        return AvroSink(target, run_id)
    if suffix in TABLE_SUFFIXES:
        return TableSink(target, work / "spool")
    return NightSink(target, work / "spool")
