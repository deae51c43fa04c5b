"""Which sink an output's name means."""

from __future__ import annotations

from pathlib import Path

from streaks.errors import OutputError
from streaks.streams.night_sink import NightSink
from streaks.streams.sinks import TABLE_SUFFIXES, AvroSink, Sink, TableSink

__all__ = ["open_sink"]


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
    suffix = target.suffix.lower()
    if suffix == ".avro":
        return AvroSink(target, run_id)
    if suffix in TABLE_SUFFIXES:
        return TableSink(target, work / "spool")
    if suffix == "" or target.is_dir():
        return NightSink(target, work / "spool")
    raise OutputError(
        f"{target} is no output that is known; give .avro, {' '.join(TABLE_SUFFIXES)}, or a folder"
    )
