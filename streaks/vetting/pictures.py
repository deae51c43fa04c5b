"""Pictures for the page, made when they are asked for and kept in memory for a while."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.errors import ReadError, StreaksError
from streaks.readers import read_frame
from streaks.reporting.rows import number, text
from streaks.sky import to_pixels
from streaks.vetting.candidates import Candidates
from streaks.vetting.sightings import seconds_of

__all__ = ["Pictures"]

_log = logging.getLogger(__name__)

#: Bytes that are kept: drawn pictures, and whole exposures.
_PICTURE_BYTES, _FRAME_BYTES = 96 << 20, 256 << 20
#: Part of each address's tag: another where pictures are drawn another way.
_DRAWN = "1"
#: Side of what another exposure shows where a night has no cutouts at hand, px.
_SIDE_PX = 128

Value = TypeVar("Value")


class _Kept(Generic[Value]):
    """Values by key, those used last, up to so many bytes. Threads may share it."""

    def __init__(self, max_bytes: int) -> None:
        self._max, self._bytes = max_bytes, 0
        self._held: OrderedDict[Any, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any) -> Value | None:
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def put(self, key: Any, value: Value, n_bytes: int) -> None:
        with self._lock:
            if key in self._held:
                self._bytes -= self._held.pop(key)[1]
            self._held[key] = value, n_bytes
            self._bytes += n_bytes
            # The newest stays, however large: it was asked for.
            while self._bytes > self._max and len(self._held) > 1:
                self._bytes -= self._held.popitem(last=False)[1][1]


@dataclass(frozen=True, eq=False)
class _Exposure:
    """What is needed of a whole frame to show any place of it."""

    data: NDArray[np.floating]
    mask: NDArray[np.bool_]
    wcs: WCS | None


class Pictures:
    """The pictures of a night's candidates.

    Parameters
    ----------
    candidates
        Of `read_candidates`.
    """

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        self._night = candidates.night
        self._drawn: _Kept[bytes] = _Kept(_PICTURE_BYTES)
        self._exposures: _Kept[_Exposure] = _Kept(_FRAME_BYTES)
        self._states = {
            image: self._state(image) for image in dict.fromkeys(candidates.columns["image"])
        }
        # Exposures are large: one is read at a time.
        self._reading = threading.Lock()

    def strip(self, row: int, how: str) -> bytes:
        """Science, reference and difference of a candidate.

        Parameters
        ----------
        row
            Of the night's table.
        how
            One of `streaks.plotting.STRETCHES`.

        Returns
        -------
        bytes
            A PNG picture in native pixels.

        Raises
        ------
        ReadError
            If the cutout is missing or damaged.
        """
        key = (row, how, self.tag(row))
        drawn = self._drawn.get(key)
        if drawn is None:
            drawn = self._draw(row, how)
            self._drawn.put(key, drawn, len(drawn))
        return drawn

    def tag(self, row: int, *what: str) -> str:
        """A name that changes when the picture does; nothing is drawn for it.

        Parameters
        ----------
        row
            Of the night's table.
        *what
            What else the picture depends on.

        Returns
        -------
        str
        """
        state = self._state(text(self._candidates.columns, row, "image"))
        name = text(self._candidates.columns, row, "streak_id")
        whole = "\0".join((_DRAWN, state, name, *what))
        return hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:24]

    def others(self, row: int) -> list[dict[str, Any]]:
        """The other exposures that may show a candidate's place.

        Parameters
        ----------
        row
            Of the night's table.

        Returns
        -------
        list of dict
            By time: ``frame`` (its row), ``image``, ``minutes`` after the candidate's own.
        """
        frames, columns = self._night.frames, self._candidates.columns
        own = seconds_of(text(columns, row, "time"))
        told = []
        for i in self._candidates.sightings.near(row):
            if "state" in frames.colnames and str(frames["state"][i]) != "done":
                continue
            minutes = (seconds_of(str(frames["time"][i])) - own) / 60
            told.append({
                "frame": i,
                "image": str(frames["image"][i]),
                "minutes": round(minutes, 1) if np.isfinite(minutes) else None,
            })  # fmt: skip
        return sorted(told, key=lambda one: one["minutes"] or 0.0)

    def other(self, row: int, frame: int, how: str) -> bytes:
        """What another exposure shows at a candidate's place.

        From the exposure's own file where that is still there; else the cutout of a streak that
        was found near the place, which is then not quite in the middle.

        Parameters
        ----------
        row
            Of the night's table.
        frame
            Row of the table of frames.
        how
            One of `streaks.plotting.STRETCHES`.

        Returns
        -------
        bytes
            A PNG picture of the difference, native pixels.

        Raises
        ------
        ReadError
            If neither is there, or the place lies outside.
        """
        key = ("other", row, frame, how)
        drawn = self._drawn.get(key)
        if drawn is None:
            difference, mask = self._place(row, frame)
            drawn = _png(None, None, difference, mask, how, last_only=True)
            self._drawn.put(key, drawn, len(drawn))
        return drawn

    def _draw(self, row: int, how: str) -> bytes:
        cutout = self._cutout(row)
        science, reference = (
            None if images is None else images[0] for images in (cutout.science, cutout.reference)
        )
        return _png(science, reference, cutout.difference[0], cutout.mask[0], how)

    def _cutout(self, row: int) -> Cutouts:
        columns = self._candidates.columns
        image = text(columns, row, "image")
        cutout = self._night.cutout(image, text(columns, row, "streak_id"))
        # Another streak may have this one's name in it.
        if self._state(image) != self._states[image]:
            raise ReadError(
                f"{image} was searched again since `streaks vet` began; stop it and start it again"
            )
        return cutout

    def _state(self, image: str) -> str:
        """What changes when a frame is searched again."""
        try:
            about = self._night.folder.cutouts(image).stat()
        except OSError:
            return "none"
        return f"{about.st_mtime_ns} {about.st_size} {about.st_ino}"

    def _place(self, row: int, frame: int) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        exposure = self._exposure(frame)
        if exposure is not None and exposure.wcs is not None:
            columns = self._candidates.columns
            x, y = to_pixels(exposure.wcs, number(columns, row, "ra"), number(columns, row, "dec"))
            found = _box(exposure, float(x), float(y))
            if found is not None:
                return found
            raise ReadError("the place lies outside that exposure")
        near = self._candidates.sightings.nearest(frame, row)
        if near is None:
            raise ReadError("that exposure's file is gone, and nothing was found near the place")
        cutout = self._cutout(near)
        return cutout.difference[0], cutout.mask[0]

    def _exposure(self, frame: int) -> _Exposure | None:
        """A whole exposure; None where its file is gone or cannot be read."""
        frames = self._night.frames
        path = str(frames["path"][frame]) if "path" in frames.colnames else ""
        if not path or not Path(path).is_file():
            return None
        with self._reading:
            held = self._exposures.get(path)
            if held is None:
                try:
                    read = read_frame(path)
                except (StreaksError, OSError) as error:
                    _log.warning("%s cannot be shown: %s", path, error)
                    return None
                held = _Exposure(read.data, read.mask, read.wcs)
                self._exposures.put(path, held, held.data.nbytes + held.mask.nbytes)
        return held


def _box(
    exposure: _Exposure, x: float, y: float
) -> tuple[NDArray[np.floating], NDArray[np.bool_]] | None:
    """A square about a place; what lies outside is masked. None where the place itself does."""
    ny, nx = exposure.data.shape
    if not (-0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5):
        return None
    low = [int(np.floor(v + 0.5)) - _SIDE_PX // 2 for v in (y, x)]
    data = np.zeros((_SIDE_PX, _SIDE_PX), np.float32)
    mask = np.ones((_SIDE_PX, _SIDE_PX), bool)
    there = tuple(
        slice(max(v, 0), min(v + _SIDE_PX, n)) for v, n in zip(low, (ny, nx), strict=True)
    )
    here = tuple(slice(part.start - v, part.stop - v) for part, v in zip(there, low, strict=True))
    data[here] = np.nan_to_num(exposure.data[there])
    mask[here] = exposure.mask[there] | ~np.isfinite(exposure.data[there])
    return data, mask


def _png(
    science: Any, reference: Any, difference: Any, mask: Any, how: str, *, last_only: bool = False
) -> bytes:
    from streaks.plotting import cutout_strip, encode_png

    strip = cutout_strip(science, reference, difference, mask, how=how)
    return encode_png(strip[:, -difference.shape[1] :] if last_only else strip)
