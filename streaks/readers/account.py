"""What would be read of a frame, and from which words: the page to send when asking for help.

Nothing is searched. `account_of` reads the frame as a search would and tells of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streaks.errors import StreaksError
from streaks.frame import Frame
from streaks.readers.files import FrameFiles
from streaks.readers.frames import FrameOverrides, read_frame
from streaks.sky import circle_around

__all__ = ["Account", "Line", "account_of"]


@dataclass(frozen=True)
class Line:
    """One thing that is known of a frame, or is not.

    Parameters
    ----------
    what
        ``time``, ``exposure``, ``mask``...
    value
        In words; ``unknown`` for none.
    source
        The header words, the file, or what stands in for them.
    """

    what: str
    value: str
    source: str = ""


@dataclass(frozen=True)
class Account:
    """All that is known of a frame before it is searched.

    Parameters
    ----------
    name
        Of the image.
    path
        Its file, with the image in it where there are several.
    lines
        In order.
    notes
        What the user should look at.
    error
        Why the frame cannot be read; empty where it can.
    """

    name: str
    path: str
    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""

    def text(self) -> str:
        """As a page for the eye.

        Returns
        -------
        str
            A line for each value, with its source, then the notes.
        """
        width = max((len(line.what) for line in self.lines), default=0)
        shown = [f"{self.name}: {self.path}"]
        for line in self.lines:
            source = f"   [{line.source}]" if line.source else ""
            shown.append(f"  {line.what:{width}}  {line.value}{source}")
        shown += [f"  note: {note}" for note in self.notes]
        if self.error:
            shown.append(f"  cannot be read: {self.error}")
        return "\n".join(shown)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON.

        Returns
        -------
        dict
            ``name, path, values, notes, error``; `values` holds the ``value`` and ``source`` of
            each line, by what it is of.
        """
        values = {line.what: {"value": line.value, "source": line.source} for line in self.lines}
        return {
            "name": self.name,
            "path": self.path,
            "values": values,
            "notes": list(self.notes),
            "error": self.error,
        }


def account_of(files: FrameFiles, overrides: FrameOverrides | None = None) -> Account:
    """What a search would read of a frame.

    Parameters
    ----------
    files
        Of the frame.
    overrides
        What the user knows better than the header.

    Returns
    -------
    Account
        With its `error` set where the frame cannot be read.
    """
    try:
        frame = read_frame(
            files.image,
            mask=files.mask,
            science=files.science,
            reference=files.reference,
            variance=files.variance,
            psf=files.psf,
            profile=files.profile or None,
            overrides=overrides,
        )
    except StreaksError as error:
        return Account(files.name, str(files.image), error=str(error))
    return Account(files.name, str(files.image), _lines(frame), frame.notes)


def _lines(frame: Frame) -> tuple[Line, ...]:
    ny, nx = frame.shape
    told = frame.told
    lines = [
        Line("image", f"{nx} x {ny} px", told.get("image", "")),
        Line("survey", str(frame.header.get("survey", "")) or "unknown"),
        Line("mask", f"{np.count_nonzero(frame.mask) / frame.mask.size:.2%} of the pixels",
             told.get("mask", "not finite, at the floor, or filled up")),
    ]  # fmt: skip
    lines += [Line(what, told[what]) for what in ("fill", "plane") if what in told]
    lines += [*_sky_lines(frame), *_time_lines(frame), _psf_line(frame)]
    for what, field, unit in (
        ("zero point", "zero_point_mag", "mag"),
        ("gain", "gain", "electrons a count"),
        ("read noise", "read_noise_e", "electrons"),
        ("saturation", "saturation", "counts"),
    ):
        lines.append(Line(what, _number(getattr(frame, field), unit), told.get(field, "")))
    for what in ("band", "observatory"):
        lines.append(Line(what, getattr(frame, what) or "unknown", told.get(what, "")))
    for what in ("variance", "science", "reference"):
        there = getattr(frame, what) is not None
        lines.append(Line(what, told.get(what, "there") if there else "none"))
    return tuple(lines)


def _sky_lines(frame: Frame) -> list[Line]:
    scale = frame.pixel_scale_arcsec
    stated = _number(scale, "arcsec/px")
    if frame.wcs is None:
        return [
            Line("coordinates", "none"),
            Line("scale", stated, frame.told.get("scale_arcsec", "")),
        ]
    ra, dec, radius = circle_around(frame.wcs, frame.shape)
    return [
        Line("coordinates", f"centre {ra:.5f} {dec:+.5f} deg ICRS, radius {radius / 60.0:.4g}'",
             frame.told.get("wcs", "")),
        Line("scale", stated, "WCS"),
    ]  # fmt: skip


def _time_lines(frame: Frame) -> list[Line]:
    time = "unknown" if frame.time is None else f"{frame.time.utc.isot} UTC, middle"
    lines = [
        Line("time", time, frame.told.get("time", "")),
        Line("exposure", _number(frame.exposure_s, "s"), frame.told.get("exposure_s", "")),
    ]
    rate = frame.pixel_scale_arcsec / frame.exposure_s
    if math.isfinite(rate):
        # arcsec/s in deg/day.
        lines.append(Line("rate", f"a trail of 10 px is {240.0 * rate:.4g} deg/day"))
    return lines


def _psf_line(frame: Frame) -> Line:
    if frame.fwhm_px > 0:
        source: Mapping[str, str] = frame.told
        return Line("FWHM", f"{frame.fwhm_px:.3g} px", source.get("fwhm_px", frame.fwhm_source))
    measured = "stars of the science image" if frame.science is not None else "stars or a line"
    return Line("FWHM", "unknown", f"to be measured: {measured}")


def _number(value: float, unit: str) -> str:
    return f"{value:.6g} {unit}" if math.isfinite(value) else "unknown"
