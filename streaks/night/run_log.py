"""What a run tells machines while it works: a log of JSON lines, and counts for Prometheus."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import IO, Any

from streaks.disk import written_whole
from streaks.errors import OutputError
from streaks.night_folder.layout import NightFolder
from streaks.night_folder.ledger import Entry, plain_text

__all__ = ["RunLog", "metrics_text", "opened_log", "write_metrics"]


class RunLog:
    """One JSON object a line: ``time``, ``event``, and what belongs to it.

    Parameters
    ----------
    stream
        Text file to add to; `opened_log` closes it.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def tell(self, event: str, **values: Any) -> None:
        """Add a line, at once on its way to disk.

        Parameters
        ----------
        event
            What happened, a word.
        **values
            What belongs to it; NaN and infinities become null, and what is no JSON its text.

        Raises
        ------
        OutputError
            If the line cannot be written: a full disk, for instance.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps(_finite({"time": now, "event": event, **values}), default=str)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError as error:
            raise OutputError(
                f"cannot write {self._stream.name}: {error.strerror}; make room, then start "
                "again: frames that are done stay done"
            ) from None

    def frame(self, entry: Entry, **values: Any) -> None:
        """A frame that is done or failed.

        Parameters
        ----------
        entry
            Of the ledger.
        **values
            Other numbers for the line.

        Raises
        ------
        OutputError
            If the line cannot be written.
        """
        self.tell(
            "frame",
            image=entry.image,
            state=entry.state,
            kind=entry.kind,
            reason=entry.reason,
            streaks=entry.n_streaks,
            seconds=round(entry.seconds, 4),
            stages={name: round(value, 4) for name, value in entry.stages.items()},
            **values,
        )


@contextmanager
def opened_log(folder: NightFolder) -> Iterator[RunLog]:
    """The log of a night; a new run adds to what is there.

    Parameters
    ----------
    folder
        The night's; it must be there.

    Yields
    ------
    RunLog
        Open until the block is left.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        stream = folder.log.open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"cannot write {folder.log}: {error.strerror}") from None
    try:
        yield RunLog(stream)
    finally:
        # What could not be written has been told; a full disk refuses the rest once more.
        with suppress(OSError):
            stream.close()


def write_metrics(folder: NightFolder, counts: Mapping[str, float | Mapping[str, float]]) -> None:
    """Write the counts where Prometheus's node exporter can pick them up.

    Parameters
    ----------
    folder
        The night's; its name is the label.
    counts
        As `metrics_text` takes them.

    Raises
    ------
    OutputError
        If the folder cannot be written to, or is full.
    """
    with written_whole(folder.metrics) as beside:
        beside.write_text(metrics_text(counts, plain_text(folder.root.name)), encoding="utf-8")


def metrics_text(counts: Mapping[str, float | Mapping[str, float]], night: str) -> str:
    """Counts in Prometheus's text format; a mapping becomes one line a label.

    Parameters
    ----------
    counts
        By name without prefix; ``frames`` by state, ``streaks`` by class, single numbers.
    night
        Goes into each line as a label.

    Returns
    -------
    str
        Gauges named ``streaks_night_...``, with the time of writing (Unix seconds) as the last.
    """
    lines = []
    for name, value in {**counts, "updated_timestamp_seconds": time.time()}.items():
        lines.append(f"# TYPE streaks_night_{name} gauge")
        by_label = value if isinstance(value, Mapping) else {"": value}
        for label, number in sorted(by_label.items()):
            key = "state" if name == "frames" else "class"
            also = f',{key}="{_escaped(label)}"' if label else ""
            lines.append(f'streaks_night_{name}{{night="{_escaped(night)}"{also}}} {number:.10g}')
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _finite(value: Any) -> Any:
    """NaN is no JSON: it becomes null."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
