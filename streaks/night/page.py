"""The night's page from its folder: pictures are made when the page asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.table import QTable

from streaks.completeness import match_truth
from streaks.cutouts import Cutouts, extract_cutouts
from streaks.errors import StreaksError
from streaks.night.folder import NightFolder
from streaks.reporting import NightSummary, PagePictures, write_report

__all__ = ["read_cutout_stack", "write_page"]

#: Kept on the page: beyond this an overview shows no more on a screen, only weighs more.
_OVERVIEW_PX = 900
_MAX_MISSED = 200


def write_page(
    folder: NightFolder,
    summary: NightSummary,
    streaks: QTable,
    frames: QTable,
    *,
    truth: QTable | None = None,
    path: Path | None = None,
) -> Path:
    """Write a night's page.

    Parameters
    ----------
    folder
        Where the night's cutouts and overviews lie; those that are missing are shown as such.
    summary
        About the run.
    streaks, frames
        The night's tables. Pictures of missed true streaks need ``path`` and ``image`` in
        `frames`, and the frames themselves still in their place.
    truth
        True streaks, with ``streak_id, image, x0, y0, x1, y1``, to set beside what was found.
    path
        Where to write; the night's own place where not given.

    Returns
    -------
    Path
        Where the page is.
    """
    path = folder.report if path is None else path
    found = None if truth is None else match_truth(streaks, truth)
    stack = lru_cache(maxsize=8)(lambda image: read_cutout_stack(folder, image))
    rows = {str(name): i for i, name in enumerate(streaks["streak_id"])}

    def draw(name: str, large: bool) -> bytes:
        row = rows[name]
        return _draw_streak(streaks, row, stack(str(streaks["image"][row])), large)

    missed = [] if truth is None or found is None else _missed(truth, found)
    pictures = PagePictures(
        cutouts=_MadeWhenAsked(list(rows), lambda name: draw(name, False)),
        panels=_MadeWhenAsked(list(rows), lambda name: draw(name, True)),
        overviews=_MadeWhenAsked(
            [str(name) for name in frames["image"] if folder.overview(str(name)).is_file()],
            lambda name: _draw_overview(folder, name, frames, truth),
        ),
        missed={} if truth is None else _draw_missed(truth, missed, frames),
    )
    write_report(path, summary, streaks, frames, pictures=pictures, truth=truth, found=found)
    return path


def read_cutout_stack(folder: NightFolder, image: str) -> Cutouts | None:
    """The cutouts of one frame; None where there are none or the file is damaged."""
    path = folder.cutouts(image)
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            beside = {
                what: arrays[what] for what in ("science", "reference") if what in arrays.files
            }
            names = tuple(str(name) for name in arrays["names"])
            return Cutouts(arrays["difference"], arrays["mask"], names, **beside)
    except (OSError, ValueError, KeyError, EOFError, StreaksError):
        return None


class _MadeWhenAsked(Mapping[str, bytes]):
    """Pictures by name, each drawn when it is looked up; one that fails is empty."""

    def __init__(self, names: list[str], draw: Callable[[str], bytes]) -> None:
        self._names = dict.fromkeys(names)
        self._draw = draw

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        return self._draw(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


def _draw_streak(streaks: QTable, row: int, stack: Cutouts | None, large: bool) -> bytes:
    from streaks.plotting import cutout_picture, cutout_segment, encode_jpeg, triplet_panel

    name = str(streaks["streak_id"][row])
    if stack is None or name not in stack.names:
        return b""
    i = stack.names.index(name)
    if not large:
        return encode_jpeg(cutout_picture(stack.difference[i], stack.mask[i]), quality=80)
    panel = triplet_panel(
        None if stack.science is None else stack.science[i],
        None if stack.reference is None else stack.reference[i],
        stack.difference[i],
        stack.mask[i],
        ends=cutout_segment(streaks[row], stack.size_px),
    )
    return encode_jpeg(panel, quality=90)


def _draw_overview(folder: NightFolder, image: str, frames: QTable, truth: QTable | None) -> bytes:
    from streaks.plotting import decode_picture, encode_jpeg, mark_truth, shrink_picture

    try:
        picture = decode_picture(folder.overview(image).read_bytes())
    except (OSError, StreaksError):
        return b""
    if truth is not None and {"nx", "ny"} <= set(frames.colnames):
        row = list(frames["image"]).index(image)
        shape = int(frames["ny"][row]), int(frames["nx"][row])
        picture = mark_truth(picture, truth[np.asarray(truth["image"]) == image], shape)
    return encode_jpeg(shrink_picture(picture, _OVERVIEW_PX), quality=82)


def _missed(truth: QTable, found: np.ndarray) -> list[int]:
    """Rows of the true streaks that have ends and were not found."""
    ends = [
        np.asarray(getattr(truth[c], "value", truth[c]), float) for c in ("x0", "y0", "x1", "y1")
    ]
    return [int(i) for i in np.flatnonzero((found < 0) & np.isfinite(ends).all(axis=0))]


def _draw_missed(truth: QTable, missed: list[int], frames: QTable) -> dict[str, bytes]:
    """Cutouts of missed true streaks, from the frames where these can still be read."""
    if "path" not in frames.colnames:
        return {}
    paths = {str(row["image"]): str(row["path"]) for row in frames if str(row["path"])}
    by_image: dict[str, list[int]] = {}
    for i in missed[:_MAX_MISSED]:
        by_image.setdefault(str(truth["image"][i]), []).append(i)
    pictures: dict[str, bytes] = {}
    for image, rows in by_image.items():
        if image in paths and Path(paths[image]).is_file():
            pictures |= _draw_from_frame(truth[rows], paths[image])
    return pictures


def _draw_from_frame(truth: QTable, path: str) -> dict[str, bytes]:
    import astropy.units as u

    from streaks.plotting import cutout_picture, cutout_segment, encode_jpeg
    from streaks.readers import read_frame

    try:
        frame = read_frame(path)
    except StreaksError:
        return {}
    centred = truth.copy()
    for axis in "xy":
        ends = [np.asarray(getattr(truth[axis + e], "value", truth[axis + e]), float) for e in "01"]
        centred[axis] = u.Quantity((ends[0] + ends[1]) / 2, "pix")
    stack = extract_cutouts(frame, centred)
    return {
        name: encode_jpeg(
            cutout_picture(
                stack.difference[i],
                stack.mask[i],
                panel_px=2 * stack.size_px,
                ends=cutout_segment(centred[i], stack.size_px),
            )
        )
        for i, name in enumerate(stack.names)
    }
